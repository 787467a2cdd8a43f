//! `godwit run`: one prompt, one answer.

use std::io::IsTerminal as _;
use std::time::Instant;

use godwit::tokenizer::Special;
use godwit::{Error, GenerateOptions, Message, Model};
use serde::Serialize;

use crate::answer::{BrokenOff, StopReason, generate, rate, timings};
use crate::args::RunArgs;
use crate::context::{Contexts, Note, set_system};
use crate::exit::Usage;
use crate::input::{self, with_bos};
use crate::load;
use crate::locate;
use crate::output::{Output, note};
use crate::screen::is_interactive;
use crate::stop::Stop;

/// Resumed tokens that may be left out without a word: an answer that was cut ends otherwise.
const LEAST_LEFT_OUT: usize = 16;

/// The output of `--json`.
#[derive(Debug, Serialize)]
struct Report<'a> {
    ids: &'a [u32],
    text: &'a str,
    prompt_tokens: usize,
    reused_tokens: usize,
    generated_tokens: usize,
    prefill_tokens_per_s: f64,
    decode_tokens_per_s: f64,
    drafted_tokens: usize,
    accepted_tokens: usize,
    load_s: f64,
    adapter: &'a str,
    backend: String,
    stop_reason: StopReason,
}

pub fn run(args: &RunArgs) -> anyhow::Result<()> {
    if let Some(file) = &args.parallel.parallel {
        return crate::parallel::run(args, file);
    }
    args.ignored.say();
    args.sampling.check()?;
    // What is wrong with the files is said before a text is typed or piped for them.
    Contexts::new(&args.saved, &Stop::default())?.check_resume(&args.model.kv.format())?;
    if let Some(model) = &args.model.source.file.model {
        locate::check(model)?;
    }
    let typed = args.typed_prompt();
    let is_given = typed.is_some() || args.file.is_some();
    let is_terminal = std::io::stdin().is_terminal();
    let goes_on = !is_given && is_terminal && args.saved.resume.is_some();
    if !is_given && !goes_on && !args.raw && !args.common.json && is_interactive() {
        return crate::chat::run(&args.chat());
    }
    let prompt = if goes_on {
        String::new()
    } else {
        input::prompt(typed.as_deref(), args.file.as_deref())?
    };
    let goes_on = prompt.is_empty() && !is_given && args.saved.resume.is_some();
    if prompt.is_empty() && !goes_on {
        let message = "the prompt is empty; write it behind the model, or give one with -f or on \
                       stdin";
        return Err(Usage(message.into()).into());
    }
    pollster::block_on(answer_prompt(args, (!goes_on).then_some(&prompt)))
}

/// Answers a prompt. Without one, the reply of the resumed file goes on.
async fn answer_prompt(args: &RunArgs, prompt: Option<&str>) -> anyhow::Result<()> {
    let stop = Stop::listen()?;
    let mut contexts = Contexts::new(&args.saved, &stop)?;
    contexts.check_resume(&args.model.kv.format())?;
    let needs_hash = contexts.needs_hash(prompt.map_or(0, str::len));
    let opened = |model: &Model| contexts.note_other_name(model);
    let loaded = load::load_with(&args.model, &args.common, needs_hash, &stop, &opened).await?;
    contexts.protect(&loaded.model, args.file.clone())?;
    let sampling = args.sampling.over(loaded.model.recommended());
    sampling
        .validate(loaded.model.config().vocab)
        .map_err(Error::from)?;
    let mut session = loaded.engine.session().await?;
    let mut draft = load::draft(&args.speculation, &args.model, &loaded.engine, &stop).await?;
    let resumed = contexts.resume(&mut session).await?;
    let before = resumed.clone().unwrap_or_default();
    let held = session.tokens().len();
    let Prompt {
        ids,
        mut messages,
        keep,
    } = match prompt {
        Some(prompt) => encode(&loaded.model, prompt, args, resumed, session.tokens())?,
        None => go_on(&loaded.model, before.clone(), session.tokens())?,
    };
    let begin = Instant::now();
    let reuse = match contexts.prefill(&mut session, &ids).await {
        Ok(reuse) => reuse,
        Err(error) => {
            // What was read is not lost: the same prompt goes on from here. Nor is the conversation
            // before it.
            let is_interrupted = error.is::<crate::exit::Interrupted>();
            if is_interrupted || is_out_of_room(&error) {
                let saved = contexts.save(&session, &before).await;
                let (read, all) = (session.tokens().len().min(ids.len()), ids.len());
                match saved {
                    Ok(()) => note(&format!(
                        "(stopped after {read} of the prompt's {all} tokens; the same prompt goes \
                         on from there)"
                    )),
                    Err(unsaved) if is_interrupted => return Err(unsaved),
                    // The first error is the cause of both, or ends the command anyway.
                    Err(unsaved) => note(&format!("error: {unsaved:#}")),
                }
            }
            return Err(error);
        }
    };
    let prefill_s = begin.elapsed().as_secs_f64();
    if held > reuse.kept + LEAST_LEFT_OUT {
        let left = held - reuse.kept;
        note(&format!(
            "({left} of the {held} tokens that were resumed belong to another prompt, and are \
             left out)"
        ));
    }

    let mut output = Output::for_answers(args.plain || args.raw);
    let streams = !args.common.json;
    let mut each = |piece: &str| if streams { output.text(piece) } else { Ok(()) };
    let options = GenerateOptions::default()
        .sampling(sampling)
        .max_tokens(args.most())
        .stop(args.sampling.stop.clone())
        .context_shift(args.saved.context_shift.then_some(keep))
        .speculation(args.speculation.speculate);
    let answer = generate(&mut session, draft.as_mut(), options, &stop, &mut each).await;
    let (answer, error) = match answer {
        Ok(answer) => (answer, None),
        Err(BrokenOff { answer, error }) => (answer, Some(error)),
    };
    match (prompt, messages.last_mut()) {
        (None, Some(reply)) if reply.role == "assistant" => reply.content.push_str(&answer.text),
        (_, Some(_)) => messages.push(Message::assistant(answer.text.clone())),
        // A raw text.
        (_, None) => {}
    }
    let note_of_answer = Note {
        rest: match messages.is_empty() {
            true => rest_of(&answer.ids, session.tokens()),
            false => Vec::new(),
        },
        messages,
        is_complete: answer.is_complete(),
    };
    // The answer's line ends before a progress bar begins. Errors wait for the save: the reader of
    // the output may be gone.
    let line_end = if streams { output.end_answer() } else { Ok(()) };
    let saved = contexts.save(&session, &note_of_answer).await;
    if let Some(error) = error {
        return Err(error);
    }
    if args.common.json {
        let adapter = loaded.engine.gpu().summary();
        output.json(&Report {
            ids: &answer.ids,
            text: &answer.text,
            prompt_tokens: ids.len(),
            reused_tokens: reuse.kept + reuse.loaded,
            generated_tokens: answer.ids.len(),
            prefill_tokens_per_s: rate(reuse.computed, prefill_s),
            decode_tokens_per_s: answer.tokens_per_s(),
            drafted_tokens: answer.speculated.drafted,
            accepted_tokens: answer.speculated.accepted,
            load_s: loaded.load_s,
            adapter: &adapter.name,
            backend: adapter.backend.to_string(),
            stop_reason: answer.reason,
        })?;
    }
    line_end?;
    if args.common.verbose > 0 {
        note(&timings(&reuse, prefill_s, &answer));
    }
    if prompt.is_none() && answer.text.is_empty() && answer.is_complete() {
        note("(the reply is complete; write a prompt behind the model to ask more)");
    }
    if let Some(notice) = answer.notice() {
        note(&notice);
    }
    saved?;
    match answer.reason {
        StopReason::Interrupted => Err(crate::exit::Interrupted.into()),
        _ => Ok(()),
    }
}

/// Whether the KV cache has no room to grow: what it holds is whole.
fn is_out_of_room(error: &anyhow::Error) -> bool {
    match error.downcast_ref() {
        Some(Error::Spill(_)) => true,
        Some(Error::Gpu(error)) => error.is_out_of_memory(),
        _ => false,
    }
}

/// The input of the session.
struct Prompt {
    ids: Vec<u32>,
    /// The conversation; empty for a raw prompt.
    messages: Vec<Message>,
    /// Tokens that stay whatever is forgotten: the system message.
    keep: usize,
}

/// The prompt's tokens, after those of a resumed context.
fn encode(
    model: &Model,
    prompt: &str,
    args: &RunArgs,
    resumed: Option<Note>,
    before: &[u32],
) -> anyhow::Result<Prompt> {
    let tokenizer = model.tokenizer();
    if args.raw {
        let is_transcript = |note: &Note| !note.messages.is_empty() && before.is_empty();
        if resumed.as_ref().is_some_and(is_transcript) {
            let message = "--raw goes on from a snapshot, not from a transcript";
            return Err(Usage(message.into()).into());
        }
        // A raw prompt contains control tokens on purpose.
        let mut ids = tokenizer.encode(prompt, Special::Parse)?;
        if resumed.is_some() && !ids.starts_with(before) {
            ids = [before, &ids].concat();
        } else {
            ids = with_bos(tokenizer, ids);
        }
        return Ok(Prompt {
            ids,
            messages: Vec::new(),
            keep: 0,
        });
    }
    let chat = model.chat()?;
    let mut messages = resumed.unwrap_or_default().messages;
    set_system(&mut messages, args.system.as_deref());
    let keep = tokens_to_keep(model, &messages)?;
    messages.push(Message::user(prompt));
    let ids = chat.encode(tokenizer, &messages, true)?;
    Ok(Prompt {
        ids,
        messages,
        keep,
    })
}

/// Tokens of the system message, which a shift of the context keeps.
fn tokens_to_keep(model: &Model, messages: &[Message]) -> anyhow::Result<usize> {
    Ok(match messages.first() {
        // A template may refuse a system message alone; then nothing is kept.
        Some(first) if first.role == "system" => model
            .chat()?
            .encode(model.tokenizer(), &messages[..1], false)
            .map_or(0, |ids| ids.len()),
        _ => 0,
    })
}

/// The tokens after which the reply of a resumed conversation, or a raw text, goes on.
fn go_on(model: &Model, resumed: Note, before: &[u32]) -> anyhow::Result<Prompt> {
    let Note {
        messages,
        rest,
        is_complete,
    } = resumed;
    if is_complete {
        let message = "the reply is complete; write a prompt behind the model to ask more";
        return Err(Usage(message.into()).into());
    }
    let Some((last, earlier)) = messages.split_last() else {
        return Ok(Prompt {
            ids: [before, &rest].concat(),
            messages,
            keep: 0,
        });
    };
    let (chat, tokenizer) = (model.chat()?, model.tokenizer());
    let keep = tokens_to_keep(model, &messages)?;
    let ids = match &*last.role {
        "user" => chat.encode(tokenizer, &messages, true)?,
        "assistant" => {
            let question = chat.encode(tokenizer, earlier, true)?;
            // The tokens of the reply that the session holds stay as they were chosen; the model's
            // own tokenizer might cut their text otherwise.
            let held = before.strip_prefix(&*question).unwrap_or_default();
            match last.content.strip_prefix(&*tokenizer.decode(held)) {
                Some(text) => [&question, held, &tokenizer.encode(text, Special::Text)?].concat(),
                None => [&*question, &tokenizer.encode(&last.content, Special::Text)?].concat(),
            }
        }
        _ => return Err(Usage("there is no reply that could go on; give a prompt".into()).into()),
    };
    Ok(Prompt {
        ids,
        messages,
        keep,
    })
}

/// The tokens of an answer that a session does not hold: those after its last.
fn rest_of(answer: &[u32], held: &[u32]) -> Vec<u32> {
    /// A shift of the context leaves so many tokens at least.
    const COMPARED: usize = 16;
    let is_end = |count: &usize| {
        let begun = &answer[..answer.len() - count];
        held.ends_with(&begun[begun.len().saturating_sub(COMPARED)..])
    };
    let count = (0..=answer.len()).find(is_end).unwrap_or(0);
    answer[answer.len() - count..].to_vec()
}
