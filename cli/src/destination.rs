//! Files that commands write. A file that is there already is replaced only where nothing of
//! another kind is lost.

use std::fs::{File, FileType};
use std::io::{BufWriter, Read as _, Seek as _};
use std::path::{Path, PathBuf};

use godwit::Error;
use godwit::low_level::gguf::Gguf;
use godwit::low_level::io::durable::{Existing, Readers, folder_of, unnamed_in, write_guarded};
use godwit::low_level::io::open::{Links, open_regular};
use godwit::low_level::io::open_file;

use crate::exit::Unwritable;

/// The largest conversation that is looked into, in bytes.
const MOST_CONVERSATION: u64 = 64 << 20;

/// What each line of answers begins with.
pub const ANSWER: &[u8] = br#"{"line":"#;

/// The kind of a file's contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A saved context.
    Context,
    /// A GGUF model.
    Model,
    /// An importance matrix.
    Importance,
    /// A conversation in JSON.
    Conversation,
    /// Answers of `run --parallel`, in lines of JSON.
    Answers,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Context => "a snapshot (--save)",
            Self::Model => "a GGUF model",
            Self::Importance => "an importance matrix",
            Self::Conversation => "a transcript (/save)",
            Self::Answers => "answers of `run --parallel`",
        }
    }
}

/// A file that is to be written when the work is done.
#[derive(Debug)]
pub struct Destination {
    path: PathBuf,
    kind: Kind,
    /// What replaces a file that is worth asking: the option's name where the command has one, and
    /// whether it was given.
    force: Option<bool>,
    inputs: Vec<PathBuf>,
}

impl Destination {
    /// Looks at what is at the path: before the work, not after it. `force` is the value of
    /// `--force`, where the command has it.
    ///
    /// # Errors
    /// Nothing can be written there, or what is there would be lost.
    pub fn new(path: &Path, kind: Kind, force: Option<bool>) -> anyhow::Result<Self> {
        let destination = Self {
            path: path.into(),
            kind,
            force,
            inputs: Vec::new(),
        };
        destination.check()?;
        let folder = folder_of(path);
        unnamed_in(folder).map_err(|error| {
            let cause = format!(
                "nothing can be written to {}: {error}; name another folder",
                folder.display()
            );
            Unwritable {
                file: path.display().to_string(),
                cause,
            }
        })?;
        Ok(destination)
    }

    /// Whether a path is this file's.
    pub fn is(&self, path: &Path) -> bool {
        let place = |path: &Path| {
            Some((
                folder_of(path).canonicalize().ok()?,
                path.file_name()?.to_owned(),
            ))
        };
        is_same(&self.path, path) || place(&self.path).is_some_and(|own| place(path) == Some(own))
    }

    /// Adds files that the command reads, such as those of the model: they are never replaced.
    ///
    /// # Errors
    /// The file to be written is one of them.
    pub fn protect(&mut self, inputs: impl IntoIterator<Item = PathBuf>) -> anyhow::Result<()> {
        self.inputs.extend(inputs);
        self.check().map(drop)
    }

    /// Writes the file: whole or not at all, and not over something that came there meanwhile.
    ///
    /// # Errors
    /// What `write` says, the file can't be written, or what is there now would be lost.
    pub async fn write(
        &self,
        write: impl AsyncFnOnce(&mut BufWriter<&mut File>) -> Result<(), Error>,
    ) -> anyhow::Result<()> {
        write_guarded(&self.path, Readers::Umask, || self.check(), write).await
    }

    /// What is to happen to what is at the path.
    fn check(&self) -> anyhow::Result<Existing> {
        let path = &self.path;
        let bad = |cause: String| Unwritable {
            file: path.display().to_string(),
            cause,
        };
        let refuse = |what: &str| Err(bad(what.into()).into());
        let metadata = match path.symlink_metadata() {
            Ok(metadata) => metadata,
            Err(_) if !folder_of(path).is_dir() => {
                return Err(bad(
                    "can't be written there: name a file in a folder that exists".into(),
                )
                .into());
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Existing::Keep);
            }
            Err(error) => return Err(bad(error.to_string()).into()),
        };
        if metadata.is_symlink() {
            let target = std::fs::read_link(path)
                .map_or_else(|_| "another file".into(), |t| t.display().to_string());
            return refuse(&format!(
                "it is a link to {target}; name another file, or remove the link"
            ));
        }
        if metadata.is_dir() {
            return Err(
                bad("it is a folder; can't be written there: name a file in it".into()).into(),
            );
        }
        if !metadata.is_file() {
            return refuse(&format!(
                "it is {}, not a regular file; name another file",
                special(metadata.file_type())
            ));
        }
        if let Some(input) = self.inputs.iter().find(|input| is_same(input, path)) {
            let input = input.display();
            return refuse(&format!(
                "it is the same file as {input}, which this command reads; write to another file"
            ));
        }
        if metadata.len() == 0 {
            return Ok(Existing::Replace);
        }
        let found = kind(path);
        if self.force == Some(true) || found == Ok(self.kind) && !self.asks() {
            return Ok(Existing::Replace);
        }
        let found = match &found {
            Ok(found) => found.name(),
            Err(other) => other.as_str(),
        };
        match self.force {
            Some(_) => refuse(&format!(
                "it exists already, and is {found}; write to another file, or --force replaces it"
            )),
            None => refuse(&format!(
                "it exists already, and is {found}; write to another file"
            )),
        }
    }

    /// Whether a file of the same kind is replaced only with `--force`: it may be anything's, and
    /// have taken hours.
    fn asks(&self) -> bool {
        matches!(self.kind, Kind::Model | Kind::Importance)
    }
}

/// The kind of a file that is neither regular nor a link nor a folder.
fn special(kind: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        if kind.is_fifo() {
            return "a pipe";
        }
        if kind.is_socket() {
            return "a socket";
        }
    }
    let _ = kind;
    "a device"
}

/// Whether two names are of one file, be it by links.
fn is_same(a: &Path, b: &Path) -> bool {
    same_file::is_same_file(a, b).unwrap_or_else(|_| match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    })
}

/// The kind of a regular file: one that Godwit writes, or a description.
fn kind(path: &Path) -> Result<Kind, String> {
    let mut start = Vec::new();
    // Something else may be at the path than a moment ago: what is opened here is a file, and no
    // link.
    let opened = open_regular(path, Links::Refuse);
    let read =
        opened.and_then(|(mut file, _)| (&mut file).take(16).read_to_end(&mut start).map(|_| file));
    let file = match read {
        Ok(file) => file,
        Err(error) => return Err(format!("a file that can't be read ({error})")),
    };
    match &start[..] {
        [b'G', b'O', b'D', b'W', b'I', b'T', b'K', b'V', ..] => Ok(Kind::Context),
        [b'G', b'G', b'U', b'F', ..] => Ok(gguf_kind(path)),
        [_, _, _, _, _, 0, 0, 0, b'{', ..] => Err("a safetensors file".into()),
        text if begins_answers(text) => Ok(Kind::Answers),
        [b'{', ..] if is_conversation(file) => Ok(Kind::Conversation),
        text if !text
            .iter()
            .any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace()) =>
        {
            let text = String::from_utf8_lossy(text);
            Err(format!(
                "another file, which begins with {:?}",
                text.trim_end_matches(char::REPLACEMENT_CHARACTER)
            ))
        }
        _ => Err("another file".into()),
    }
}

fn gguf_kind(path: &Path) -> Kind {
    let kind =
        |gguf: Gguf| gguf.metadata().string("general.type").ok().flatten() == Some("imatrix");
    match open_file(path)
        .ok()
        .and_then(|file| Gguf::read(vec![file]).ok())
        .is_some_and(kind)
    {
        true => Kind::Importance,
        false => Kind::Model,
    }
}

/// Whether a file begins as answers do: also where its first line was cut off.
fn begins_answers(start: &[u8]) -> bool {
    let cut = &start[..start.len().min(ANSWER.len())];
    cut.len() > 2 && ANSWER.starts_with(cut)
}

fn is_conversation(mut file: File) -> bool {
    let mut json = Vec::new();
    let read = file
        .rewind()
        .and_then(|()| file.take(MOST_CONVERSATION).read_to_end(&mut json));
    let json = read
        .ok()
        .and_then(|_| serde_json::from_slice::<serde_json::Value>(&json).ok());
    json.is_some_and(|json| {
        json.as_object()
            .is_some_and(|keys| keys.len() == 1 && json["messages"].is_array())
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_comes_meanwhile_is_not_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("saved.kv");
        let write = |destination: &Destination, meanwhile: &[u8]| {
            let done = destination.write(async |out| {
                std::fs::write(&path, meanwhile).expect("a file");
                out.write_all(b"GODWITKV new")
                    .map_err(|error| Error::Write(error.to_string()))
            });
            pollster::block_on(done)
        };
        let destination =
            Destination::new(&path, Kind::Context, Some(false)).expect("nothing is there");
        let error = write(&destination, b"notes")
            .expect_err("notes are there")
            .to_string();
        assert!(
            error.contains("saved.kv") && error.contains("notes"),
            "{error}"
        );
        assert_eq!(std::fs::read(&path).expect("readable"), b"notes");
        write(&destination, b"GODWITKV old").expect("its own kind is replaced");
        assert_eq!(std::fs::read(&path).expect("readable"), b"GODWITKV new");
        assert_eq!(
            std::fs::read_dir(folder.path()).expect("a folder").count(),
            1
        );
    }

    #[test]
    fn kinds_are_told_apart() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let of = |bytes: &[u8]| {
            std::fs::write(&path, bytes).expect("a file");
            kind(&path)
        };
        assert_eq!(of(b"GODWITKV\x02\0\0\0"), Ok(Kind::Context));
        assert_eq!(of(b"GGUF\x03\0\0\0 cut"), Ok(Kind::Model));
        assert_eq!(of(br#"{"messages": []}"#), Ok(Kind::Conversation));
        assert_eq!(of(br#"{"line":1,"te"#), Ok(Kind::Answers));
        assert_eq!(of(br#"{"li"#), Ok(Kind::Answers));
        for other in [
            &br#"{"lines": []}"#[..],
            br#"{"messages": [], "model": "x"}"#,
            b"{",
            b"notes",
            b"\0\x01",
            b"\xff\xfe",
            b"GODWIT",
        ] {
            assert!(of(other).is_err(), "{other:?}");
        }
        assert_eq!(
            of(b"\x10\0\0\0\0\0\0\0{}"),
            Err("a safetensors file".into())
        );
    }
}
