//! `godwit run --parallel`: a file of prompts, answered many at once.

mod answers;
mod prompts;
mod tally;

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use godwit::scheduler::{
    Budget, Event, Request, RequestId, Scheduler, SchedulerOptions, SequenceId, SequenceOptions,
};
use godwit::tokenizer::Special;
use godwit::{Engine, Error, FinishReason, Message, Model, PrefixCache, Progress, Sampling};

use self::answers::{Answer, Answers, Usage};
use self::prompts::{Input, Prompt};
use self::tally::Tally;
use crate::answer::rate;
use crate::args::RunArgs;
use crate::context::{prompt_cache, set_system};
use crate::exit::{Interrupted, Usage as BadUsage, prompt_error};
use crate::input::with_bos;
use crate::load;
use crate::output::note;
use crate::progress::{Bar, bar};
use crate::stop::Stop;

/// The defaults of `--at-once`.
const AT_ONCE_ON_CPU: u32 = 16;
const AT_ONCE_ON_GPU: u32 = 32;
/// How many prompts the scheduler has for each one that runs: a file may have far more.
const SUBMITTED_PER_RUNNING: usize = 2;

/// Lines that were not answered. The output says why.
#[derive(Debug, thiserror::Error)]
#[error("{failed} of {all} lines were not answered; `error` in their lines says why")]
struct Failed {
    failed: usize,
    all: usize,
}

/// Answers the prompts of a file.
pub fn run(args: &RunArgs, file: &Path) -> anyhow::Result<()> {
    if args.model.kv.format().has_f16_tail() {
        let kv = args.model.kv.kv;
        return Err(BadUsage(format!(
            "--parallel needs a KV cache that prompts can share, and --kv {kv} is none: use --kv \
             f16 or --kv q8_0"
        ))
        .into());
    }
    let prompts = prompts::read(file, args.raw)?;
    pollster::block_on(answer_all(args, file, prompts))
}

async fn answer_all(args: &RunArgs, file: &Path, mut prompts: Vec<Prompt>) -> anyhow::Result<()> {
    let stop = Stop::listen()?;
    let all = prompts.len();
    // A wrong output is an error now, not after the model is loaded.
    let mut answers = match &args.parallel.output {
        Some(path) => Answers::open(path, &answers::inputs(file), &mut prompts)?,
        None => Answers::stdout(),
    };
    if prompts.len() < all {
        let answered = all - prompts.len();
        note(&format!("({answered} of {all} lines are answered already)"));
    }
    if prompts.is_empty() {
        return Ok(());
    }
    let loaded = load::load_with(&args.model, &args.common, false, &stop, &|_| ()).await?;
    let sampling = args.sampling.over(loaded.model.recommended());
    sampling
        .validate(loaded.model.config().vocab)
        .map_err(Error::from)?;
    if !args.raw {
        // A model without a template is found out now, not in each line.
        loaded.model.chat()?;
    }
    let draft = load::draft_engine(&args.speculation, &args.model, &loaded.engine, &stop).await?;
    let options = options(args, &loaded.engine, draft.as_ref());
    let scheduler = match &draft {
        Some(draft) => Scheduler::with_draft(&loaded.engine, draft, &options).await?,
        None => Scheduler::new(&loaded.engine, &options).await?,
    };
    let mut work = Work {
        args,
        model: &loaded.model,
        sampling,
        scheduler,
        // What is on disk may come from other kernels than a prompt's.
        cache: prompt_cache(&args.saved).filter(|_| !args.parallel.deterministic),
        at_once: options.max_running as usize,
        running: HashMap::new(),
        bar: bar("answering", "{pos}/{len} answers"),
        begin: Instant::now(),
        tally: Tally::default(),
    };
    work.bar.show(Progress::new(0, prompts.len() as u64));
    let left = prompts.len();
    let ended = work.answer(prompts, &mut answers, &stop).await;
    work.bar.finish_and_clear();
    let is_stopped = ended.as_ref().is_err_and(|error| error.is::<Interrupted>());
    let finished = answers.finish();
    let done = all - left + work.tally.answered;
    work.tally.tell(work.begin.elapsed().as_secs_f64());
    if done < all && (is_stopped || answers.path().is_some()) && ended.is_err() {
        note(&match answers.path() {
            Some(path) => format!(
                "({done} of {all} lines are answered in {}; the same command goes on from there)",
                path.display()
            ),
            None => format!(
                "(stopped after {done} of {all} lines; with -o FILE the same command would go on \
                 from there)"
            ),
        });
    }
    ended?;
    finished?;
    match work.tally.failed {
        0 => Ok(()),
        failed => Err(Failed { failed, all }.into()),
    }
}

/// As many prompts at once as were asked for, each with the engine's context, as far as there is
/// memory for it. On a GPU the pool of pages grows until the driver or `--gpu-memory` says no.
/// A draft model holds the same tokens.
fn options(args: &RunArgs, engine: &Engine, draft: Option<&Engine>) -> SchedulerOptions {
    let gpu = engine.gpu();
    let is_cpu = gpu.summary().is_cpu();
    let at_once = args.parallel.at_once.unwrap_or(if is_cpu {
        AT_ONCE_ON_CPU
    } else {
        AT_ONCE_ON_GPU
    });
    let of_draft = draft.map_or(0, Engine::kv_bytes_per_token);
    let context = u64::from(engine.context()) * (engine.kv_bytes_per_token() + of_draft);
    let wanted = context.saturating_mul(u64::from(at_once));
    let kv_memory = match gpu.available_memory() {
        // Other programs share a CPU's memory: half of what is left stays.
        Some(left) if is_cpu => wanted.min(left / 2),
        _ => wanted,
    };
    let host_memory = if args.model.no_spill {
        0
    } else {
        args.model.spill_memory
    };
    SchedulerOptions::default()
        .kv_memory(Some(kv_memory))
        .host_memory(host_memory)
        .max_running(at_once)
        .max_waiting(SUBMITTED_PER_RUNNING * at_once as usize)
        .deterministic(args.parallel.deterministic)
}

/// A prompt that is being answered.
struct Running {
    prompt: Prompt,
    sequence: SequenceId,
    /// Tokens that were read from disk.
    held: usize,
    text: String,
}

struct Work<'a> {
    args: &'a RunArgs,
    model: &'a Model,
    sampling: Sampling,
    scheduler: Scheduler,
    /// Long prompts on disk.
    cache: Option<PrefixCache>,
    at_once: usize,
    running: HashMap<RequestId, Running>,
    bar: Bar,
    begin: Instant,
    tally: Tally,
}

impl Work<'_> {
    /// Answers all prompts, or as many as there are before it is stopped.
    async fn answer(
        &mut self,
        prompts: Vec<Prompt>,
        answers: &mut Answers,
        stop: &Stop,
    ) -> anyhow::Result<()> {
        let mut prompts = prompts.into_iter();
        // The first prompt goes ahead alone, so that the others find what they share with it.
        let mut submitted_at_most = 1;
        loop {
            if stop.requested() {
                return Err(Interrupted.into());
            }
            while self.running.len() < submitted_at_most
                && let Some(prompt) = prompts.next()
            {
                match self.submit(&prompt, stop).await {
                    Ok((request, sequence, held)) => {
                        let running = Running {
                            prompt,
                            sequence,
                            held,
                            text: String::new(),
                        };
                        self.running.insert(request, running);
                    }
                    Err(Error::Stopped) => return Err(Interrupted.into()),
                    Err(error) => self.fail(prompt, &error, answers)?,
                }
            }
            if self.running.is_empty() {
                return Ok(());
            }
            self.scheduler.step(Budget::default()).await?;
            self.scheduler.wait().await?;
            while let Some(event) = self.scheduler.next_event() {
                submitted_at_most = SUBMITTED_PER_RUNNING * self.at_once;
                self.take(event, answers, stop).await?;
            }
        }
    }

    async fn submit(
        &mut self,
        prompt: &Prompt,
        stop: &Stop,
    ) -> Result<(RequestId, SequenceId, usize), Error> {
        let ids = self.encode(&prompt.input)?;
        let sequence = self.scheduler.open(&SequenceOptions::default());
        match self.submit_to(sequence, ids, prompt, stop).await {
            Ok((request, held)) => Ok((request, sequence, held)),
            Err(error) => {
                self.scheduler.close(sequence)?;
                Err(error)
            }
        }
    }

    /// Submits a prompt to a new sequence, after the tokens of it that are on disk: how many.
    async fn submit_to(
        &mut self,
        sequence: SequenceId,
        ids: Vec<u32>,
        prompt: &Prompt,
        stop: &Stop,
    ) -> Result<(RequestId, usize), Error> {
        let mut held = 0;
        if let Some(cache) = &self.cache {
            let mut progress = |_: Progress| stop.flow();
            let reuse = cache
                .load(&mut self.scheduler, sequence, &ids, &mut progress)
                .await?;
            held = reuse.kept + reuse.loaded;
        }
        let stop = prompt.stop.as_ref().unwrap_or(&self.args.sampling.stop);
        let request = Request::new(ids[held..].to_vec())
            .sampling(prompt.sampling(&self.sampling))
            .max_tokens(prompt.max_tokens.unwrap_or(self.args.most()))
            .stop(stop.clone())
            .speculation(self.args.speculation.speculate);
        Ok((self.scheduler.submit(sequence, request)?, held))
    }

    fn encode(&self, input: &Input) -> Result<Vec<u32>, Error> {
        let tokenizer = self.model.tokenizer();
        let mut messages = match input {
            Input::Prompt(prompt) if self.args.raw => {
                // A raw prompt contains control tokens on purpose.
                let ids = tokenizer.encode(prompt, Special::Parse)?;
                return Ok(with_bos(tokenizer, ids));
            }
            Input::Prompt(prompt) => vec![Message::user(prompt)],
            Input::Messages(messages) => messages.clone(),
        };
        if !messages.iter().any(|message| message.role == "system") {
            set_system(&mut messages, self.args.system.as_deref());
        }
        Ok(self.model.chat()?.encode(tokenizer, &messages, true)?)
    }

    async fn take(
        &mut self,
        event: Event,
        answers: &mut Answers,
        stop: &Stop,
    ) -> anyhow::Result<()> {
        match event {
            Event::Piece { request, piece, .. } => {
                if let Some(running) = self.running.get_mut(&request) {
                    running.text.push_str(&piece.text);
                }
                self.tally.usage.completion_tokens += usize::from(piece.token.is_some());
                let seconds = self.begin.elapsed().as_secs_f64();
                let speed = rate(self.tally.usage.completion_tokens, seconds);
                self.bar
                    .set_message(format!("answering, {speed:.1} tokens/s"));
            }
            Event::Finished {
                request,
                reason,
                usage,
                ..
            } => {
                let Some(running) = self.running.remove(&request) else {
                    return Ok(());
                };
                self.tally.answered += 1;
                let prompt_tokens = running.held + usage.prompt_tokens;
                let cached_tokens = running.held + usage.cached_tokens;
                self.tally.usage.prompt_tokens += prompt_tokens;
                self.tally.usage.cached_tokens += cached_tokens;
                self.tally.speculated[0] += usage.speculated.drafted;
                self.tally.speculated[1] += usage.speculated.accepted;
                let mut answer = Answer::to(running.prompt);
                answer.text = Some(running.text);
                answer.finish_reason = Some(reason_name(&reason).into());
                answer.usage = Some(Usage {
                    prompt_tokens,
                    cached_tokens,
                    completion_tokens: usage.completion_tokens,
                });
                self.write(&answer, answers)?;
                if let Some(cache) = &self.cache {
                    let (scheduler, progress) = (&mut self.scheduler, &mut |_| stop.flow());
                    match cache.store(scheduler, running.sequence, progress).await {
                        Err(Error::Stopped) => return Err(Interrupted.into()),
                        stored => stored?,
                    }
                }
                self.scheduler.close(running.sequence)?;
            }
            Event::Failed { request, error } => {
                if let Some(running) = self.running.remove(&request) {
                    self.scheduler.close(running.sequence)?;
                    self.fail(running.prompt, &error, answers)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn fail(&mut self, prompt: Prompt, error: &Error, answers: &mut Answers) -> anyhow::Result<()> {
        self.tally.failed += 1;
        let mut answer = Answer::to(prompt);
        let window = self.model.config().context;
        answer.error = Some(prompt_error(error.clone(), window).to_string());
        self.write(&answer, answers)
    }

    fn write(&mut self, answer: &Answer, answers: &mut Answers) -> anyhow::Result<()> {
        // Stdout may be the terminal that the bar is on.
        let written = self.bar.suspend(|| answers.write(answer));
        self.bar.inc(1);
        written
    }
}

/// Why an answer ended, in the words of OpenAI's interface where it has one.
fn reason_name(reason: &FinishReason) -> &'static str {
    match reason {
        FinishReason::EndOfTurn | FinishReason::StopString => "stop",
        FinishReason::Length => "length",
        FinishReason::Context => "context",
        FinishReason::Memory(_) => "memory",
        _ => "cancelled",
    }
}
