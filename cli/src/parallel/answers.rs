//! The answers of `run --parallel`, and the file that they are appended to.

use std::collections::HashSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};

use godwit::low_level::io::durable::{Readers, means_no_locks, write_bytes};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::prompts::Prompt;
use crate::destination::{ANSWER, Destination, Kind};
use crate::exit::Unwritable;
use crate::output::{Output, json_line, note};

/// A line of the output.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// The prompt's line in the input, from 1.
    pub line: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Value>,
    /// The hash of the prompt's line.
    pub input: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Why there is no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Tokens of a prompt and its answer.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Usage {
    pub prompt_tokens: usize,
    pub cached_tokens: usize,
    pub completion_tokens: usize,
}

impl Answer {
    /// The line for a prompt, without an answer.
    pub fn to(prompt: Prompt) -> Self {
        Self {
            line: prompt.line,
            id: prompt.id,
            input: prompt.hash,
            text: None,
            finish_reason: None,
            usage: None,
            error: None,
        }
    }

    fn answers(&self, prompt: &Prompt) -> bool {
        (self.line, &self.input, &self.id) == (prompt.line, &prompt.hash, &prompt.id)
    }
}

/// Where answers go.
pub enum Answers {
    Stdout(Output),
    File { path: PathBuf, file: File },
}

impl Answers {
    /// Stdout.
    pub fn stdout() -> Self {
        Self::Stdout(Output::new())
    }

    /// Opens a file for appending. `prompts` loses those that the file answers; a last line that
    /// was cut off, and errors, are removed from the file. `inputs`: files that are read.
    ///
    /// # Errors
    /// The file can't be written, is another's, or holds other answers.
    pub fn open(
        path: &Path,
        inputs: &[PathBuf],
        prompts: &mut Vec<Prompt>,
    ) -> anyhow::Result<Self> {
        let mut destination = Destination::new(path, Kind::Answers, None)?;
        destination.protect(inputs.iter().cloned())?;
        let bad = |cause: String| unwritable(path, cause);
        let failed = |error: io::Error| bad(error.to_string());
        let mut file = append(path).map_err(failed)?;
        lock(&file, path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(failed)?;
        let kept = Kept::of(&text, prompts).map_err(bad)?;
        if kept.cut > 0 {
            note(&format!(
                "({}: the last line was cut off, and is removed)",
                path.display()
            ));
        }
        if kept.failed > 0 {
            // The lock goes with the old file. Windows replaces no file that is open.
            drop(file);
            write_bytes(path, Readers::Umask, &kept.text).map_err(failed)?;
            file = append(path).map_err(failed)?;
            lock(&file, path)?;
            note(&format!(
                "({}: lines that failed are tried again, and removed: {})",
                path.display(),
                kept.failed
            ));
        } else if kept.cut > 0 {
            file.set_len(kept.text.len() as u64).map_err(failed)?;
        }
        prompts.retain(|prompt| !kept.lines.contains(&prompt.line));
        Ok(Self::File {
            path: path.into(),
            file,
        })
    }

    /// Writes an answer, whole: a command that is killed leaves no half of it.
    pub fn write(&mut self, answer: &Answer) -> anyhow::Result<()> {
        match self {
            Self::Stdout(output) => output.json(answer),
            Self::File { path, file } => {
                file.write_all(json_line(answer)?.as_bytes())
                    .map_err(|error| {
                        let cause = format!("{error}; the same command goes on from here");
                        unwritable(path, cause).into()
                    })
            }
        }
    }

    /// Makes sure that the answers are on the disk.
    pub fn finish(&self) -> anyhow::Result<()> {
        match self {
            Self::Stdout(_) => Ok(()),
            Self::File { path, file } => file
                .sync_all()
                .map_err(|error| unwritable(path, error.to_string()).into()),
        }
    }

    /// The file, where there is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Stdout(_) => None,
            Self::File { path, .. } => Some(path),
        }
    }
}

/// The files that the command reads besides the model's: stdin may be one.
pub fn inputs(file: &Path) -> Vec<PathBuf> {
    match file.to_str() {
        Some("-") if cfg!(unix) && !io::stdin().is_terminal() => vec!["/dev/stdin".into()],
        Some("-") => Vec::new(),
        _ => vec![file.into()],
    }
}

fn unwritable(path: &Path, cause: String) -> Unwritable {
    Unwritable {
        file: path.display().to_string(),
        cause,
    }
}

fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).open(path)
}

/// Two commands that append to one file would answer everything twice.
fn lock(file: &File, path: &Path) -> anyhow::Result<()> {
    let cause = match file.try_lock() {
        Ok(()) => return Ok(()),
        Err(TryLockError::Error(error)) if means_no_locks(&error) => return Ok(()),
        Err(TryLockError::Error(error)) => error.to_string(),
        Err(TryLockError::WouldBlock) => {
            "another process writes answers to it; wait until it ends, or write to another file"
                .into()
        }
    };
    Err(unwritable(path, cause).into())
}

/// What is kept of a file of answers.
#[derive(Default)]
struct Kept {
    text: Vec<u8>,
    /// Lines of the input that are answered.
    lines: HashSet<usize>,
    /// Bytes of a last line that was cut off.
    cut: usize,
    /// Lines that say why there is no answer.
    failed: usize,
}

impl Kept {
    fn of(text: &[u8], prompts: &[Prompt]) -> Result<Self, String> {
        let mut kept = Self::default();
        let other = "write to another file, or remove this one";
        for (index, line) in text.split_inclusive(|&byte| byte == b'\n').enumerate() {
            let number = index + 1;
            if line.last() != Some(&b'\n') {
                let begin = line.len().min(ANSWER.len());
                if line[..begin] != ANSWER[..begin] {
                    return Err(format!("line {number} is no answer; {other}"));
                }
                kept.cut = line.len();
                continue;
            }
            let answer: Answer = serde_json::from_slice(line)
                .map_err(|_| format!("line {number} is no answer; {other}"))?;
            let at = prompts.binary_search_by_key(&answer.line, |prompt| prompt.line);
            if !at.is_ok_and(|at| answer.answers(&prompts[at])) {
                return Err(format!(
                    "line {number} answers another prompt than line {} of the input; {other}",
                    answer.line
                ));
            }
            if answer.error.is_some() {
                kept.failed += 1;
            } else {
                kept.lines.insert(answer.line);
                kept.text.extend_from_slice(line);
            }
        }
        Ok(kept)
    }
}
