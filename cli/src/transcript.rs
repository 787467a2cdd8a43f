//! Transcripts: conversations in JSON, as `/save` writes them and `/load` and `--resume` read them.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use godwit::{Error, Message};
use serde::{Deserialize, Serialize};

use crate::destination::{Destination, Kind};
use crate::exit::BadInput;
use crate::input::open;

/// The largest transcript that is read, in bytes.
const MOST_BYTES: u64 = 64 << 20;

#[derive(Serialize)]
struct Saved<'a> {
    messages: &'a [Message],
}

#[derive(Deserialize)]
struct Loaded {
    messages: Vec<Message>,
}

/// Reads a transcript.
///
/// # Errors
/// The file can't be read, or is no transcript.
pub fn read(path: &Path) -> anyhow::Result<Vec<Message>> {
    let bad = |cause: String| BadInput {
        file: path.display().to_string(),
        cause,
    };
    let mut bytes = Vec::new();
    open(path)?
        .take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| bad(error.to_string()))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(bad(format!("a transcript has at most {MOST_BYTES} bytes")).into());
    }
    let other = "not a snapshot, which --save writes, and not a transcript, which /save writes in \
                 a chat";
    if bytes.first() != Some(&b'{') {
        return Err(bad(other.into()).into());
    }
    let loaded: Loaded =
        serde_json::from_slice(&bytes).map_err(|error| bad(format!("{other}: {error}")))?;
    check(&loaded.messages).map_err(bad)?;
    Ok(loaded.messages)
}

/// Fails where a conversation is none that a chat can go on with.
fn check(messages: &[Message]) -> Result<(), String> {
    for (at, message) in messages.iter().enumerate() {
        let at = at + 1;
        match &*message.role {
            "system" if at == 1 => {}
            "system" => {
                return Err(format!(
                    "message {at} has the role \"system\", which only the first may have"
                ));
            }
            "user" | "assistant" => {}
            other => {
                return Err(format!(
                    "message {at} has the role {other:?}; write system, user or assistant"
                ));
            }
        }
    }
    Ok(())
}

/// Writes a transcript. A file that is no transcript is not replaced, nor one of `protected`.
///
/// # Errors
/// The file can't be written, or is something else.
pub fn write(path: &Path, messages: &[Message], protected: Vec<PathBuf>) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(&Saved { messages })?;
    let mut destination = Destination::new(path, Kind::Conversation, None)?;
    destination.protect(protected)?;
    let write = destination.write(async |out| {
        std::io::Write::write_all(out, text.as_bytes()).map_err(|error| Error::unwritten(&error))
    });
    pollster::block_on(write)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("talk.json");
        let messages = [
            Message::system("Short."),
            Message::user("a\n\u{1b}"),
            Message::assistant("b"),
        ];
        write(&path, &messages, Vec::new()).expect("it is written");
        assert_eq!(read(&path).expect("it is read"), messages);
        write(&path, &messages[..1], Vec::new()).expect("its own kind is replaced");
        assert_eq!(read(&path).expect("it is read"), messages[..1]);
    }

    #[test]
    fn what_is_no_transcript_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("talk.json");
        for (text, says) in [
            ("", "not a transcript"),
            ("notes", "not a snapshot"),
            ("{\"messages\": 3}", "not a transcript"),
            (
                "{\"messages\": [{\"role\": \"user\"}]}",
                "missing field `content`",
            ),
            (
                "{\"messages\": [{\"role\": \"root\", \"content\": \"\"}]}",
                "message 1 has the role \"root\"",
            ),
            (
                "{\"messages\": [{\"role\": \"user\", \"content\": \"\"}, {\"role\": \"system\", \
                 \"content\": \"\"}]}",
                "message 2 has the role \"system\"",
            ),
        ] {
            std::fs::write(&path, text).expect("a file");
            let error = format!("{:#}", read(&path).expect_err(text));
            assert!(
                error.contains(says) && error.contains("talk.json"),
                "{error}"
            );
            if !text.is_empty() && !text.contains('[') {
                assert!(write(&path, &[], Vec::new()).is_err(), "{text}");
            }
        }
    }
}
