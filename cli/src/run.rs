//! `godwit run`: one prompt, one answer.

use std::time::Instant;

use godwit::tokenizer::Special;
use godwit::{Error, GenerateOptions, Message, Model};
use serde::Serialize;

use crate::answer::{BrokenOff, StopReason, generate, rate};
use crate::args::RunArgs;
use crate::context::{Contexts, set_system};
use crate::exit::Usage;
use crate::input::{self, with_bos};
use crate::load;
use crate::output::{Output, note};
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
    let prompt = input::prompt(args.prompt.as_deref(), args.file.as_deref())?;
    if prompt.is_empty() {
        return Err(Usage("the prompt is empty; give one with -p, -f or on stdin".into()).into());
    }
    pollster::block_on(answer_prompt(args, &prompt))
}

async fn answer_prompt(args: &RunArgs, prompt: &str) -> anyhow::Result<()> {
    let stop = Stop::listen()?;
    let mut contexts = Contexts::new(&args.saved, &stop)?;
    contexts.check_resume(&args.model.kv.format())?;
    let needs_hash = args.saved.needs_hash(prompt.len());
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
    } = encode(&loaded.model, prompt, args, resumed, session.tokens())?;
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

    let mut output = Output::new();
    let streams = !args.common.json;
    let mut each = |piece: &str| if streams { output.text(piece) } else { Ok(()) };
    let options = GenerateOptions::default()
        .sampling(sampling)
        .max_tokens(args.tokens)
        .stop(args.sampling.stop.clone())
        .context_shift(args.saved.context_shift.then_some(keep))
        .speculation(args.speculation.speculate);
    let answer = generate(&mut session, draft.as_mut(), options, &stop, &mut each).await;
    let (answer, error) = match answer {
        Ok(answer) => (answer, None),
        Err(BrokenOff { answer, error }) => (answer, Some(error)),
    };
    if !args.raw {
        messages.push(Message::assistant(answer.text.clone()));
    }
    // The answer's line ends before a progress bar begins. Errors wait for the save: the reader of
    // the output may be gone.
    let line_end = if streams { output.text("\n") } else { Ok(()) };
    let saved = contexts.save(&session, &messages).await;
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
    tracing::info!(
        "{} prompt tokens at {:.1}/s ({} kept, {} from disk), {} generated at {:.1}/s",
        reuse.computed,
        rate(reuse.computed, prefill_s),
        reuse.kept,
        reuse.loaded,
        answer.ids.len(),
        answer.tokens_per_s()
    );
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
    resumed: Option<Vec<Message>>,
    before: &[u32],
) -> anyhow::Result<Prompt> {
    let tokenizer = model.tokenizer();
    if args.raw {
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
    let mut messages = resumed.unwrap_or_default();
    set_system(&mut messages, args.system.as_deref());
    let keep = match messages.first() {
        // A template may refuse a system message alone; then nothing is kept.
        Some(first) if first.role == "system" => chat
            .encode(tokenizer, &messages[..1], false)
            .map_or(0, |ids| ids.len()),
        _ => 0,
    };
    messages.push(Message::user(prompt));
    let ids = chat.encode(tokenizer, &messages, true)?;
    Ok(Prompt {
        ids,
        messages,
        keep,
    })
}
