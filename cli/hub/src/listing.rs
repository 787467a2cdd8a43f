//! A repository's listing from the hub: its commit, its files, their lengths and hashes.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

use super::choose::{File, SMALL};
use super::error::HubError;
use super::name::{is_hex, is_safe};

/// The longest answer that is read, in bytes. Repositories of ten thousand files stay below 4 MB.
pub const MOST_JSON: u64 = 16 << 20;

/// How the content of a file is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Digest {
    /// SHA-256 of the bytes: large files.
    Sha256(String),
    /// SHA-1 of git's blob: small files.
    GitBlob(String),
}

impl Digest {
    /// The hash in hexadecimal, which is also what the cache calls the blob.
    pub fn hex(&self) -> &str {
        match self {
            Self::Sha256(hex) | Self::GitBlob(hex) => hex,
        }
    }
}

/// A repository at one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The commit, 40 hexadecimal digits.
    pub commit: String,
    /// The files that may be part of a model, and how their content is known.
    pub files: Vec<(File, Digest)>,
}

#[derive(Deserialize)]
struct Answer {
    sha: String,
    #[serde(default, deserialize_with = "siblings")]
    siblings: Vec<Sibling>,
}

/// Reads the files one by one, and keeps those that may be part of a model.
fn siblings<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Sibling>, D::Error> {
    struct List;
    impl<'de> Visitor<'de> for List {
        type Value = Vec<Sibling>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of files")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut all = Vec::new();
            while let Some(sibling) = list.next_element::<Sibling>()? {
                if may_be_part(&sibling.rfilename) {
                    all.push(sibling);
                }
            }
            Ok(all)
        }
    }
    deserializer.deserialize_seq(List)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: String,
    size: Option<u64>,
}

impl Listing {
    /// Reads the hub's answer about `what`.
    ///
    /// # Errors
    /// It is no such answer, or names a file, a commit or a hash that can't be one.
    pub fn parse(what: &str, json: &[u8]) -> Result<Self, HubError> {
        let refused = |cause: String| HubError::Refused {
            what: what.into(),
            cause,
        };
        let answer: Answer = serde_json::from_slice(json)
            .map_err(|error| refused(format!("it is no list of files ({error})")))?;
        if !is_hex(&answer.sha, 40) {
            return Err(refused(format!("{:?} is no commit", short(&answer.sha))));
        }
        let mut files = Vec::new();
        for sibling in answer.siblings {
            let path = sibling.rfilename;
            if !is_safe(&path) {
                return Err(refused(format!(
                    "{:?} is no safe name of a file",
                    short(&path)
                )));
            }
            let (digest, size) = match (sibling.lfs, sibling.blob_id) {
                (Some(lfs), _) if is_hex(&lfs.sha256, 64) => {
                    (Digest::Sha256(lfs.sha256), lfs.size.or(sibling.size))
                }
                (None, Some(blob)) if is_hex(&blob, 40) => (Digest::GitBlob(blob), sibling.size),
                _ => return Err(refused(format!("there is no hash of {}", short(&path)))),
            };
            let bytes =
                size.ok_or_else(|| refused(format!("there is no length of {}", short(&path))))?;
            files.push((File { path, bytes }, digest));
        }
        Ok(Self {
            commit: answer.sha,
            files,
        })
    }

    /// The files without their hashes.
    pub fn names(&self) -> Vec<File> {
        self.files.iter().map(|(file, _)| file.clone()).collect()
    }
}

/// Others are never asked for, so their names don't matter.
fn may_be_part(path: &str) -> bool {
    path.ends_with(".gguf") || path.ends_with(".safetensors") || SMALL.contains(&path)
}

fn short(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(answer: &serde_json::Value) -> Result<Listing, String> {
        Listing::parse("a/b", answer.to_string().as_bytes()).map_err(|error| error.to_string())
    }

    fn with(sibling: &serde_json::Value) -> Result<Listing, String> {
        parse(&json!({ "sha": "c".repeat(40), "siblings": [sibling] }))
    }

    #[test]
    fn reads_what_the_hub_says() {
        let (sha1, sha256) = ("a".repeat(40), "b".repeat(64));
        let answer = json!({ "id": "a/b", "sha": "0".repeat(40), "gated": false, "siblings": [
            { "rfilename": "README.md" },
            { "rfilename": "../runs/12:30/x.log" },
            { "rfilename": "config.json", "size": 5, "blobId": sha1 },
            { "rfilename": "x.gguf", "size": 7, "blobId": sha1,
              "lfs": { "sha256": sha256, "size": 7, "pointerSize": 134 } },
        ]});
        let listing = parse(&answer).expect("a list");
        let file = |path: &str, bytes| File {
            path: path.into(),
            bytes,
        };
        let expected = vec![
            (file("config.json", 5), Digest::GitBlob(sha1)),
            (file("x.gguf", 7), Digest::Sha256(sha256)),
        ];
        assert_eq!(
            listing,
            Listing {
                commit: "0".repeat(40),
                files: expected
            }
        );
    }

    #[test]
    fn refuses_what_can_not_be() {
        let blob = "a".repeat(40);
        for path in [
            "../x.gguf",
            "/x.gguf",
            "a/../x.gguf",
            "a\\x.gguf",
            "C:x.gguf",
            "a//x.gguf",
            "a\0.gguf",
            "./x.gguf",
        ] {
            let found = with(&json!({ "rfilename": path, "size": 1, "blobId": blob }));
            assert!(
                found.as_ref().is_err_and(|e| e.contains("safe name")),
                "{path}: {found:?}"
            );
        }
        let file = |rest: serde_json::Value| {
            let mut sibling = json!({ "rfilename": "x.gguf", "size": 1 });
            sibling
                .as_object_mut()
                .expect("an object")
                .extend(rest.as_object().expect("an object").clone());
            with(&sibling)
        };
        assert!(file(json!({})).is_err_and(|e| e.contains("no hash")));
        assert!(file(json!({ "blobId": "../../etc" })).is_err_and(|e| e.contains("no hash")));
        assert!(
            file(json!({ "blobId": blob, "lfs": { "sha256": "x" } }))
                .is_err_and(|e| e.contains("no hash"))
        );
        assert!(
            file(json!({ "blobId": blob, "size": null })).is_err_and(|e| e.contains("no length"))
        );
        assert!(file(json!({ "blobId": blob, "size": -1 })).is_err());
        assert!(parse(&json!({ "sha": "main" })).is_err_and(|e| e.contains("no commit")));
        assert!(parse(&json!([])).is_err() && parse(&json!({})).is_err());
        let deep = "[".repeat(100_000);
        assert!(Listing::parse("a/b", deep.as_bytes()).is_err());
    }

    #[test]
    fn flipped_and_cut_lists_are_lists_or_errors() {
        let good = json!({ "sha": "c".repeat(40), "siblings": [
            { "rfilename": "x.gguf", "size": 7, "lfs": { "sha256": "b".repeat(64), "size": 7 } },
        ]});
        let good = good.to_string().into_bytes();
        for at in 0..good.len() {
            assert!(Listing::parse("a/b", &good[..at]).is_err());
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                if let Ok(listing) = Listing::parse("a/b", &bad) {
                    assert!(is_hex(&listing.commit, 40));
                    assert!(
                        listing
                            .files
                            .iter()
                            .all(|(file, digest)| is_safe(&file.path) && is_hex(digest.hex(), 64))
                    );
                }
            }
        }
    }
}
