//! Replies: a prompt's tokens in, text out.

use std::ops::ControlFlow;

use godwit::{Error, Sampling};
use js_sys::{Array, Function, Uint32Array};
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;
use web_time::Instant;

use crate::engine::{WebEngine, goes_on};
use crate::error::Fault;
use crate::model::{from_js, to_js};
use crate::stops::Stops;

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ReplyOptions {
    max_tokens: Option<usize>,
    stop: Vec<String>,
    seed: u64,
    temperature: Option<f32>,
    top_k: Option<u32>,
    top_p: Option<f32>,
    min_p: Option<f32>,
    repetition_penalty: Option<f32>,
    presence_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
}

impl ReplyOptions {
    /// What is said here, on top of what the model recommends.
    fn over(&self, model: Sampling) -> Sampling {
        Sampling {
            temperature: self.temperature.unwrap_or(model.temperature),
            top_k: self.top_k.unwrap_or(model.top_k),
            top_p: self.top_p.unwrap_or(model.top_p),
            min_p: self.min_p.unwrap_or(model.min_p),
            repetition_penalty: self.repetition_penalty.unwrap_or(model.repetition_penalty),
            presence_penalty: self.presence_penalty.unwrap_or(model.presence_penalty),
            frequency_penalty: self.frequency_penalty.unwrap_or(model.frequency_penalty),
            seed: self.seed,
            ..model
        }
    }
}

/// How a reply came about.
#[derive(Serialize)]
struct Finish {
    finish_reason: &'static str,
    prompt_tokens: usize,
    cached_tokens: usize,
    completion_tokens: usize,
    prefill_seconds: f64,
    decode_seconds: f64,
}

#[wasm_bindgen]
impl WebEngine {
    /// Replies to a prompt. The KV cache keeps all tokens that the prompt and the conversation so far begin with.
    ///
    /// `progress` hears how many of the prompt's new tokens are done, and of how many; `each` a text and the ids it is made
    /// of. Where either returns false, the reply ends there.
    ///
    /// # Errors
    /// An option is out of range, the prompt does not fit, the GPU fails, or a callback ended it: `Aborted`. The conversation
    /// keeps what was computed.
    pub async fn reply(
        &mut self,
        prompt: Vec<u32>,
        options: JsValue,
        progress: Function,
        each: Function,
    ) -> Result<JsValue, Fault> {
        let options: ReplyOptions = from_js(&options)?;
        let model = self.session.engine().model().clone();
        let sampling = options.over(model.sampling());
        sampling.validate(model.config().vocab)?;
        let begin = Instant::now();
        self.session.check_prompt(&prompt)?;
        let cached_tokens = self.session.keep_prefix(&prompt);
        let mut report = |done: usize, total: usize| match goes_on(&progress, done as f64, total as f64) {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        };
        self.session.prefill(&prompt[cached_tokens..], &mut report).await?;
        let prefill_seconds = begin.elapsed().as_secs_f64();

        let begin = Instant::now();
        let (mut stream, mut stops) = (model.tokenizer().stream_on(), Stops::new(options.stop));
        let most = options.max_tokens.unwrap_or(usize::MAX);
        let mut completion_tokens = 0;
        let tell = |text: &str, ids: &[u32]| {
            let arguments = Array::of2(&text.into(), &Uint32Array::from(ids));
            each.apply(&JsValue::NULL, &arguments).is_ok_and(|answer| answer != JsValue::FALSE)
        };
        // Why it ends, and the last ids, where a text may still be held back.
        let (finish_reason, last) = loop {
            if completion_tokens >= most {
                break ("length", Some(Vec::new()));
            }
            let id = match self.session.next(&sampling).await {
                Ok(id) => id,
                Err(Error::ContextFull { .. }) => break ("length", Some(Vec::new())),
                Err(error) => return Err(error.into()),
            };
            completion_tokens += 1;
            if model.tokenizer().is_end(id) {
                break ("stop", Some(vec![id]));
            }
            let (text, stopped) = stops.push(&stream.push(id));
            let goes_on = tell(&text, &[id]);
            if stopped {
                break ("stop", None);
            }
            if !goes_on {
                return Err(Error::Stopped.into());
            }
        };
        if let Some(ids) = last {
            let mut text = stops.push(&stream.finish()).0;
            text.push_str(&stops.finish());
            tell(&text, &ids);
        }
        to_js(&Finish {
            finish_reason,
            prompt_tokens: prompt.len(),
            cached_tokens,
            completion_tokens,
            prefill_seconds,
            decode_seconds: begin.elapsed().as_secs_f64(),
        })
    }
}
