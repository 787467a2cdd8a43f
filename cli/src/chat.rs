//! `godwit chat`: a conversation on the terminal.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::PathBuf;

use godwit::{Error, Message, Sampling, Session};
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use serde::Serialize;

use crate::args::ChatArgs;
use crate::context::{Contexts, set_system};
use crate::exit::BadInput;
use crate::load::{self, Loaded};
use crate::output::{self, Output};
use crate::run::{StopReason, generate, rate};
use crate::stop::Stop;

const HELP: &str = "\
/help             this list
/clear            begin anew; the system message stays
/system [TEXT]    set the system message and begin anew; without TEXT, none
/save FILE        write the conversation to a JSON file
/stats            tokens, speed and memory so far
/exit             leave (so does Ctrl-D)
A line that ends in \\ goes on in the next; \"\"\" begins and ends several lines.
Ctrl-C stops the answer.";

pub fn run(args: &ChatArgs) -> anyhow::Result<()> {
    pollster::block_on(converse(args))
}

/// Where a person's lines come from.
enum Lines {
    Editor(Box<DefaultEditor>, Option<PathBuf>),
    Piped,
}

impl Lines {
    fn open() -> anyhow::Result<Self> {
        if !std::io::stdin().is_terminal() {
            return Ok(Self::Piped);
        }
        let mut editor = DefaultEditor::new()?;
        let history = history_file();
        if let Some(path) = &history {
            // There is none yet at the first start.
            let _ = editor.load_history(path);
        }
        Ok(Self::Editor(Box::new(editor), history))
    }

    /// The next line; none at the end. Ctrl-C gives an empty one.
    fn next(&mut self, prompt: &str) -> anyhow::Result<Option<String>> {
        match self {
            Self::Editor(editor, _) => match editor.readline(prompt) {
                Ok(line) => Ok(Some(line)),
                Err(ReadlineError::Interrupted) => Ok(Some(String::new())),
                Err(ReadlineError::Eof) => Ok(None),
                Err(error) => Err(error.into()),
            },
            Self::Piped => {
                let mut bytes = Vec::new();
                std::io::stdin().lock().read_until(b'\n', &mut bytes)?;
                if bytes.is_empty() {
                    return Ok(None);
                }
                let line = String::from_utf8(bytes)
                    .map_err(|_| BadInput { file: "stdin".into(), fault: "a line is not UTF-8".into() })?;
                Ok(Some(line.trim_end_matches(['\n', '\r']).to_owned()))
            }
        }
    }

    /// The next message: lines that end in a backslash and lines between """ belong together.
    fn message(&mut self) -> anyhow::Result<Option<String>> {
        let Some(mut text) = self.next("> ")? else { return Ok(None) };
        if let Some(first) = text.trim_start().strip_prefix("\"\"\"") {
            let mut lines = vec![first.to_owned()];
            while let Some(line) = self.next(". ")? {
                if let Some(last) = line.trim_end().strip_suffix("\"\"\"") {
                    lines.push(last.to_owned());
                    break;
                }
                lines.push(line);
            }
            text = lines.join("\n").trim_matches('\n').to_owned();
        }
        while text.ends_with('\\') {
            text.pop();
            text.push('\n');
            match self.next(". ")? {
                Some(line) => text.push_str(&line),
                None => break,
            }
        }
        if let Self::Editor(editor, history) = self
            && !text.trim().is_empty()
        {
            editor.add_history_entry(text.as_str())?;
            if let Some(path) = history {
                // A history that can't be kept is no reason to stop talking.
                let _ = editor.save_history(path);
            }
        }
        Ok(Some(text))
    }
}

fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let state = state.or_else(|| std::env::home_dir().map(|home| home.join(".local/state")))?;
    let folder = state.join("godwit");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("chat_history"))
}

/// A conversation and what it took.
struct Chat<'a> {
    contexts: Contexts<'a>,
    session: Session,
    sampling: Sampling,
    messages: Vec<Message>,
    prompt_tokens: usize,
    reused_tokens: usize,
    generated_tokens: usize,
    seconds: f64,
}

async fn converse(args: &ChatArgs) -> anyhow::Result<()> {
    let stop = Stop::listen()?;
    let contexts = Contexts::new(&args.saved, &stop)?;
    let Loaded { model, engine, .. } = load::load(&args.model, &args.common, &stop).await?;
    let sampling = args.sampling.over(model.recommended());
    sampling.validate(model.config().vocab).map_err(Error::from)?;
    // A model without a template is found out now, not after the first message.
    model.chat()?;
    let mut session = engine.session().await?;
    let mut messages = contexts.resume(&mut session).await?.unwrap_or_default();
    set_system(&mut messages, args.system.as_deref());
    let mut chat = Chat {
        contexts,
        session,
        sampling,
        messages,
        prompt_tokens: 0,
        reused_tokens: 0,
        generated_tokens: 0,
        seconds: 0.0,
    };
    let mut lines = Lines::open()?;
    if matches!(lines, Lines::Editor(..)) {
        eprintln!("{} on {}. /help lists the commands.", output::printable(&model.name()), engine.gpu().summary());
    }
    while let Some(text) = lines.message()? {
        stop.clear();
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        if let Some(command) = text.strip_prefix('/') {
            let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
            if name == "exit" || name == "quit" {
                break;
            }
            chat.command(name, rest.trim());
            continue;
        }
        match chat.turn(text, args, &stop).await {
            Ok(()) => {}
            // What was said can't be answered, but the conversation goes on.
            Err(error) if is_about_the_turn(&error) => eprintln!("error: {error:#}\n/clear begins anew."),
            Err(error) => {
                // The conversation is worth more than the order of messages about its end.
                let _ = chat.contexts.save(&chat.session, &chat.messages).await;
                return Err(error);
            }
        }
    }
    chat.contexts.save(&chat.session, &chat.messages).await
}

fn is_about_the_turn(error: &anyhow::Error) -> bool {
    error.is::<godwit::ChatError>()
        || error.is::<crate::exit::Interrupted>()
        || match error.downcast_ref() {
            Some(Error::ContextFull { .. }) => true,
            Some(Error::Gpu(fault)) => fault.is_out_of_memory(),
            _ => false,
        }
}

impl Chat<'_> {
    /// Answers one message. The KV cache keeps all tokens that are the same as before.
    async fn turn(&mut self, text: &str, args: &ChatArgs, stop: &Stop) -> anyhow::Result<()> {
        self.messages.push(Message::user(text));
        let ids = match self.prompt(args) {
            Ok(ids) => ids,
            Err(error) => {
                self.messages.pop();
                return Err(error);
            }
        };
        let reuse = match self.contexts.prefill(&mut self.session, &ids).await {
            Ok(reuse) => reuse,
            Err(error) => {
                self.messages.pop();
                return Err(error);
            }
        };
        let known = reuse.kept + reuse.loaded;
        self.prompt_tokens += ids.len() - known;
        self.reused_tokens += known;

        let mut output = Output::new();
        let streams = !args.common.json;
        let shift = args.saved.context_shift.then_some(0);
        let mut each = |piece: &str| if streams { output.text(piece) } else { Ok(()) };
        let answer = generate(&mut self.session, &self.sampling, args.tokens, shift, stop, &mut each).await?;
        // The next turn draws other numbers.
        self.sampling.seed = self.sampling.seed.wrapping_add(1);
        self.generated_tokens += answer.ids.len();
        self.seconds += answer.seconds;
        if streams {
            output.text("\n")?;
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
        match answer.reason {
            StopReason::Interrupted => eprintln!("(stopped)"),
            StopReason::Context => {
                eprintln!("(the context is full; /clear begins anew, --context-shift forgets the oldest)")
            }
            StopReason::Length => eprintln!("(stopped after {} tokens; -n allows more)", args.tokens),
            StopReason::Memory => eprintln!("(the GPU's memory is full; /clear begins anew)"),
            StopReason::EndOfTurn => {}
        }
        self.messages.push(Message::assistant(answer.text));
        Ok(())
    }

    /// The conversation as tokens. Where it may be shifted, its oldest messages go until an answer has room.
    fn prompt(&mut self, args: &ChatArgs) -> anyhow::Result<Vec<u32>> {
        let model = self.session.engine().model().clone();
        let chat = model.chat()?;
        loop {
            let ids = chat.encode(model.tokenizer(), &self.messages, true)?;
            let context = self.session.context() as usize;
            let room = args.tokens.min(context / 4);
            let oldest = self.messages.iter().position(|message| message.role != "system");
            let (true, Some(oldest)) = (args.saved.context_shift && ids.len() + room > context, oldest) else {
                return Ok(ids);
            };
            // A question goes with its answer; the last question stays.
            if oldest + 2 >= self.messages.len() {
                return Ok(ids);
            }
            self.messages.drain(oldest..oldest + 2);
        }
    }

    fn command(&mut self, name: &str, rest: &str) {
        match name {
            "help" => eprintln!("{HELP}"),
            "clear" => {
                self.messages.retain(|message| message.role == "system");
                eprintln!("Begun anew.");
            }
            "system" => {
                self.messages = (!rest.is_empty()).then(|| Message::system(rest)).into_iter().collect();
                eprintln!("{}", if rest.is_empty() { "No system message; begun anew." } else { "Begun anew." });
            }
            "save" if rest.is_empty() => eprintln!("error: /save needs a file name"),
            "save" => match self.save(rest) {
                Ok(()) => eprintln!("Saved {} messages to {rest}.", self.messages.len()),
                Err(error) => eprintln!("error: {rest}: {error:#}"),
            },
            "stats" => self.stats(),
            _ => eprintln!("error: /{} is no command; /help lists them", output::printable(name)),
        }
    }

    fn save(&self, file: &str) -> anyhow::Result<()> {
        #[derive(Serialize)]
        struct Saved<'a> {
            messages: &'a [Message],
        }
        let text = serde_json::to_string_pretty(&Saved { messages: &self.messages })?;
        // Never over something else: a new file only.
        let mut file = std::fs::File::create_new(file)?;
        Ok(std::io::Write::write_all(&mut file, text.as_bytes())?)
    }

    fn stats(&self) {
        let memory = self.session.memory();
        eprintln!(
            "context: {} of {} tokens\nprompts: {} tokens computed, {} reused\nanswers: {} tokens at {:.1}/s\n\
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
        );
    }
}
