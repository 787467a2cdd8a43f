//! Names of models: OWNER/REPO[:QUANT][@REVISION].

use std::fmt;

use super::error::HubError;

/// The revision where none is named.
pub const MAIN: &str = "main";

/// Where the hub's pages are.
const HOSTS: [&str; 3] = ["hf.co", "huggingface.co", "www.huggingface.co"];

/// The most characters of an owner's or a repository's name, as the hub has it, and of a
/// quantisation or revision.
const LONGEST: usize = 96;
const LONGEST_REST: usize = 255;

/// A model on the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// OWNER/REPO.
    pub repo: String,
    /// A quantisation such as `Q4_K_M`, part of a file's name, a file's name, or `safetensors`.
    pub quant: Option<String>,
    /// A branch, a tag or a commit.
    pub revision: Option<String>,
}

impl Name {
    /// Parses a name.
    ///
    /// # Errors
    /// The cause.
    pub fn parse(text: &str) -> Result<Self, HubError> {
        let wrong = |cause| HubError::Name {
            text: text.chars().take(200).collect(),
            cause,
        };
        let (rest, revision) = match text.split_once('@') {
            Some((rest, revision)) => (rest, Some(revision)),
            None => (text, None),
        };
        let (repo, quant) = match rest.split_once(':') {
            Some((repo, quant)) => (repo, Some(quant)),
            None => (rest, None),
        };
        let Some((owner, model)) = repo.split_once('/') else {
            return Err(wrong("there is no owner"));
        };
        if !is_part(owner) || !is_part(model) {
            return Err(wrong(
                "an owner or a repository is letters, digits, - _ and single dots",
            ));
        }
        if !quant.is_none_or(is_path) {
            return Err(wrong("QUANT is a type such as Q4_K_M, or a file's name"));
        }
        if !revision.is_none_or(is_path) {
            return Err(wrong("REVISION is a branch, a tag or a commit"));
        }
        Ok(Self {
            repo: repo.into(),
            quant: quant.map(Into::into),
            revision: revision.map(Into::into),
        })
    }

    /// Reads `hf.co/OWNER/REPO[:QUANT][@REVISION]` and the hub's own addresses, with or without
    /// `https://`; `None` where it is something else. The name is looked up on the hub that is set,
    /// which may be another one.
    ///
    /// # Errors
    /// It is one, but not of a model.
    pub fn from_known_host(text: &str) -> Option<Result<Self, HubError>> {
        let bare = ["https://", "http://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme))
            .unwrap_or(text);
        let host = HOSTS.iter().find(|host| {
            bare.strip_prefix(**host)
                .is_some_and(|rest| rest.starts_with('/'))
        })?;
        Self::from_url(host, bare)
    }

    /// Reads the address of a repository or of a file in one, as a browser shows it; `None` where
    /// it is no address under `endpoint`.
    ///
    /// # Errors
    /// It is one, but not of a model.
    pub fn from_url(endpoint: &str, url: &str) -> Option<Result<Self, HubError>> {
        let path = url.strip_prefix(endpoint)?.strip_prefix('/')?;
        let path = path
            .split(['?', '#'])
            .next()
            .unwrap_or_default()
            .trim_end_matches('/');
        let parts: Vec<&str> = path.splitn(5, '/').collect();
        Some(match parts[..] {
            [owner, repo] => Self::parse(&format!("{owner}/{repo}")),
            [owner, repo, "tree", revision] => Self::parse(&format!("{owner}/{repo}@{revision}")),
            [owner, repo, "resolve" | "blob", revision, file] => {
                Self::parse(&format!("{owner}/{repo}:{file}@{revision}"))
            }
            _ => Err(HubError::Name {
                text: url.chars().take(200).collect(),
                cause: "it is no model's address",
            }),
        })
    }

    /// The revision that is meant.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or(MAIN)
    }

    /// Whether this reads as the path of a model file, so that a typing error in a path does not
    /// ask the hub.
    pub fn is_file(&self) -> bool {
        let lower = self.repo.to_ascii_lowercase();
        self.quant.is_none()
            && [".gguf", ".safetensors", ".json", ".bin"]
                .iter()
                .any(|end| lower.ends_with(end))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repo)?;
        if let Some(quant) = &self.quant {
            write!(f, ":{quant}")?;
        }
        if let Some(revision) = &self.revision {
            write!(f, "@{revision}")?;
        }
        Ok(())
    }
}

/// An owner or a repository. `--` is left to the cache, which has it for the slash.
fn is_part(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && !text.starts_with(['-', '.'])
        && !text.ends_with(['-', '.'])
        && !text.contains("..")
        && !text.contains("--")
}

/// A file's path, or a branch's name.
fn is_path(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+/ ()".contains(&byte);
    (1..=LONGEST_REST).contains(&text.len()) && text.bytes().all(plain) && is_safe(text)
}

/// Whether a path from elsewhere stays in the folder it is put in, on every system.
pub fn is_safe(path: &str) -> bool {
    let part = |part: &str| {
        (1..=255).contains(&part.len())
            && part != "."
            && part != ".."
            && !part.ends_with([' ', '.'])
            && !part.contains(['\\', ':'])
            && !part.chars().any(char::is_control)
    };
    path.len() <= 1024 && path.split('/').all(part)
}

/// Whether this is a hash in hexadecimal: a commit or an ETag. `digits`: 40 for SHA-1, 64 for
/// SHA-256.
pub fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Texts of up to 15 of these characters, for tests: all sorts, and the same every time.
#[cfg(test)]
pub fn texts(alphabet: &str, count: usize) -> impl Iterator<Item = String> {
    let alphabet: Vec<char> = alphabet.chars().collect();
    let mut state = 1_u64;
    let mut next = move |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    std::iter::repeat_with(move || {
        (0..next(16))
            .map(|_| alphabet[next(alphabet.len())])
            .collect()
    })
    .take(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(repo: &str, quant: Option<&str>, revision: Option<&str>) -> Name {
        Name {
            repo: repo.into(),
            quant: quant.map(Into::into),
            revision: revision.map(Into::into),
        }
    }

    #[test]
    fn names_are_taken_apart() {
        let cases = [
            ("a/b", name("a/b", None, None)),
            (
                "Org-1/Llama-3.2_x:q4_k_m",
                name("Org-1/Llama-3.2_x", Some("q4_k_m"), None),
            ),
            ("a/b@refs/pr/3", name("a/b", None, Some("refs/pr/3"))),
            (
                "a/b:sub/x Q8.gguf@v1.0",
                name("a/b", Some("sub/x Q8.gguf"), Some("v1.0")),
            ),
        ];
        for (text, expected) in cases {
            let found = Name::parse(text).expect(text);
            assert_eq!(found, expected);
            assert_eq!(found.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = format!("a/{}", "b".repeat(97));
        let wrong = [
            "",
            "a",
            "/a",
            "a/",
            "a/b/c",
            "../a",
            "a/..",
            "./a",
            "a/.b",
            "a/b--c",
            "a--b/c",
            "a/b:",
            "a/b@",
            "a/b@../x",
            "a/b@/x",
            "a/b:x\\y",
            "a/b:..",
            "a\0/b",
            "a/b@x\ny",
            "a/b c",
            "ä/b",
            "C:\\a/b",
            "a/b:q@x@y",
            &long,
        ];
        for text in wrong {
            assert!(
                matches!(Name::parse(text), Err(HubError::Name { .. })),
                "{text:?}"
            );
        }
    }

    #[test]
    fn addresses_are_names_too() {
        let read = |url: &str| Name::from_url("https://hub.example", url);
        let file = read("https://hub.example/a/b/resolve/main/q/x.Q4_0.gguf?download=true");
        assert_eq!(
            file.and_then(Result::ok),
            Some(name("a/b", Some("q/x.Q4_0.gguf"), Some("main")))
        );
        assert_eq!(
            read("https://hub.example/a/b/").and_then(Result::ok),
            Some(name("a/b", None, None))
        );
        assert!(read("https://hub.example/datasets/a/b/c").is_some_and(|name| name.is_err()));
        assert!(
            read("https://hub.example.org/a/b").is_none()
                && read("http://hub.example/a/b").is_none()
        );
    }

    #[test]
    fn the_hub_s_hosts_are_known() {
        for text in [
            "hf.co/a/b:Q8_0",
            "https://hf.co/a/b:Q8_0",
            "huggingface.co/a/b:Q8_0",
            "https://huggingface.co/a/b:Q8_0",
        ] {
            let read = Name::from_known_host(text).expect(text);
            assert_eq!(read.ok(), Some(name("a/b", Some("Q8_0"), None)), "{text}");
        }
        let file = Name::from_known_host("https://hf.co/a/b/blob/main/x.gguf").expect("an address");
        assert_eq!(file.ok(), Some(name("a/b", Some("x.gguf"), Some("main"))));
        assert!(Name::from_known_host("hf.co/a").is_some_and(|name| name.is_err()));
        for text in ["a/b", "hf.company/a/b", "hf.co", "https://example.com/a/b"] {
            assert!(Name::from_known_host(text).is_none(), "{text}");
        }
    }

    #[test]
    fn mistyped_files_are_no_names() {
        let file = |text| Name::parse(text).expect("a name").is_file();
        assert!(file("models/x.gguf") && file("models/config.JSON"));
        assert!(!file("a/b-GGUF") && !file("a/b.v1:x.gguf"));
    }

    #[test]
    fn any_text_is_a_safe_name_or_an_error() {
        let mut names = 0;
        for text in texts("aaaaabbbbb//::@.-\\\0 ", 200_000) {
            assert!(!is_safe(&text) || stays_inside(&text), "{text:?}");
            let Ok(name) = Name::parse(&text) else {
                continue;
            };
            assert_eq!(name.to_string(), text);
            assert!(
                stays_inside(&name.repo) && name.repo.matches('/').count() == 1,
                "{text:?}"
            );
            assert!(
                name.quant.as_deref().is_none_or(stays_inside) && stays_inside(name.revision()),
                "{text:?}"
            );
            names += 1;
        }
        assert!(names > 100, "{names} names among them");
    }

    fn stays_inside(path: &str) -> bool {
        let normal = |part| matches!(part, std::path::Component::Normal(_));
        !path.is_empty() && std::path::Path::new(path).components().all(normal)
    }
}
