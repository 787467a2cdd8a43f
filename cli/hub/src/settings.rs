//! The hub's variables, as its own tools read them.

use std::env;
use std::io::Read as _;
use std::path::PathBuf;

use godwit::low_level::io::open::{Links, open_regular};

use super::error::HubError;

/// The hub where no other is named.
const HUB: &str = "https://huggingface.co";

/// Where the hub and its cache are, and who asks.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `HF_ENDPOINT`, without a slash at the end.
    pub endpoint: String,
    /// The folder of the cache: `HF_HUB_CACHE`, or `hub` in `HF_HOME`.
    pub cache: PathBuf,
    /// `HF_TOKEN`, or what the token file holds.
    pub token: Option<String>,
    /// `HF_HUB_OFFLINE` or `TRANSFORMERS_OFFLINE`: ask nobody.
    pub offline: bool,
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// A variable makes no sense, or there is no home folder.
    pub fn from_env() -> Result<Self, HubError> {
        Self::read(&|variable| {
            env::var(variable)
                .ok()
                .filter(|value| !value.trim().is_empty())
        })
    }

    fn read(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, HubError> {
        let folder = |name| variable(name).map(PathBuf::from);
        let xdg = || folder("XDG_CACHE_HOME").filter(|path| path.is_absolute());
        let caches = || xdg().or_else(|| Some(env::home_dir()?.join(".cache")));
        let home = folder("HF_HOME").or_else(|| Some(caches()?.join("huggingface")));
        let home = home.ok_or_else(|| HubError::Setting {
            variable: "HF_HOME",
            cause: "there is no home folder; name the folder for models".into(),
        })?;
        let cache = folder("HF_HUB_CACHE").unwrap_or_else(|| home.join("hub"));
        // The file is beside `hub`, wherever the models themselves are.
        let file = || {
            /// A token has some forty letters.
            const MOST: u64 = 1 << 12;
            let path = folder("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"));
            let (file, _) = open_regular(&path, Links::Follow).ok()?;
            let mut text = String::new();
            file.take(MOST).read_to_string(&mut text).ok().map(|_| text)
        };
        let token = variable("HF_TOKEN")
            .or_else(file)
            .map(|token| token.trim().to_owned());
        let token = token.filter(|token| !token.is_empty());
        if token
            .as_deref()
            .is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic()))
        {
            let cause = "a token is letters, digits and signs, without spaces".into();
            return Err(HubError::Setting {
                variable: "HF_TOKEN",
                cause,
            });
        }
        let endpoint = variable("HF_ENDPOINT")
            .unwrap_or_else(|| HUB.into())
            .trim()
            .trim_end_matches('/')
            .to_owned();
        let host = ["https://", "http://"]
            .iter()
            .find_map(|scheme| endpoint.strip_prefix(scheme));
        if !host.is_some_and(|host| !host.is_empty() && !host.contains(['@', '?', '#'])) {
            let cause = format!("{endpoint} is no address such as {HUB}");
            return Err(HubError::Setting {
                variable: "HF_ENDPOINT",
                cause,
            });
        }
        let on = |name| {
            variable(name)
                .is_some_and(|v| ["1", "true", "yes", "on"].contains(&v.to_lowercase().as_str()))
        };
        Ok(Self {
            endpoint,
            cache,
            token,
            offline: on("HF_HUB_OFFLINE") || on("TRANSFORMERS_OFFLINE"),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, HubError> {
        let find = |name: &str| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        };
        Settings::read(&find)
    }

    #[test]
    fn variables_are_read_as_the_hub_has_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = folder.path().to_str().expect("a path");
        std::fs::write(folder.path().join("token"), "from-file\n").expect("a file");
        let plain = read(&[("HF_HOME", home)]).expect("settings");
        assert_eq!((plain.endpoint.as_str(), plain.offline), (HUB, false));
        assert_eq!(
            (plain.cache, plain.token.as_deref()),
            (folder.path().join("hub"), Some("from-file"))
        );
        let all = [
            ("HF_HOME", home),
            ("HF_HUB_CACHE", "/models"),
            ("HF_TOKEN", " mine "),
            ("HF_ENDPOINT", "http://127.0.0.1:8080/"),
            ("TRANSFORMERS_OFFLINE", "YES"),
        ];
        let all = read(&all).expect("settings");
        assert_eq!(
            (all.endpoint.as_str(), all.offline),
            ("http://127.0.0.1:8080", true)
        );
        assert_eq!(
            (all.cache.as_path(), all.token.as_deref()),
            (Path::new("/models"), Some("mine"))
        );
        let xdg = read(&[("XDG_CACHE_HOME", "/c"), ("HF_HUB_OFFLINE", "0")]).expect("settings");
        assert_eq!(
            (xdg.cache.as_path(), xdg.offline),
            (Path::new("/c/huggingface/hub"), false)
        );
    }

    #[test]
    fn odd_variables_are_refused() {
        for endpoint in [
            "hub.example",
            "ftp://hub.example",
            "https://",
            "https://me@hub.example",
        ] {
            assert!(
                read(&[("HF_ENDPOINT", endpoint), ("HF_HOME", "/h")]).is_err(),
                "{endpoint}"
            );
        }
        assert!(read(&[("HF_TOKEN", "a\r\nX: y"), ("HF_HOME", "/h")]).is_err());
    }
}
