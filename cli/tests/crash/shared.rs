//! Several processes, other people's files, and whose rights files get.

use super::*;

/// Runs all of them at once.
#[track_caller]
pub(super) fn all_say(place: &Place, commands: &[(Vec<String>, String)]) {
    let children: Vec<_> = commands
        .iter()
        .map(|(args, _)| place.command("", args).spawn().expect("it starts"))
        .collect();
    for (child, (args, right)) in children.into_iter().zip(commands) {
        let output = child.wait_with_output().expect("it ends");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {stderr}");
        assert_eq!(
            &String::from_utf8_lossy(&output.stdout),
            right,
            "{args:?}: {stderr}"
        );
    }
}

#[test]
fn several_processes_share_caches() {
    let place = Place::new();
    // Prompts of a block each, in a cache with room for two; weights in one with room for one.
    let prompts = ["a b c d ", "b a d c ", "d d b a "].map(|words| words.repeat(520));
    let shape = "tiny:q8_0,vocab=512,context=16k";
    let mut commands = Vec::new();
    for (i, prompt) in prompts.iter().enumerate() {
        let file = place.path(&format!("prompt{i}"));
        fs::write(&file, prompt).expect("a prompt");
        let file = file.display().to_string();
        let args = [
            "run",
            "--synthetic",
            shape,
            "--raw",
            "-f",
            &file,
            "-n",
            "4",
            "--temp",
            "0",
        ]
        .map(str::to_owned);
        let right = place.says(&[&args[..], &["--no-cache".into()]].concat());
        let args = [&args[..], &["--cache-size".into(), "9M".into()]].concat();
        commands.push((args, right));
    }
    for mix in ["q8_0", "q4_0", "q4_0"] {
        let args = place.quantised(mix);
        let right = place.says(&[&args[..], &["--quant-cache-size".into(), "0".into()]].concat());
        let args = [&args[..], &["--quant-cache-size".into(), "64K".into()]].concat();
        commands.push((args, right));
    }
    for _ in 0..rounds().div_ceil(6) {
        all_say(&place, &commands);
        // The clock is set back by a year after this round: what is there is of the future.
        let future = std::time::SystemTime::now() + Duration::from_secs(365 * 24 * 3600);
        for folder in ["prompts", "weights"] {
            for path in files(&place.path("cache/godwit").join(folder)) {
                let file = fs::File::options().write(true).open(path).expect("a file");
                file.set_times(fs::FileTimes::new().set_modified(future))
                    .expect("another time");
            }
        }
    }
    all_say(&place, &commands);
    assert_eq!(place.left_over(), [] as [PathBuf; 0]);
    assert!(
        !files(&place.path("cache/godwit/prompts")).is_empty(),
        "prompts were kept"
    );
}

/// A thing that is no block in a block's place: nothing waits for it, nothing is written to it.
#[test]
fn pipes_and_links_in_a_cache_are_passed_over() {
    let place = Place::new();
    let args = place.quantised("q4_0");
    let right = place.says(&args);
    let [kept] = &files(&place.path("cache/godwit/weights"))
        .into_iter()
        .collect::<Vec<_>>()[..]
    else {
        unreachable!("one file")
    };
    let other = place.path("notes");
    fs::write(&other, "notes").expect("a file");
    for what in ["pipe", "link", "folder"] {
        if kept.is_dir() {
            fs::remove_dir(kept)
        } else {
            fs::remove_file(kept)
        }
        .expect("removed");
        match what {
            "pipe" => assert!(
                Command::new("mkfifo")
                    .arg(kept)
                    .status()
                    .expect("mkfifo")
                    .success()
            ),
            "link" => std::os::unix::fs::symlink(&other, kept).expect("a link"),
            _ => fs::create_dir(kept).expect("a folder"),
        }
        let child = place.command("", &args).spawn().expect("it starts");
        let output = kill_after(child, Duration::from_secs(60));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            right,
            "a {what}: {stderr}"
        );
        assert!(stderr.contains("the file stays"), "a {what}: {stderr}");
        assert_eq!(fs::read(&other).expect("notes"), b"notes", "a {what}");
    }
}

#[test]
fn outputs_follow_the_umask() {
    let place = Place::new();
    for (umask, mode) in [("022", 0o644), ("027", 0o640), ("077", 0o600)] {
        for (to, args) in place.writers() {
            let _ = fs::remove_file(&to);
            let output = place
                .command(&format!("umask {umask};"), &args)
                .output()
                .expect("it starts");
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            let found =
                std::os::unix::fs::MetadataExt::mode(&to.metadata().expect("the file")) & 0o777;
            assert_eq!(found, mode, "{} with umask {umask}", to.display());
        }
    }
}
