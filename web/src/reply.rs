//! Replies: from the tokens of a prompt to text.

use godwit::{Error, GenerateOptions, Model, Sampling};
use tsify::Ts;
use wasm_bindgen::prelude::*;
use web_time::Instant;

use crate::engine::WebEngine;
use crate::error::WebError;
use crate::listener::ReplyListener;
use crate::model::{from_js, to_js};
use crate::numbers::{MOST, whole};
use godwit_wire::{self as wire, Finish, SamplingOptions, Stop};

/// The largest number of replies to a prompt.
const MOST_REPLIES: u64 = 16;

/// Validated [`SamplingOptions`].
pub struct ReplyOptions {
    pub sampling: Sampling,
    /// The largest number of tokens in a reply.
    pub max_tokens: usize,
    /// Texts that end a reply.
    pub stop: Vec<String>,
    /// The number of replies.
    pub n: u32,
}

impl ReplyOptions {
    /// Validates the options. The missing ones are the model's recommendations.
    ///
    /// # Errors
    /// An option is unknown, or its value is invalid. The message names the option.
    fn check(options: &Ts<SamplingOptions>, model: &Model) -> Result<Self, WebError> {
        let options: SamplingOptions = from_js("options", &options.js_value())?;
        let sampling = sampling_of(&options, model.sampling()).map_err(WebError::bad_request)?;
        sampling.validate(model.config().vocab)?;
        let n = whole("n", options.n.unwrap_or(1.0), 1, MOST_REPLIES);
        let max_tokens = options
            .max_tokens
            .map(|most| whole("max_tokens", most, 1, MOST))
            .transpose();
        let max_tokens = max_tokens.map_err(WebError::bad_request)?;
        Ok(Self {
            sampling,
            max_tokens: max_tokens.map_or(usize::MAX, |most| {
                usize::try_from(most).unwrap_or(usize::MAX)
            }),
            stop: match options.stop {
                None => Vec::new(),
                Some(Stop::One(stop)) => vec![stop],
                Some(Stop::Many(stops)) => stops,
            },
            n: n.map_err(WebError::bad_request)? as u32,
        })
    }
}

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

/// The reason for JavaScript why a reply ended.
///
/// # Errors
/// The GPU has no memory for another token.
pub fn finish_reason(reason: Option<&godwit::FinishReason>) -> Result<wire::FinishReason, Error> {
    match reason {
        Some(godwit::FinishReason::Memory(error)) => Err(error.clone().into()),
        Some(godwit::FinishReason::Length | godwit::FinishReason::Context) => {
            Ok(wire::FinishReason::Length)
        }
        _ => Ok(wire::FinishReason::Stop),
    }
}

#[wasm_bindgen]
impl WebEngine {
    /// Replies to a prompt, `options.n` times.
    ///
    /// One reply belongs to the conversation, whose KV cache keeps the longest common prefix of its
    /// tokens and the prompt. Several replies leave the conversation as it is.
    ///
    /// # Errors
    /// An option is out of range, the prompt does not fit, the GPU fails, or the listener stopped
    /// the replies (`Aborted`). The conversation keeps the tokens that were computed for it.
    pub async fn reply(
        &mut self,
        prompt: Vec<u32>,
        options: Ts<SamplingOptions>,
        listener: ReplyListener,
    ) -> Result<Ts<Finish>, WebError> {
        let options = ReplyOptions::check(&options, self.session.engine().model())?;
        self.session.check_prompt(&prompt)?;
        let n = options.n;
        let finish = match n {
            1 => self.one_reply(&prompt, options, &listener).await,
            _ => self
                .several_replies(&prompt, &options, &listener)
                .await
                .map_err(|error| error.of_replies(n)),
        };
        to_js(&finish?)
    }

    /// Replies in the conversation.
    async fn one_reply(
        &mut self,
        prompt: &[u32],
        options: ReplyOptions,
        listener: &ReplyListener,
    ) -> Result<Finish, WebError> {
        let begin = Instant::now();
        let cached_tokens = self.session.keep_prefix(prompt);
        self.session
            .prefill(&prompt[cached_tokens..], &mut |now| listener.prompt(now))
            .await?;
        let prefill_seconds = begin.elapsed().as_secs_f64();

        let begin = Instant::now();
        let options = GenerateOptions::default()
            .sampling(options.sampling)
            .max_tokens(options.max_tokens)
            .stop(options.stop);
        let mut generation = self.session.generate(options)?;
        while let Some(piece) = generation.next().await? {
            let is_unwanted = listener.text(0, &piece).is_break();
            let is_whole = matches!(
                generation.finish_reason(),
                Some(godwit::FinishReason::EndOfTurn | godwit::FinishReason::StopString)
            );
            if is_unwanted && !is_whole {
                return Err(Error::Stopped.into());
            }
        }
        Ok(Finish {
            index: 0,
            finish_reason: finish_reason(generation.finish_reason())?,
            prompt_tokens: prompt.len() as u64,
            cached_tokens: cached_tokens as u64,
            completion_tokens: generation.tokens().len() as u64,
            prefill_seconds,
            decode_seconds: begin.elapsed().as_secs_f64(),
        })
    }
}
