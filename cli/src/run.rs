//! `godwit run`: one prompt, one answer.

use std::time::Instant;

use godwit::tokenizer::Special;
use godwit::{Error, Message, Model, Sampling, Session};
use serde::Serialize;

use crate::args::RunArgs;
use crate::exit::Usage;
use crate::output::Output;
use crate::stop::Stop;
use crate::{input, load};

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The model ended its turn.
    EndOfTurn,
    /// As many tokens as were asked for.
    Length,
    /// No room for another token.
    Context,
    /// No GPU memory for another token.
    Memory,
    /// Ctrl-C.
    Interrupted,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    ids: &'a [u32],
    text: &'a str,
    prompt_tokens: usize,
    generated_tokens: usize,
    prefill_tokens_per_s: f64,
    decode_tokens_per_s: f64,
    load_s: f64,
    adapter: &'a str,
    backend: String,
    stop_reason: StopReason,
}

/// An answer, and how it came about.
pub struct Answer {
    pub ids: Vec<u32>,
    pub text: String,
    pub seconds: f64,
    pub reason: StopReason,
}

impl Answer {
    pub fn tokens_per_s(&self) -> f64 {
        rate(self.ids.len(), self.seconds)
    }
}

pub fn run(args: &RunArgs) -> anyhow::Result<()> {
    let prompt = input::text(args.prompt.as_deref(), args.file.as_deref())?;
    if prompt.is_empty() {
        return Err(Usage("the prompt is empty; give one with -p, -f or on stdin".into()).into());
    }
    pollster::block_on(answer_prompt(args, &prompt))
}

async fn answer_prompt(args: &RunArgs, prompt: &str) -> anyhow::Result<()> {
    let stop = Stop::listen()?;
    let loaded = load::load(&args.model, &args.common, &stop).await?;
    let ids = encode(&loaded.model, prompt, args)?;
    let sampling = args.sampling.over(loaded.model.sampling());
    sampling.validate(loaded.model.config().vocab).map_err(Error::from)?;
    let mut session = loaded.engine.session().await?;
    let begin = Instant::now();
    load::prefill(&mut session, &ids, &stop).await?;
    let prefill_s = begin.elapsed().as_secs_f64();

    let mut output = Output::new();
    let streams = !args.common.json;
    let mut each = |piece: &str| if streams { output.text(piece) } else { Ok(()) };
    let answer = generate(&mut session, &sampling, args.tokens, &stop, &mut each).await?;
    if args.common.json {
        let adapter = loaded.engine.gpu().summary();
        output.json(&Report {
            ids: &answer.ids,
            text: &answer.text,
            prompt_tokens: ids.len(),
            generated_tokens: answer.ids.len(),
            prefill_tokens_per_s: rate(ids.len(), prefill_s),
            decode_tokens_per_s: answer.tokens_per_s(),
            load_s: loaded.load_s,
            adapter: &adapter.name,
            backend: adapter.backend.to_string(),
            stop_reason: answer.reason,
        })?;
    } else {
        output.text("\n")?;
    }
    tracing::info!(
        "{} prompt tokens at {:.1}/s, {} generated at {:.1}/s",
        ids.len(),
        rate(ids.len(), prefill_s),
        answer.ids.len(),
        answer.tokens_per_s()
    );
    match answer.reason {
        StopReason::Interrupted => Err(crate::exit::Interrupted.into()),
        _ => Ok(()),
    }
}

fn encode(model: &Model, prompt: &str, args: &RunArgs) -> anyhow::Result<Vec<u32>> {
    let tokenizer = model.tokenizer();
    if args.raw {
        // Who asks for the raw prompt writes control tokens on purpose.
        let mut ids = tokenizer.encode(prompt, Special::Parse)?;
        if let (true, Some(bos)) = (tokenizer.adds_bos(), tokenizer.bos())
            && ids.first() != Some(&bos)
        {
            ids.insert(0, bos);
        }
        return Ok(ids);
    }
    let system = args.system.as_deref().map(Message::system);
    let messages: Vec<Message> = system.into_iter().chain([Message::user(prompt)]).collect();
    Ok(model.chat()?.encode(tokenizer, &messages, true)?)
}

/// Generates up to `most` tokens; `each` gets the text as it becomes whole.
pub async fn generate(
    session: &mut Session,
    sampling: &Sampling,
    most: usize,
    stop: &Stop,
    each: &mut dyn FnMut(&str) -> anyhow::Result<()>,
) -> anyhow::Result<Answer> {
    let begin = Instant::now();
    let model = session.engine().model().clone();
    let mut stream = model.tokenizer().stream_on();
    let (mut ids, mut text) = (Vec::new(), String::new());
    let reason = loop {
        if stop.pressed() {
            break StopReason::Interrupted;
        }
        if ids.len() >= most {
            break StopReason::Length;
        }
        let id = match session.next(sampling).await {
            Ok(id) => id,
            Err(Error::ContextFull { .. }) => break StopReason::Context,
            Err(Error::Gpu(fault)) if fault.is_out_of_memory() && !ids.is_empty() => {
                tracing::error!("the answer ends here: {fault}");
                break StopReason::Memory;
            }
            Err(error) => return Err(error.into()),
        };
        ids.push(id);
        if model.tokenizer().is_end(id) {
            break StopReason::EndOfTurn;
        }
        let piece = stream.push(id);
        if !piece.is_empty() {
            each(&piece)?;
            text.push_str(&piece);
        }
    };
    let rest = stream.finish();
    each(&rest)?;
    text.push_str(&rest);
    Ok(Answer { ids, text, seconds: begin.elapsed().as_secs_f64(), reason })
}

/// Tokens per second.
pub fn rate(tokens: usize, seconds: f64) -> f64 {
    if seconds > 0.0 { tokens as f64 / seconds } else { 0.0 }
}
