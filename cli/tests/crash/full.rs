//! A disk without room.

use super::*;

/// As a disk that is full from this many blocks of 512 bytes on, in one file: the system refuses to
/// make files longer.
pub(super) fn full_after(blocks: u64) -> String {
    format!("trap '' XFSZ; ulimit -f {blocks};")
}

#[test]
fn a_full_disk_is_an_error_and_leaves_the_old_file() {
    let place = Place::new();
    // The others need a GPU, and software drivers make long files of their own.
    let writers = place.writers();
    let (to, args) = writers
        .iter()
        .find(|(_, args)| args[0] == "quantize")
        .expect("a writer");
    place.says(args);
    let whole = fs::read(to).expect("the file");
    for blocks in 0..whole.len() as u64 / 512 {
        let output = place
            .command(&full_after(blocks), args)
            .output()
            .expect("it starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(1),
            "{blocks} blocks, {args:?}: {stderr}"
        );
        assert!(stderr.contains(&to.display().to_string()), "{stderr}");
        assert!(fs::read(to).expect("the file") == whole, "{}", to.display());
        assert_eq!(place.left_over(), [] as [PathBuf; 0]);
    }
}

/// A disk that is full at any moment of a download leaves what was there before, and the beginning
/// of the file, from which the next pull goes on.
#[test]
fn a_full_disk_interrupts_a_download() {
    const REPO: &str = "godwit/Tiny-GGUF";
    let (old, new) = (Builder::llama().build(), vec![7; 200_000]);
    let hub = Hub::start(
        REPO,
        &[
            ("tiny-Q4_0.gguf", old.clone()),
            ("tiny-Q8_0.gguf", new.clone()),
        ],
    );
    let place = Place::new();
    let command = |shell: &str, args: &[&str]| {
        let mut command = place.command(
            shell,
            &args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>(),
        );
        for variable in [
            "HF_HUB_CACHE",
            "HF_TOKEN",
            "HF_TOKEN_PATH",
            "HF_HUB_OFFLINE",
            "TRANSFORMERS_OFFLINE",
        ] {
            command.env_remove(variable);
        }
        command
            .env("HF_HOME", place.path("hf"))
            .env("HF_ENDPOINT", hub.endpoint());
        command.output().expect("it starts")
    };
    let repo = place.path("hf/hub/models--godwit--Tiny-GGUF");
    assert!(
        command("", &["pull", &format!("{REPO}:q4_0")])
            .status
            .success()
    );
    let (wanted, part) = (
        format!("{REPO}:q8_0"),
        repo.join("blobs").join(sha256(&new) + ".incomplete"),
    );
    let mut before = 0;
    for blocks in [0, 1, 100, 250, 390] {
        let output = command(&full_after(blocks), &["pull", &wanted]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{blocks} blocks: {stderr}");
        for says in [
            part.display().to_string(),
            "another disk".into(),
            "HF_HUB_CACHE".into(),
        ] {
            assert!(
                stderr.contains(&says),
                "{blocks} blocks: {stderr:?} does not say {says:?}"
            );
        }
        // The beginning is kept, and the model that was there.
        let len = fs::metadata(&part).expect("the part").len();
        assert!(
            len >= before && len == blocks * 512,
            "{blocks} blocks: {len} bytes after {before}"
        );
        before = len;
        assert_eq!(
            place
                .left_over()
                .iter()
                .filter(|path| !path.ends_with(".locks"))
                .count(),
            0
        );
        assert!(
            command("", &["inspect", &format!("{REPO}:q4_0")])
                .status
                .success()
        );
        assert!(!repo.join("blobs").join(sha256(&new)).exists());
    }
    hub.requests();
    let path = String::from_utf8(command("", &["pull", &wanted]).stdout).expect("UTF-8");
    assert!(fs::read(path.trim_end()).expect("the file") == new);
    assert_eq!(hub.ranges(), [Some(before)]);
    assert!(!part.exists());
}
