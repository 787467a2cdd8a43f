//! Replies: from the tokens of a prompt to text.

use godwit::{Error, FinishReason, GenerateOptions, Progress, Sampling};
use js_sys::{Array, Function, Uint32Array};
use tsify::Ts;
use wasm_bindgen::prelude::*;
use web_time::Instant;

use crate::engine::{WebEngine, report_progress};
use crate::error::WebError;
use crate::model::{from_js, to_js};
use crate::numbers::{MOST, whole};
use godwit_wire::{self as wire, Finish, SamplingOptions, Stop};

/// The sampling of a reply: the options, and for the missing ones the model's recommendations.
fn sampling_of(options: &SamplingOptions, model: Sampling) -> Result<Sampling, String> {
    let float =
        |given: Option<f64>, recommended: f32| given.map_or(recommended, |value| value as f32);
    let whole =
        |name, given: Option<f64>, most| given.map(|value| whole(name, value, 0, most)).transpose();
    Ok(model
        .clone()
        .temperature(float(options.temperature, model.temperature))
        .top_k(
            whole("top_k", options.top_k, u64::from(u32::MAX))?
                .map_or(model.top_k, |top_k| top_k as u32),
        )
        .top_p(float(options.top_p, model.top_p))
        .min_p(float(options.min_p, model.min_p))
        .repetition_penalty(float(options.repetition_penalty, model.repetition_penalty))
        .presence_penalty(float(options.presence_penalty, model.presence_penalty))
        .frequency_penalty(float(options.frequency_penalty, model.frequency_penalty))
        .seed(whole("seed", options.seed, MOST)?.unwrap_or(0)))
}

/// The largest number of tokens in the reply.
fn max_tokens(options: &SamplingOptions) -> Result<usize, String> {
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
    /// Replies to a prompt. The KV cache keeps the longest common prefix of the prompt and the
    /// conversation.
    ///
    /// `progress` receives how many of the prompt's new tokens are computed, and their total.
    /// `each` receives a text and the token ids that it decodes. The reply stops if either returns
    /// false.
    ///
    /// # Errors
    /// An option is out of range, the prompt does not fit, the GPU fails, or a callback stopped the
    /// reply (`Aborted`). The conversation keeps the computed tokens.
    pub async fn reply(
        &mut self,
        prompt: Vec<u32>,
        options: Ts<SamplingOptions>,
        progress: Function,
        each: Function,
    ) -> Result<Ts<Finish>, WebError> {
        let options: SamplingOptions = from_js("options", &options.js_value())?;
        let model = self.session.engine().model().clone();
        let sampling = sampling_of(&options, model.sampling()).map_err(WebError::bad_request)?;
        let max_tokens = max_tokens(&options).map_err(WebError::bad_request)?;
        sampling.validate(model.config().vocab)?;
        let stops = match options.stop {
            None => Vec::new(),
            Some(Stop::One(stop)) => vec![stop],
            Some(Stop::Many(stops)) => stops,
        };
        let begin = Instant::now();
        self.session.check_prompt(&prompt)?;
        let cached_tokens = self.session.keep_prefix(&prompt);
        let mut report = |now: Progress| report_progress(&progress, now);
        self.session
            .prefill(&prompt[cached_tokens..], &mut report)
            .await?;
        let prefill_seconds = begin.elapsed().as_secs_f64();

        let begin = Instant::now();
        let emit = |text: &str, ids: &[u32]| {
            let arguments = Array::of2(&text.into(), &Uint32Array::from(ids));
            each.apply(&JsValue::NULL, &arguments)
                .is_ok_and(|result| result != JsValue::FALSE)
        };
        let options = GenerateOptions::default()
            .sampling(sampling)
            .max_tokens(max_tokens)
            .stop(stops);
        let mut generation = self.session.generate(options)?;
        while let Some(piece) = generation.next().await? {
            let is_wanted = emit(&piece.text, piece.token.as_slice());
            let is_whole = matches!(
                generation.finish_reason(),
                Some(FinishReason::EndOfTurn | FinishReason::StopString)
            );
            if !is_wanted && !is_whole {
                return Err(Error::Stopped.into());
            }
        }
        let finish_reason = match generation.finish_reason() {
            Some(FinishReason::Memory(error)) => return Err(Error::from(error.clone()).into()),
            Some(FinishReason::Length | FinishReason::Context) => wire::FinishReason::Length,
            _ => wire::FinishReason::Stop,
        };
        let completion_tokens = generation.tokens().len();
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
