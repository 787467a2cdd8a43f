//! What a pull that is killed leaves in the cache: at each point between its steps.

use std::fs;
use std::path::{Path, PathBuf};

use godwit_tests::hub_server::{Hub, MAIN, sha256};
use indicatif::ProgressBar;

use super::cache::Cached;
use super::crash_point::kill;
use super::name::Name;
use super::pull;
use super::settings::Settings;

const REPO: &str = "godwit/Tiny-GGUF";
const PARTS: [&str; 2] = [
    "q/m-Q8_0-00001-of-00002.gguf",
    "q/m-Q8_0-00002-of-00002.gguf",
];
const TEST: &str = "killed::a_pull_that_is_killed_leaves_a_whole_cache";

/// The content of a part: more than one piece of what the network brings.
fn content(part: usize) -> Vec<u8> {
    (0..300_000_u32)
        .map(|i| (i.wrapping_mul(i + 7) >> 5) as u8 ^ part as u8)
        .collect()
}

fn settings(folder: &Path, endpoint: &str) -> Settings {
    Settings {
        endpoint: endpoint.into(),
        cache: folder.join("hub"),
        token: None,
        offline: false,
    }
}

/// Pulls the model into the folder's cache.
fn pull_into(folder: &Path, endpoint: &str) -> PathBuf {
    let name = Name::parse(REPO).expect("a name");
    let pulled = pull(
        &name,
        &settings(folder, endpoint),
        &mut |_| Ok(()),
        &|| false,
        &ProgressBar::hidden,
    );
    pulled.expect("it is pulled").path
}

/// All files below a folder, links not followed.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type().expect("a type").is_dir() {
            true => found.extend(files(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found
}

/// The snapshot of the commit that `main` names.
fn snapshot(folder: &Path) -> PathBuf {
    folder
        .join("hub/models--godwit--Tiny-GGUF/snapshots")
        .join(MAIN)
}

/// Nothing in the cache is wrong: blobs are what their names say, and whatever a snapshot names is
/// the old file of another tool or the hub's.
fn check_kept(folder: &Path, old: Option<&[u8]>, what: &str) {
    for blob in files(&folder.join("hub/models--godwit--Tiny-GGUF/blobs")) {
        let name = blob
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        if !name.ends_with(".incomplete") {
            assert_eq!(sha256(&fs::read(&blob).expect("readable")), name, "{what}");
        }
    }
    for (part, path) in PARTS.iter().enumerate() {
        match fs::read(snapshot(folder).join(path)) {
            Ok(found) => assert!(
                found == content(part) || Some(&*found) == old,
                "{what}: {path}"
            ),
            // What was there is there at every moment.
            Err(error) => assert!(old.is_none(), "{what}: {path}: {error}"),
        }
    }
}

/// The cache holds the model, and nothing else.
fn check_whole(folder: &Path, what: &str) {
    let repo = folder.join("hub/models--godwit--Tiny-GGUF");
    let mut expected: Vec<PathBuf> = PARTS
        .iter()
        .map(|path| snapshot(folder).join(path))
        .collect();
    expected.extend((0..2).map(|part| repo.join("blobs").join(sha256(&content(part)))));
    expected.push(repo.join("refs/main"));
    expected.sort();
    let mut found = files(&repo);
    found.sort();
    assert_eq!(found, expected, "{what}");
    for (part, path) in PARTS.iter().enumerate() {
        let link = snapshot(folder).join(path);
        assert!(
            link.is_symlink() && fs::read(&link).expect("readable") == content(part),
            "{what}"
        );
    }
    assert_eq!(
        fs::read_to_string(repo.join("refs/main")).expect("readable"),
        MAIN,
        "{what}"
    );
}

/// The process is killed at each point. Then, or at the same time, another one pulls the same
/// model, with and without files of another tool in the snapshot.
#[test]
fn a_pull_that_is_killed_leaves_a_whole_cache() {
    // The process that is killed runs this very test.
    if let Some(folder) = kill::folder_of_child() {
        let endpoint = fs::read_to_string(folder.join("endpoint")).expect("the hub's address");
        pull_into(&folder, &endpoint);
        return;
    }
    let parts: Vec<(&str, Vec<u8>)> = PARTS
        .iter()
        .enumerate()
        .map(|(part, path)| (*path, content(part)))
        .collect();
    let hub = Hub::start(REPO, &parts);
    let old = b"a copy that another tool made";
    for (way, has_old, is_beside) in [
        ("alone", false, false),
        ("over copies", true, false),
        ("two at once", true, true),
    ] {
        let mut points = 0;
        loop {
            let what = format!("{way}, point {points}");
            let place = tempfile::tempdir().expect("a folder");
            let folder = place.path();
            fs::write(folder.join("endpoint"), hub.endpoint()).expect("a file");
            if has_old {
                for path in PARTS {
                    let copy = snapshot(folder).join(path);
                    fs::create_dir_all(copy.parent().expect("a folder")).expect("a folder");
                    fs::write(copy, old).expect("a file");
                }
            }
            let old = has_old.then_some(&old[..]);
            let was_killed = if is_beside {
                let mut child = kill::start_child(TEST, folder, points);
                pull_into(folder, &hub.endpoint());
                kill::was_killed(&mut child)
            } else {
                kill::run_child(TEST, folder, points)
            };
            check_kept(folder, old, &what);
            let path = pull_into(folder, &hub.endpoint());
            assert_eq!(path, snapshot(folder).join(PARTS[0]), "{what}");
            check_whole(folder, &what);
            let cached = Cached::new(&folder.join("hub"), &Name::parse(REPO).expect("a name"));
            assert!(
                cached.parts().is_empty() && cached.models(MAIN).len() == 1,
                "{what}"
            );
            if !was_killed {
                break;
            }
            points += 1;
        }
        // Beside another process, there may be little left to do.
        assert!(is_beside || points >= 14, "{way}: {points} points");
    }
}
