//! What the commands of a conversation do.

use std::path::Path;

use godwit::Message;

use super::Chat;
use super::forks::first_words;
use super::settings;
use super::table::{Verb, find, help, unknown};
use crate::answer::rate;
use crate::args::ChatArgs;
use crate::context::{conversation, is_snapshot, set_system};
use crate::exit::Unwritable;
use crate::output::{self, Output, note, shown};
use crate::paths::expanded;
use crate::screen::is_interactive;
use crate::stop::Stop;
use crate::{clipboard, transcript};

/// Whether a conversation goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    GoOn,
    Leave,
}

impl Chat<'_> {
    /// Obeys a command. `line`: what was typed behind the slash.
    pub(super) async fn obey(
        &mut self,
        line: &str,
        args: &ChatArgs,
        stop: &Stop,
    ) -> anyhow::Result<Next> {
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        let Some(command) = find(name) else {
            note(&unknown(name));
            return Ok(Next::GoOn);
        };
        match command.verb {
            Verb::Exit => return Ok(Next::Leave),
            Verb::Retry => self.retry(args, stop).await?,
            Verb::Edit => self.edit(rest, args, stop).await?,
            Verb::Set => self.set(rest, args, stop).await?,
            verb => match self.obey_at_once(verb, rest) {
                Ok(message) => note(&message),
                Err(error) => note(&format!("error: {error:#}")),
            },
        }
        self.publish_names();
        Ok(Next::GoOn)
    }

    /// Obeys a command that needs neither the model nor the GPU; returns what to say.
    fn obey_at_once(&mut self, verb: Verb, rest: &str) -> anyhow::Result<String> {
        Ok(match verb {
            Verb::Help => help(),
            Verb::Show => self.show(),
            Verb::System => self.system(rest),
            Verb::Undo => self.undo(),
            Verb::Copy => self.copy()?,
            Verb::Fork => {
                let from = self
                    .forks
                    .fork(rest, &self.messages)
                    .map_err(anyhow::Error::msg)?;
                format!(
                    "This is {} now, a copy of {from}; /switch {from} goes back.",
                    self.forks.current
                )
            }
            Verb::Forks => self.forks.list(&self.messages),
            Verb::Switch => {
                self.forks
                    .switch(rest, &mut self.messages)
                    .map_err(anyhow::Error::msg)?;
                self.is_cut = false;
                format!(
                    "This is {}, with {} messages.",
                    self.forks.current,
                    self.messages.len()
                )
            }
            Verb::Clear => {
                self.messages.retain(|message| message.role == "system");
                self.is_cut = false;
                "Conversation cleared.".into()
            }
            Verb::Save => self.save(rest)?,
            Verb::Load => self.load(rest)?,
            Verb::Stats => self.stats(),
            Verb::Exit | Verb::Retry | Verb::Edit | Verb::Set => String::new(),
        })
    }

    /// Removes the last question and its answer.
    fn undo(&mut self) -> String {
        let Some(at) = self.last_question() else {
            return "There is nothing to undo.".into();
        };
        let words = first_words(&self.messages[at].content);
        self.messages.truncate(at);
        self.is_cut = false;
        format!(
            "Removed \"{words}\" and its answer; {} messages are left.",
            self.messages.len()
        )
    }

    /// Shows, sets or removes the system message.
    pub(super) fn system(&mut self, text: &str) -> String {
        if text.is_empty() {
            return match self.system_message() {
                Some(text) => text.into(),
                None => "There is no system message; /system TEXT sets one.".into(),
            };
        }
        let text = (text != "-").then_some(text);
        self.messages.retain(|message| message.role != "system");
        set_system(&mut self.messages, text);
        let changed = match text {
            Some(_) => "The system message is set",
            None => "There is no system message now",
        };
        format!("{changed}; the conversation goes on. /clear begins it anew.")
    }

    pub(super) fn system_message(&self) -> Option<&str> {
        let system = self
            .messages
            .iter()
            .find(|message| message.role == "system");
        system.map(|message| &*message.content)
    }

    fn copy(&self) -> anyhow::Result<String> {
        let answer = self
            .messages
            .iter()
            .rfind(|message| message.role == "assistant");
        let Some(answer) = answer else {
            return Ok("There is no answer to copy.".into());
        };
        let program = clipboard::copy(&answer.content)?;
        let words = first_words(&answer.content);
        Ok(format!("Copied \"{words}\" to the clipboard ({program})."))
    }

    fn save(&mut self, file: &str) -> anyhow::Result<String> {
        let path = match (file, &self.transcript) {
            ("", Some(path)) => path.clone(),
            ("", None) => return Err(anyhow::Error::msg("/save needs a file name")),
            (file, _) => expanded(Path::new(file)),
        };
        if self.contexts.is_saved_to(&path) {
            let cause = "the context is saved there at the end; name another file for the \
                         conversation";
            return Err(Unwritable {
                file: path.display().to_string(),
                cause: cause.into(),
            }
            .into());
        }
        let model = self.session.engine().model();
        transcript::write(&path, &self.messages, model.checkpoint().paths())?;
        let count = self.messages.len();
        let said = format!(
            "Saved {count} messages to {}, a transcript.",
            path.display()
        );
        self.transcript = Some(path);
        Ok(said)
    }

    /// Goes on with the conversation of a file. The one so far stays, under its name.
    fn load(&mut self, file: &str) -> anyhow::Result<String> {
        if file.is_empty() {
            return Err(anyhow::Error::msg("/load needs a file name"));
        }
        let path = expanded(Path::new(file));
        let (messages, kind) = match is_snapshot(&path)? {
            true => (conversation(&path)?, "snapshot"),
            false => (transcript::read(&path)?, "transcript"),
        };
        let has_talked = self.messages.iter().any(|message| message.role != "system");
        let mut back = String::new();
        if has_talked {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            let word = stem.split_whitespace().collect::<Vec<_>>().join("-");
            // A name that is taken gives way to a number.
            let from = self
                .forks
                .fork(&word, &self.messages)
                .or_else(|_| self.forks.fork("", &self.messages))
                .map_err(anyhow::Error::msg)?;
            back = format!(" /switch {from} goes back to the conversation before.");
        }
        self.messages = messages;
        self.is_cut = false;
        if kind == "transcript" {
            self.transcript = Some(path.clone());
        }
        self.show_last_exchange()?;
        Ok(format!(
            "Loaded {} messages from the {kind} {}.{back}",
            self.messages.len(),
            path.display()
        ))
    }

    /// Shows the last question and its answer to a person.
    pub(super) fn show_last_exchange(&self) -> anyhow::Result<()> {
        let Some(at) = self.last_question().filter(|_| is_interactive()) else {
            return Ok(());
        };
        let [question, rest @ ..] = &self.messages[at..] else {
            return Ok(());
        };
        note(&format!("> {}", question.content));
        if let Some(Message { content, .. }) = rest.first() {
            let mut output = Output::for_answers(self.is_plain);
            output.text(content)?;
            output.end_answer()?;
        }
        Ok(())
    }

    fn show(&self) -> String {
        let engine = self.session.engine();
        let mut text = format!(
            "{:<20} {}\n{:<20} {}\n",
            "model",
            shown(&engine.model().name()),
            "GPU",
            engine.gpu().summary(),
        );
        text.push_str(&settings::list(self));
        text
    }

    fn stats(&self) -> String {
        let memory = self.session.memory();
        format!(
            "context: {} of {} tokens\nprompts: {} tokens computed, {} reused\nanswers: {} tokens \
             at {:.1}/s\n\
             memory: weights {}, KV cache {}, scratch {}",
            self.session.tokens().len(),
            self.session.context(),
            self.prompt_tokens,
            self.reused_tokens,
            self.generated_tokens,
            rate(self.generated_tokens, self.seconds),
            output::bytes(memory.weights),
            output::bytes(memory.kv),
            output::bytes(memory.scratch),
        )
    }
}
