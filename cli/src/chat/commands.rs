//! The commands of a conversation that need no answer of the model.

use std::path::Path;

use godwit::{Error, Message};
use serde::Serialize;

use super::Chat;
use super::forks::first_words;
use crate::answer::rate;
use crate::context::set_system;
use crate::destination::{Destination, Kind};
use crate::exit::Unwritable;
use crate::output::{self, note};

const HELP: &str = "\
/help             this list
/retry            generate the last answer anew
/undo             remove the last question and its answer
/fork [NAME]      go on in a copy of the conversation; the conversation so far stays as it is
/forks            list the conversations
/switch NAME      go to another one
/clear            begin anew; the system message stays
/system           show the system message
/system TEXT      set it; the conversation stays. /system - removes it
/save FILE        write the conversation to a JSON file
/stats            tokens, speed and memory so far
/exit             leave (so does Ctrl-D)
A line that ends in \\ goes on in the next; \"\"\" begins and ends several lines.
Ctrl-C stops the answer, or leaves what is being typed unsent.";

impl Chat<'_> {
    /// Removes the last question and its answer.
    fn undo(&mut self) {
        let Some(at) = self.last_question() else {
            note("There is nothing to undo.");
            return;
        };
        let words = first_words(&self.messages[at].content);
        self.messages.truncate(at);
        note(&format!(
            "Removed \"{words}\" and its answer; {} messages are left.",
            self.messages.len()
        ));
    }

    /// Obeys a command that needs no answer of the model.
    pub(super) fn command(&mut self, name: &str, rest: &str) {
        match name {
            "help" => note(HELP),
            "undo" => self.undo(),
            "fork" => match self.forks.fork(rest, &self.messages) {
                Ok(from) => note(&format!(
                    "This is {} now, a copy of {from}; /switch {from} goes back.",
                    self.forks.current
                )),
                Err(error) => note(&format!("error: {error}")),
            },
            "forks" => note(&self.forks.list(&self.messages)),
            "switch" => match self.forks.switch(rest, &mut self.messages) {
                Ok(()) => note(&format!(
                    "This is {}, with {} messages.",
                    self.forks.current,
                    self.messages.len()
                )),
                Err(error) => note(&format!("error: {error}")),
            },
            "clear" => {
                self.messages.retain(|message| message.role == "system");
                note("Conversation cleared.");
            }
            "system" if rest.is_empty() => match self
                .messages
                .iter()
                .find(|message| message.role == "system")
            {
                Some(message) => note(&message.content),
                None => note("There is no system message; /system TEXT sets one."),
            },
            "system" => {
                let text = (rest != "-").then_some(rest);
                self.messages.retain(|message| message.role != "system");
                set_system(&mut self.messages, text);
                let changed = if text.is_some() {
                    "The system message is set"
                } else {
                    "There is no system message now"
                };
                note(&format!(
                    "{changed}; the conversation goes on. /clear begins it anew."
                ));
            }
            "save" if rest.is_empty() => note("error: /save needs a file name"),
            "save" => match self.save(rest) {
                Ok(()) => note(&format!(
                    "Saved {} messages to {rest}.",
                    self.messages.len()
                )),
                Err(error) => note(&format!("error: {error:#}")),
            },
            "stats" => self.stats(),
            _ => note(&format!(
                "Unknown command /{}. Type /help.",
                output::shown(name)
            )),
        }
    }

    fn save(&self, file: &str) -> anyhow::Result<()> {
        #[derive(Serialize)]
        struct Saved<'a> {
            messages: &'a [Message],
        }
        if self.contexts.is_saved_to(Path::new(file)) {
            let what =
                "the context is saved there at the end; name another file for the conversation";
            return Err(Unwritable {
                file: file.into(),
                cause: what.into(),
            }
            .into());
        }
        let text = serde_json::to_string_pretty(&Saved {
            messages: &self.messages,
        })?;
        let mut destination = Destination::new(Path::new(file), Kind::Conversation, None)?;
        destination.protect(self.session.engine().model().checkpoint().paths())?;
        let write = destination.write(async |out| {
            std::io::Write::write_all(out, text.as_bytes())
                .map_err(|error| Error::unwritten(&error))
        });
        pollster::block_on(write)
    }

    fn stats(&self) {
        let memory = self.session.memory();
        note(&format!(
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
        ));
    }
}
