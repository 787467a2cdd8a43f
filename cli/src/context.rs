//! The contents of a session: prompts that go into it through the cache on disk, and contexts that
//! are saved and resumed.

use std::io::{BufReader, IsTerminal as _, Read as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use godwit::errors::SnapshotError;
use godwit::low_level::io::private::user_cache_folder;
use godwit::prefix_cache::BLOCK;
use godwit::{
    Error, KvFormat, Message, Model, PrefixCache, Progress, Reuse, Session, SnapshotHeader,
};
use serde::{Deserialize, Serialize};

use crate::args::SavedArgs;
use crate::destination::{Destination, Kind};
use crate::exit::{BadInput, Interrupted, ended, prompt_error, stopped};
use crate::input::open;
use crate::load::hash_weights;
use crate::output::{bytes, note};
use crate::progress::{Bar, bar};
use crate::stop::Stop;
use crate::transcript;

/// The note that goes with a saved context.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Note {
    /// The conversation, where it is one.
    pub messages: Vec<Message>,
    /// The tokens of a raw text that the snapshot does not hold: those after its last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rest: Vec<u32>,
    /// The last reply ended as the model ended it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_complete: bool,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}

/// The beginning of a snapshot.
const SNAPSHOT: &[u8] = b"GODWITKV";

/// What a file that was named for resuming holds.
enum Resumed {
    /// A snapshot, and what it says of itself.
    Snapshot(SnapshotHeader),
    /// A transcript.
    Transcript(Vec<Message>),
}

/// The cache of long prompts; none where it is not wanted.
pub fn prompt_cache(args: &SavedArgs) -> Option<PrefixCache> {
    let folder = args
        .cache_dir
        .clone()
        .or_else(|| Some(user_cache_folder()?.join("godwit").join("prompts")));
    folder
        .filter(|_| !args.no_cache)
        .map(|folder| PrefixCache::new(folder, args.cache_size))
}

/// The folders and files that contexts are in.
pub struct Contexts<'a> {
    args: &'a SavedArgs,
    destination: Option<Destination>,
    cache: Option<PrefixCache>,
    /// The file that was named for resuming.
    resumed: Option<Resumed>,
    stop: &'a Stop,
}

impl<'a> Contexts<'a> {
    /// Fails where nothing could be saved: now, not after the work.
    pub fn new(args: &'a SavedArgs, stop: &'a Stop) -> anyhow::Result<Self> {
        let save = args.save.as_deref();
        let destination = save
            .map(|path| Destination::new(path, Kind::Context, Some(args.force)))
            .transpose()?;
        Ok(Self {
            args,
            destination,
            cache: prompt_cache(args),
            resumed: None,
            stop,
        })
    }

    /// Fails where the file that was named for resuming is certainly wrong: before a model is
    /// loaded and its weights are hashed. `kv`: the type of KV cache that was asked for.
    pub fn check_resume(&mut self, kv: &KvFormat) -> anyhow::Result<()> {
        let Some(path) = &self.args.resume else {
            return Ok(());
        };
        let name = || path.display().to_string();
        if !is_snapshot(path)? {
            self.resumed = Some(Resumed::Transcript(transcript::read(path)?));
            return Ok(());
        }
        let header = SnapshotHeader::read(&mut BufReader::new(open(path)?))
            .map_err(Error::from)
            .with_context(name)?;
        if header.kv != kv.to_string() {
            let why = "the KV cache has another type; use the same --kv";
            return Err(foreign(&header, why)).with_context(name);
        }
        self.resumed = Some(Resumed::Snapshot(header));
        Ok(())
    }

    /// Whether the hash of the weights is going to be needed for a prompt of so many bytes.
    pub fn needs_hash(&self, prompt_bytes: usize) -> bool {
        let resumes = matches!(self.resumed, Some(Resumed::Snapshot(_)));
        self.args.needs_hash(prompt_bytes, resumes)
    }

    /// Notes that the file that was named for resuming was saved with a model of another name: it
    /// is used only if the weights are the same, which is known once they are hashed.
    pub fn note_other_name(&self, model: &Model) {
        let (Some(Resumed::Snapshot(header)), Some(path)) = (&self.resumed, &self.args.resume)
        else {
            return;
        };
        // Earlier versions saved the title in the metadata.
        let title = model.checkpoint().metadata().string("general.name");
        let is_title = title.is_ok_and(|title| title == Some(&*header.model));
        let name = model.name();
        if name != header.model && !is_title {
            note(&format!(
                "({} was saved with {}, and this model is {name}: their weights are compared)",
                path.display(),
                header.model
            ));
        }
    }

    /// Fails where saving would replace a file of this model, or another that is read: now, not
    /// after the work.
    pub fn protect(&mut self, model: &Model, read: Option<PathBuf>) -> anyhow::Result<()> {
        // A file that was redirected into stdin has a name too.
        let stdin =
            (cfg!(unix) && !std::io::stdin().is_terminal()).then(|| PathBuf::from("/dev/stdin"));
        let inputs = model
            .checkpoint()
            .paths()
            .into_iter()
            .chain(read)
            .chain(stdin);
        self.destination
            .as_mut()
            .map_or(Ok(()), |destination| destination.protect(inputs))
    }

    /// Whether a file is the one that the context is saved to at the end.
    pub fn is_saved_to(&self, path: &Path) -> bool {
        self.destination
            .as_ref()
            .is_some_and(|destination| destination.is(path))
    }

    /// Shows how far an operation is. Ends it at Ctrl-C.
    fn step(&self, bar: &Bar, now: Progress) -> ControlFlow<()> {
        bar.show(now);
        self.stop.flow()
    }

    /// Hashes the model's weights, unless their hash is known, with a progress bar. Stops at
    /// Ctrl-C. Other errors are ignored here; the caller that uses the hash reports them.
    fn hash_weights(&self, session: &Session) -> anyhow::Result<()> {
        match hash_weights(session.engine().model(), self.stop) {
            Err(Error::Stopped) => Err(Interrupted.into()),
            _ => Ok(()),
        }
    }

    /// Brings the session to hold exactly these tokens, with a progress bar. Stops at Ctrl-C.
    pub async fn prefill(&self, session: &mut Session, tokens: &[u32]) -> anyhow::Result<Reuse> {
        check_prompt(session, tokens)?;
        if self.cache.is_some() && tokens.len() > BLOCK {
            self.hash_weights(session)?;
        }
        let spilled = session.spilled_bytes();
        let bar = bar("reading", "{pos}/{len} tokens, {per_sec}");
        bar.show(Progress::new(0, tokens.len() as u64));
        let mut show = |now: Progress| self.step(&bar, now);
        let result = match &self.cache {
            Some(cache) => cache.prefill(session, tokens, &mut show).await,
            None => session.prefill_to(tokens, &mut show).await,
        };
        drop(bar);
        if session.spilled_bytes() > spilled {
            let bytes = bytes(session.spilled_bytes());
            note(&format!(
                "({bytes} of the KV cache are on the host, for want of GPU memory: exact, but \
                 slower)"
            ));
        }
        result.map_err(stopped)
    }

    /// Resumes from the file that was named, if one was. Returns the conversation in it.
    pub async fn resume(&self, session: &mut Session) -> anyhow::Result<Option<Note>> {
        let Some(path) = &self.args.resume else {
            return Ok(None);
        };
        if let Some(Resumed::Transcript(messages)) = &self.resumed {
            return Ok(Some(Note {
                messages: messages.clone(),
                ..Note::default()
            }));
        }
        let name = || path.display().to_string();
        let file = open(path)?;
        self.hash_weights(session)?;
        let bar = bar("resuming", "{pos}/{len} tokens");
        let mut show = |now: Progress| self.step(&bar, now);
        let result = session
            .resume(
                &mut BufReader::with_capacity(1 << 20, file),
                None,
                &mut show,
            )
            .await;
        drop(bar);
        let header = match result {
            // The file is to blame, or its text; not what the GPU or the host has no room for.
            Err(error @ Error::Snapshot(_)) => return Err(error).with_context(name),
            result => result.map_err(stopped)?,
        };
        Ok(Some(
            serde_json::from_value(header.note).unwrap_or_default(),
        ))
    }

    /// Saves to the file that was named, if one was.
    pub async fn save(&self, session: &Session, note: &Note) -> anyhow::Result<()> {
        let Some(destination) = &self.destination else {
            return Ok(());
        };
        if session.tokens().is_empty() {
            return Ok(());
        }
        // Ctrl-C has ended the answer; who presses it twice more gives this up. A termination
        // signal waits.
        self.stop.clear();
        let bar = bar("saving", "{pos}/{len} tokens");
        bar.show(Progress::new(0, session.tokens().len() as u64));
        let note = serde_json::to_value(note)?;
        let mut show = |now: Progress| {
            bar.show(now);
            if self.stop.insisted() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let end = session.tokens().len();
        let written =
            destination.write(async |file| session.save(file, 0..end, note, &mut show).await);
        let result = written.await;
        drop(bar);
        result.map_err(ended)
    }
}

/// Refuses a prompt that the context has no room for, in the terms of the command line.
fn check_prompt(session: &Session, tokens: &[u32]) -> anyhow::Result<()> {
    let window = session.engine().model().config().context;
    let refused = session.check_prompt(tokens).err();
    refused.map_or(Ok(()), |error| Err(prompt_error(error, window)))
}

/// Whether a file begins as snapshots do.
pub fn is_snapshot(path: &Path) -> anyhow::Result<bool> {
    let mut start = Vec::new();
    let read = open(path)?
        .take(SNAPSHOT.len() as u64)
        .read_to_end(&mut start);
    read.map_err(|error| BadInput {
        file: path.display().to_string(),
        cause: error.to_string(),
    })?;
    Ok(start == SNAPSHOT)
}

/// The conversation of a snapshot.
///
/// # Errors
/// The file is no snapshot.
pub fn conversation(path: &Path) -> anyhow::Result<Vec<Message>> {
    let header = SnapshotHeader::read(&mut BufReader::new(open(path)?))
        .map_err(Error::from)
        .with_context(|| path.display().to_string())?;
    let note: Note = serde_json::from_value(header.note).unwrap_or_default();
    Ok(note.messages)
}

/// Why a saved context can't be used here.
fn foreign(header: &SnapshotHeader, why: &'static str) -> Error {
    SnapshotError::Foreign {
        model: header.model.clone(),
        kv: header.kv.clone(),
        why,
    }
    .into()
}

/// Puts the system message, if there is one, in place of the conversation's.
pub fn set_system(messages: &mut Vec<Message>, system: Option<&str>) {
    if let Some(system) = system {
        messages.retain(|message| message.role != "system");
        messages.insert(0, Message::system(system));
    }
}
