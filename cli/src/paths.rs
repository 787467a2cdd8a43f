//! Paths as people write them.

use std::path::{Path, PathBuf};

/// A path, in which a leading `~` stands for the home folder: shells expand it in most places only.
pub fn expanded(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::home_dir()) {
        (Ok(rest), Some(home)) if rest.as_os_str().is_empty() => home,
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tilde_is_the_home_folder() {
        let home = std::env::home_dir().expect("a home folder");
        assert_eq!(expanded(Path::new("~/a/b")), home.join("a/b"));
        assert_eq!(expanded(Path::new("~")), home);
        for path in ["a/~", "~a/b", "/~", "./~/a"] {
            assert_eq!(expanded(Path::new(path)), Path::new(path));
        }
    }
}
