//! `godwit chat`: a conversation on the terminal.

mod commands;
mod external;
mod forks;
mod settings;
mod suggestions;
mod table;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use godwit::{Error, GenerateOptions, Message, Model, Sampling, Session};

use self::commands::Next;
use self::forks::Forks;
use self::suggestions::Suggestions;
use crate::answer::{BrokenOff, StopReason, generate, timings};
use crate::args::ChatArgs;
use crate::context::{Contexts, Note, set_system};
use crate::exit::{Interrupted, PromptTooLong, Unanswered};
use crate::lines::Messages;
use crate::load::{self, Loaded};
use crate::locate;
use crate::output::{self, Output, note};
use crate::stop::Stop;
use crate::terminal;

pub fn run(args: &ChatArgs) -> anyhow::Result<()> {
    args.ignored.say();
    args.sampling.check()?;
    pollster::block_on(converse(args))
}

/// A conversation and what it took.
struct Chat<'a> {
    contexts: Contexts<'a>,
    session: Session,
    /// A session of the model that guesses.
    draft: Option<Session>,
    sampling: Sampling,
    /// Tokens of an answer at most.
    tokens: usize,
    /// Texts that end an answer.
    stops: Vec<String>,
    /// Each answer is followed by its timings.
    is_verbose: bool,
    /// Answers are shown as they are.
    is_plain: bool,
    messages: Vec<Message>,
    /// The last answer ended before the model ended it.
    is_cut: bool,
    /// The transcript that was saved or loaded last.
    transcript: Option<PathBuf>,
    forks: Forks,
    suggestions: Arc<Suggestions>,
    prompt_tokens: usize,
    reused_tokens: usize,
    generated_tokens: usize,
    seconds: f64,
}

async fn converse(args: &ChatArgs) -> anyhow::Result<()> {
    let stop = Stop::listen()?;
    // What is typed while the model loads waits for the line editor, and is not shown before.
    terminal::keep();
    terminal::quiet();
    let mut contexts = Contexts::new(&args.saved, &stop)?;
    contexts.check_resume(&args.model.kv.format())?;
    if let Some(model) = &args.model.source.file.model {
        locate::check(model)?;
    }
    let needs_hash = contexts.needs_hash(0);
    let opened = |model: &Model| contexts.note_other_name(model);
    let loaded = load::load_with(&args.model, &args.common, needs_hash, &stop, &opened).await?;
    let Loaded { model, engine, .. } = loaded;
    contexts.protect(&model, None)?;
    let sampling = args.sampling.over(model.recommended());
    sampling
        .validate(model.config().vocab)
        .map_err(Error::from)?;
    // A model without a template is found out now, not after the first message.
    model.chat()?;
    let mut session = engine.session().await?;
    let draft = load::draft(&args.speculation, &args.model, &engine, &stop).await?;
    let resumed = contexts.resume(&mut session).await?.unwrap_or_default();
    let is_cut = !resumed.messages.is_empty() && !resumed.is_complete;
    let mut messages = resumed.messages;
    set_system(&mut messages, args.system.as_deref());
    let mut chat = Chat {
        contexts,
        session,
        draft,
        sampling,
        tokens: args.tokens,
        stops: args.sampling.stop.clone(),
        is_verbose: args.common.verbose > 0,
        is_plain: args.plain,
        messages,
        is_cut,
        transcript: None,
        forks: Forks::default(),
        suggestions: Arc::default(),
        prompt_tokens: 0,
        reused_tokens: 0,
        generated_tokens: 0,
        seconds: 0.0,
    };
    let mut is_again = false;
    loop {
        let ended = chat.talk(args, &stop).await;
        // A line editor may still wait for a line that nobody will type.
        terminal::restore();
        // Whatever ended it, the conversation is worth more than the order of messages about its
        // end.
        let saved = chat.contexts.save(&chat.session, &chat.note()).await;
        ended?;
        match saved {
            Ok(()) => break,
            // A full disk must not cost the conversation.
            Err(error) if !is_again && !stop.terminated() && std::io::stdin().is_terminal() => {
                is_again = true;
                note(&format!("error: {error:#}"));
                note(
                    "Make room there, or /save FILE keeps the conversation elsewhere; /exit once \
                     more leaves.",
                );
            }
            Err(error) => return Err(error),
        }
    }
    if stop.terminated() {
        Err(Interrupted.into())
    } else {
        Ok(())
    }
}

/// Whether what stands behind a slash is meant as a command: a path is a message, and so is a text
/// of several lines that begins with no command.
fn is_command(text: &str) -> bool {
    let name = text.split_whitespace().next().unwrap_or_default();
    table::find(name).is_some() || !(name.contains('/') || text.contains('\n'))
}

fn is_about_the_turn(error: &anyhow::Error) -> bool {
    error.is::<godwit::errors::ChatError>()
        || error.is::<Interrupted>()
        || error.is::<PromptTooLong>()
        || match error.downcast_ref() {
            Some(Error::ContextFull { .. }) => true,
            Some(Error::Gpu(error)) => error.is_out_of_memory(),
            Some(Error::Spill(_)) => true,
            _ => false,
        }
}

impl Chat<'_> {
    /// Answers messages until there are no more, or the program is to end.
    async fn talk(&mut self, args: &ChatArgs, stop: &Stop) -> anyhow::Result<()> {
        self.publish_names();
        let mut messages = Messages::open(stop, Arc::clone(&self.suggestions) as _)?;
        if messages.is_terminal() {
            let engine = self.session.engine();
            let name = engine.model().name();
            note(&format!(
                "{} on {}. /help lists the commands.",
                output::shown(&name),
                engine.gpu().summary()
            ));
            self.show_last_exchange()?;
        }
        let mut unanswered = 0;
        while let Some(typed) = messages.next()? {
            stop.clear();
            let text = typed.text.trim();
            if text.is_empty() {
                continue;
            }
            let answered = match text.strip_prefix('/') {
                Some(command) if !typed.is_quoted && is_command(command) => {
                    self.obey(command, args, stop).await
                }
                _ => {
                    let answered = self.turn(text, None, args, stop).await;
                    answered.map(|()| Next::GoOn)
                }
            };
            match answered {
                Ok(Next::Leave) => break,
                Ok(Next::GoOn) => {}
                // A program that is to end says nothing more.
                Err(_) if stop.terminated() => break,
                Err(error) if error.is::<Interrupted>() => {
                    note("(stopped; the message was not answered)")
                }
                // The message can't be answered, but the conversation goes on.
                Err(error) if is_about_the_turn(&error) => {
                    unanswered += 1;
                    note(&format!("error: {error:#}\n/clear begins anew."));
                }
                Err(error) => return Err(error),
            }
        }
        // A person has seen it; a script sees the exit code.
        if messages.is_terminal() || unanswered == 0 {
            Ok(())
        } else {
            Err(Unanswered(unanswered).into())
        }
    }

    /// Where the last question is.
    fn last_question(&self) -> Option<usize> {
        self.messages
            .iter()
            .rposition(|message| message.role == "user")
    }

    /// What is kept of the conversation in a snapshot.
    fn note(&self) -> Note {
        Note {
            messages: self.messages.clone(),
            is_complete: !self.is_cut,
            ..Note::default()
        }
    }

    /// Lets the line editor suggest the names of the conversations.
    fn publish_names(&self) {
        self.suggestions.set_forks(self.forks.names());
    }

    /// Answers the last question anew. Where no other answer comes, the earlier one stays.
    async fn retry(&mut self, args: &ChatArgs, stop: &Stop) -> anyhow::Result<()> {
        let Some(at) = self.last_question() else {
            note("There is no answer to generate anew.");
            return Ok(());
        };
        if self.sampling.is_greedy() {
            note("(only the most likely token is ever chosen: the answer will be the same)");
        }
        let mut exchange = self.messages.split_off(at).into_iter();
        let question = exchange.next().map(|message| message.content);
        let earlier = exchange.next();
        self.turn(&question.unwrap_or_default(), earlier, args, stop)
            .await
    }

    /// Answers one message. The KV cache keeps all tokens that are the same as before. `earlier`:
    /// the answer that is to be replaced.
    async fn turn(
        &mut self,
        text: &str,
        earlier: Option<Message>,
        args: &ChatArgs,
        stop: &Stop,
    ) -> anyhow::Result<()> {
        self.messages.push(Message::user(text));
        let ids = match self.prompt(args) {
            Ok(ids) => ids,
            Err(error) => {
                self.leave_unanswered(earlier);
                return Err(error);
            }
        };
        let begin = Instant::now();
        let reuse = match self.contexts.prefill(&mut self.session, &ids).await {
            Ok(reuse) => reuse,
            Err(error) => {
                self.leave_unanswered(earlier);
                return Err(error);
            }
        };
        let prefill_s = begin.elapsed().as_secs_f64();
        let known = reuse.kept + reuse.loaded;
        self.prompt_tokens += ids.len() - known;
        self.reused_tokens += known;

        let mut output = Output::for_answers(self.is_plain);
        let streams = !args.common.json;
        let options = GenerateOptions::default()
            .sampling(self.sampling.clone())
            .max_tokens(self.tokens)
            .stop(self.stops.clone())
            .context_shift(args.saved.context_shift.then_some(0))
            .speculation(args.speculation.speculate);
        let mut each = |piece: &str| if streams { output.text(piece) } else { Ok(()) };
        let answer = match generate(
            &mut self.session,
            self.draft.as_mut(),
            options,
            stop,
            &mut each,
        )
        .await
        {
            Ok(answer) => answer,
            Err(BrokenOff { answer, error }) => {
                // Its line ends, for the message that follows.
                if streams && !answer.text.is_empty() {
                    let _ = output.end_answer();
                }
                self.break_off(answer.text, earlier);
                return Err(error);
            }
        };
        // The next turn draws other numbers.
        self.sampling.seed = self.sampling.seed.wrapping_add(1);
        self.generated_tokens += answer.ids.len();
        self.seconds += answer.seconds;
        // Kept before it is shown: whoever reads the output may be gone.
        match answer.reason {
            StopReason::EndOfTurn | StopReason::StopString => {
                self.messages.push(Message::assistant(&*answer.text));
                self.is_cut = false;
            }
            _ => self.break_off(answer.text.clone(), earlier),
        }
        if streams {
            output.end_answer()?;
        } else {
            output.json(&serde_json::json!({
                "text": answer.text,
                "prompt_tokens": ids.len() - known,
                "reused_tokens": known,
                "generated_tokens": answer.ids.len(),
                "decode_tokens_per_s": answer.tokens_per_s(),
                "stop_reason": answer.reason,
            }))?;
        }
        if let Some(notice) = answer.notice() {
            note(&notice);
        }
        if self.is_verbose {
            note(&timings(&reuse, prefill_s, &answer));
        }
        if matches!(answer.reason, StopReason::Context | StopReason::Memory) {
            note("/clear begins anew.");
        }
        Ok(())
    }

    /// Puts as much as there is of an answer into the conversation.
    fn break_off(&mut self, answer: String, earlier: Option<Message>) {
        if answer.is_empty() {
            self.leave_unanswered(earlier);
        } else {
            self.messages.push(Message::assistant(answer));
            self.is_cut = true;
        }
    }

    /// Ends a turn without an answer. The question leaves the conversation, unless it has an
    /// earlier answer: most templates refuse two questions in a row.
    fn leave_unanswered(&mut self, earlier: Option<Message>) {
        match earlier {
            Some(answer) => {
                self.messages.push(answer);
                note("(the earlier answer stays)");
            }
            None => drop(self.messages.pop()),
        }
    }

    /// The conversation as tokens. Where it may be shifted, its oldest messages go until an answer
    /// has room.
    fn prompt(&mut self, args: &ChatArgs) -> anyhow::Result<Vec<u32>> {
        let model = self.session.engine().model().clone();
        let chat = model.chat()?;
        loop {
            let ids = chat.encode(model.tokenizer(), &self.messages, true)?;
            let context = self.session.context() as usize;
            let room = self.tokens.min(context / 4);
            let oldest = self
                .messages
                .iter()
                .position(|message| message.role != "system");
            let (true, Some(oldest)) = (
                args.saved.context_shift && ids.len() + room > context,
                oldest,
            ) else {
                return Ok(ids);
            };
            // A question goes with its answer; the last question stays.
            if oldest + 2 >= self.messages.len() {
                return Ok(ids);
            }
            self.messages.drain(oldest..oldest + 2);
        }
    }
}
