//! Several replies to one prompt, on a scheduler of their own.

use std::collections::BTreeMap;

use godwit::scheduler::{
    Budget, Event, Request, RequestId, Scheduler, SchedulerOptions, SequenceId, SequenceOptions,
};
use godwit::{Engine, Error, Progress};
use godwit_shaders::PAGE;
use godwit_wire::Finish;
use web_time::Instant;

use crate::engine::WebEngine;
use crate::error::WebError;
use crate::listener::ReplyListener;
use crate::reply::{ReplyOptions, finish_reason};

impl WebEngine {
    /// Replies to a prompt several times. The prompt is computed once, and each step computes a
    /// token of every reply. The conversation stays as it is. All GPU memory that the replies take
    /// is freed when they end.
    ///
    /// # Errors
    /// The replies can't share the KV cache, there is no memory for even one of them, the GPU
    /// fails, or the listener stopped them.
    pub(crate) async fn several_replies(
        &self,
        prompt: &[u32],
        options: &ReplyOptions,
        listener: &ReplyListener,
    ) -> Result<Finish, WebError> {
        let engine = self.session.engine();
        let (kv, n) = (engine.kv_format(), options.n);
        if kv.has_f16_tail() {
            return Err(WebError::bad_request(format!(
                "n is {n}, but replies can't share a KV cache of type {kv}, because its newest \
                 tokens are stored apart; load the model with kv: \"q8_0\" or \"f16\", or leave n \
                 at 1"
            )));
        }
        let (&last, before) = prompt.split_last().ok_or(Error::Empty)?;

        let begin = Instant::now();
        let mut replies = Replies {
            scheduler: Scheduler::new(engine, &scheduler_options(engine, n)).await?,
            listener,
            running: BTreeMap::new(),
        };
        let base = replies.compute_prompt(prompt).await?;
        let prefill_seconds = begin.elapsed().as_secs_f64();

        let begin = Instant::now();
        for index in 0..n {
            // The logits that a reply begins with are its own: it computes the last token again.
            let sequence = replies.scheduler.fork(base, before.len())?;
            let seed = options.sampling.seed.wrapping_add(index.into());
            let request = Request::new(vec![last])
                .sampling(options.sampling.clone().seed(seed))
                .max_tokens(options.max_tokens)
                .stop(options.stop.clone());
            let request = replies.scheduler.submit(sequence, request)?;
            replies.running.insert(request, Running { index, sequence });
        }
        replies.scheduler.close(base)?;
        let ended = replies.generate().await?;
        Ok(Finish {
            index: ended.last,
            finish_reason: ended.reason,
            prompt_tokens: prompt.len() as u64,
            cached_tokens: 0,
            completion_tokens: ended.completion_tokens,
            prefill_seconds,
            decode_seconds: begin.elapsed().as_secs_f64(),
        })
    }
}

/// Memory for `n` contexts of the engine's size at most; it is allocated as it is needed. Replies
/// that have to wait for others are computed again, because wasm's memory never shrinks. A reply
/// does not depend on how many others there are.
fn scheduler_options(engine: &Engine, n: u32) -> SchedulerOptions {
    let tokens = u64::from(engine.context().next_multiple_of(PAGE)) * u64::from(n);
    SchedulerOptions::default()
        .kv_memory(Some(tokens * engine.kv_bytes_per_token()))
        .host_memory(0)
        .max_running(n)
        .deterministic(true)
}

/// Replies in the making.
struct Replies<'a> {
    scheduler: Scheduler,
    listener: &'a ReplyListener,
    running: BTreeMap<RequestId, Running>,
}

/// A reply that has not ended.
struct Running {
    index: u32,
    sequence: SequenceId,
}

/// The end of all replies.
struct Ended {
    /// The index of the reply that ended last.
    last: u32,
    reason: godwit_wire::FinishReason,
    /// The number of tokens in all replies.
    completion_tokens: u64,
}

impl Replies<'_> {
    /// Computes the prompt, without a reply. Returns the sequence that holds it.
    async fn compute_prompt(&mut self, prompt: &[u32]) -> Result<SequenceId, WebError> {
        let sequence = self.scheduler.open(&SequenceOptions::default());
        let request = Request::new(prompt.to_vec()).max_tokens(0);
        self.scheduler.submit(sequence, request)?;
        let mut done = 0;
        while self.scheduler.has_work() {
            let step = self.scheduler.step(Budget::default()).await?;
            self.scheduler.wait().await?;
            while let Some(event) = self.scheduler.next_event() {
                if let Event::Failed { error, .. } = event {
                    return Err(error.into());
                }
            }
            done += step.prompt_tokens;
            let now = Progress::new(done as u64, prompt.len() as u64);
            if self.listener.prompt(now).is_break() {
                return Err(Error::Stopped.into());
            }
        }
        Ok(sequence)
    }

    /// Computes all replies to their ends.
    async fn generate(&mut self) -> Result<Ended, WebError> {
        let mut completion_tokens = 0;
        let mut is_stopped = false;
        while !is_stopped {
            self.scheduler.step(Budget::default()).await?;
            self.scheduler.wait().await?;
            while let Some(event) = self.scheduler.next_event() {
                match event {
                    Event::Piece { request, piece, .. } => {
                        if let Some(Running { index, .. }) = self.running.get(&request) {
                            is_stopped |= self.listener.text(*index, &piece).is_break();
                        }
                    }
                    Event::Finished {
                        request,
                        reason,
                        usage,
                        ..
                    } => {
                        let Some(Running { index, sequence }) = self.running.remove(&request)
                        else {
                            continue;
                        };
                        // Its memory is for the replies that wait.
                        self.scheduler.close(sequence)?;
                        completion_tokens += usage.completion_tokens as u64;
                        let reason = finish_reason(Some(&reason))?;
                        if self.running.is_empty() {
                            return Ok(Ended {
                                last: index,
                                reason,
                                completion_tokens,
                            });
                        }
                        is_stopped |= self.listener.end(index, reason)?.is_break();
                    }
                    Event::Failed { error, .. } => return Err(error.into()),
                    _ => {}
                }
            }
            // A step without a token has no event.
            is_stopped |= self.listener.wants_no_more();
        }
        Err(Error::Stopped.into())
    }
}
