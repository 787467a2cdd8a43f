//! Replies: a prompt's tokens in, text out.

use std::ops::ControlFlow;

use godwit::{Error, Sampling};
use js_sys::{Array, Function, Uint32Array};
use tsify::Ts;
use wasm_bindgen::prelude::*;
use web_time::Instant;

use crate::engine::{WebEngine, goes_on};
use crate::error::Fault;
use crate::model::{from_js, to_js};
use crate::numbers::{MOST, whole};
use crate::stops::Stops;
use godwit_wire::{Finish, FinishReason, SamplingOptions, Stop};

/// The sampling of a reply: what the options say, over what the model recommends.
fn sampling_of(options: &SamplingOptions, model: Sampling) -> Result<Sampling, String> {
    let float =
        |given: Option<f64>, recommended: f32| given.map_or(recommended, |value| value as f32);
    let whole =
        |name, given: Option<f64>, most| given.map(|value| whole(name, value, 0, most)).transpose();
    Ok(Sampling {
        temperature: float(options.temperature, model.temperature),
        top_k: whole("top_k", options.top_k, u64::from(u32::MAX))?
            .map_or(model.top_k, |top_k| top_k as u32),
        top_p: float(options.top_p, model.top_p),
        min_p: float(options.min_p, model.min_p),
        repetition_penalty: float(options.repetition_penalty, model.repetition_penalty),
        presence_penalty: float(options.presence_penalty, model.presence_penalty),
        frequency_penalty: float(options.frequency_penalty, model.frequency_penalty),
        seed: whole("seed", options.seed, MOST)?.unwrap_or(0),
        ..model
    })
}

/// The tokens of a reply at most.
fn most_tokens(options: &SamplingOptions) -> Result<usize, String> {
    whole("n", options.n.unwrap_or(1.0), 1, 1)?;
    let most = options
        .max_tokens
        .map(|most| whole("max_tokens", most, 1, MOST))
        .transpose()?;
    Ok(most.map_or(usize::MAX, |most| {
        usize::try_from(most).unwrap_or(usize::MAX)
    }))
}

#[wasm_bindgen]
impl WebEngine {
    /// Replies to a prompt. The KV cache keeps all tokens that the prompt and the conversation so
    /// far begin with.
    ///
    /// `progress` hears how many of the prompt's new tokens are done, and of how many; `each` a
    /// text and the ids it is made of. Where either returns false, the reply ends there.
    ///
    /// # Errors
    /// An option is out of range, the prompt does not fit, the GPU fails, or a callback ended it:
    /// `Aborted`. The conversation keeps what was computed.
    pub async fn reply(
        &mut self,
        prompt: Vec<u32>,
        options: Ts<SamplingOptions>,
        progress: Function,
        each: Function,
    ) -> Result<Ts<Finish>, Fault> {
        let options: SamplingOptions = from_js("options", &options.js_value())?;
        let model = self.session.engine().model().clone();
        let sampling = sampling_of(&options, model.sampling()).map_err(Fault::bad_request)?;
        let most = most_tokens(&options).map_err(Fault::bad_request)?;
        sampling.validate(model.config().vocab)?;
        let stops = match options.stop {
            None => Vec::new(),
            Some(Stop::One(stop)) => vec![stop],
            Some(Stop::Many(stops)) => stops,
        };
        let begin = Instant::now();
        self.session.check_prompt(&prompt)?;
        let cached_tokens = self.session.keep_prefix(&prompt);
        let mut report =
            |done: usize, total: usize| match goes_on(&progress, done as f64, total as f64) {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            };
        self.session
            .prefill(&prompt[cached_tokens..], &mut report)
            .await?;
        let prefill_seconds = begin.elapsed().as_secs_f64();

        let begin = Instant::now();
        let (mut stream, mut stops) = (model.tokenizer().stream_on(), Stops::new(stops));
        let mut completion_tokens = 0;
        let tell = |text: &str, ids: &[u32]| {
            let arguments = Array::of2(&text.into(), &Uint32Array::from(ids));
            each.apply(&JsValue::NULL, &arguments)
                .is_ok_and(|answer| answer != JsValue::FALSE)
        };
        // Why it ends, and the last ids, where a text may still be held back.
        let (finish_reason, last) = loop {
            if completion_tokens >= most {
                break (FinishReason::Length, Some(Vec::new()));
            }
            let id = match self.session.next(&sampling).await {
                Ok(id) => id,
                Err(Error::ContextFull { .. }) => break (FinishReason::Length, Some(Vec::new())),
                Err(error) => return Err(error.into()),
            };
            completion_tokens += 1;
            if model.tokenizer().is_end(id) {
                break (FinishReason::Stop, Some(vec![id]));
            }
            let (text, stopped) = stops.push(&stream.push(id));
            let goes_on = tell(&text, &[id]);
            if stopped {
                break (FinishReason::Stop, None);
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
            prompt_tokens: prompt.len() as u64,
            cached_tokens: cached_tokens as u64,
            completion_tokens: completion_tokens as u64,
            prefill_seconds,
            decode_seconds: begin.elapsed().as_secs_f64(),
        })
    }
}
