//! Replies: the loop that chooses tokens, makes text of them, and knows when to end.

mod reply;
mod speculate;
mod stops;
#[cfg(test)]
mod tests;

use crate::error::Error;
use crate::model::Model;
use crate::progress::{OnProgress, unwatched};
use crate::sampling::Sampling;
use crate::session::Session;
use crate::setters::setters;
use crate::speculation::{Speculated, Speculation};
pub(crate) use reply::Reply;
use speculate::Speculator;

pub use reply::{FinishReason, Piece};

/// Contexts of fewer tokens are not shifted: next to nothing would be left.
const LEAST_SHIFTED: u32 = 8;

/// How a reply is generated, and what ends it besides the model.
///
/// ```
/// use godwit::{GenerateOptions, Sampling};
///
/// let options = GenerateOptions::default()
///     .sampling(Sampling::greedy())
///     .max_tokens(64)
///     .stop(vec!["\n\n".into()]);
/// assert_eq!(options.max_tokens, 64);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct GenerateOptions {
    /// How tokens are chosen; [`Model::sampling`] is what a model's files recommend.
    pub sampling: Sampling,
    /// Tokens of the reply at most; the one that ends the turn counts.
    pub max_tokens: usize,
    /// Strings that end the reply, and are no part of it. Empty ones are ignored.
    pub stop: Vec<String>,
    /// What happens where the context is full. None: the reply ends. Some(n): the first n tokens
    /// stay, the older half of the others is forgotten ([`Session::shift`]), and the reply goes on.
    /// Contexts of fewer than 8 tokens are not shifted.
    pub context_shift: Option<usize>,
    /// Whether further tokens are guessed from the text, and computed together with the next one.
    /// The reply is the same as without, but where two tokens are nearly as likely: several tokens
    /// are computed by other kernels than one, which round in another order.
    pub speculation: Speculation,
}

/// No limit but the context, no stop strings.
impl Default for GenerateOptions {
    fn default() -> Self {
        Self {
            sampling: Sampling::default(),
            max_tokens: usize::MAX,
            stop: Vec::new(),
            context_shift: None,
            speculation: Speculation::Off,
        }
    }
}

setters! { GenerateOptions {
    sampling: Sampling,
    max_tokens: usize,
    stop: Vec<String>,
    context_shift: Option<usize>,
    speculation: Speculation,
} }

/// A reply in the making: [`Session::generate`]. Each [`Generation::next`] gives a token.
///
/// A caller that drops it cancels the reply: the session keeps the tokens so far.
pub struct Generation<'a> {
    session: &'a mut Session,
    model: Model,
    sampling: Sampling,
    context_shift: Option<usize>,
    /// Tokens that a shift which did not end has still to compute.
    unshifted: Vec<u32>,
    reply: Reply,
    speculator: Option<Speculator>,
    /// The session of a smaller model, which guesses.
    draft: Option<&'a mut Session>,
}

impl Session {
    /// Begins a reply to the tokens of the session.
    ///
    /// ```no_run
    /// # async fn reply(session: &mut godwit::Session) -> Result<(), godwit::Error> {
    /// use godwit::{FinishReason, GenerateOptions};
    ///
    /// let mut generation = session.generate(GenerateOptions::default().max_tokens(256))?;
    /// while let Some(piece) = generation.next().await? {
    ///     print!("{}", piece.text);
    /// }
    /// assert_ne!(generation.finish_reason(), None);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// A sampling parameter is out of range.
    pub fn generate(&mut self, options: GenerateOptions) -> Result<Generation<'_>, Error> {
        let model = self.engine().model().clone();
        let GenerateOptions {
            sampling,
            max_tokens,
            stop,
            context_shift,
            speculation,
        } = options;
        sampling.validate(model.config().vocab)?;
        let reply = Reply::new(model.tokenizer(), max_tokens, stop);
        let is_cpu = self.engine().gpu().caps().cpu;
        Ok(Generation {
            session: self,
            model,
            sampling,
            context_shift,
            unshifted: Vec::new(),
            reply,
            speculator: Speculator::new(speculation, is_cpu),
            draft: None,
        })
    }

    /// [`Session::generate`], with a session of a smaller model that guesses the next tokens:
    /// [`GenerateOptions::speculation`] says how many. It is brought to hold the same tokens, and
    /// may hold others before.
    ///
    /// # Errors
    /// As [`Session::generate`], or the models have other vocabularies.
    pub fn generate_with_draft<'a>(
        &'a mut self,
        draft: &'a mut Session,
        options: GenerateOptions,
    ) -> Result<Generation<'a>, Error> {
        let [own, other] = [self.engine(), draft.engine()].map(|engine| engine.model().tokenizer());
        if let Some(id) = own.first_difference(other) {
            return Err(Error::DraftVocabulary { id });
        }
        let mut generation = self.generate(options)?;
        generation.draft = Some(draft);
        Ok(generation)
    }
}

impl Generation<'_> {
    /// The next token and its text; none once the reply has ended. Text that is held back (half a
    /// character, the beginning of a stop string) comes with the last token, or after it as a piece
    /// without a token.
    ///
    /// # Errors
    /// As [`Session::next`]; a full context, and a lack of memory for a further token, end the
    /// reply instead. After an error the reply so far stays, and a later call continues it.
    pub async fn next(&mut self) -> Result<Option<Piece>, Error> {
        self.next_watched(&mut unwatched).await
    }

    /// [`Generation::next`], where shifting a full context may take long: `progress` hears how many
    /// tokens of what is left are computed.
    ///
    /// # Errors
    /// As [`Generation::next`], or `progress` says stop.
    pub async fn next_watched(
        &mut self,
        progress: &mut OnProgress<'_>,
    ) -> Result<Option<Piece>, Error> {
        while self.reply.finish_reason().is_none() {
            self.finish_shift(progress).await?;
            match self.next_token().await {
                Ok(token) => return Ok(Some(self.reply.push(self.model.tokenizer(), token))),
                Err(Error::ContextFull { .. }) => match self.context_shift {
                    Some(keep) if self.session.context() >= LEAST_SHIFTED => {
                        if let Some(speculator) = &mut self.speculator {
                            speculator.start_over();
                        }
                        self.unshifted = self.session.forget_older_half(keep);
                    }
                    _ => return Ok(self.reply.finish(FinishReason::Context)),
                },
                Err(Error::Gpu(error))
                    if error.is_out_of_memory() && !self.reply.tokens().is_empty() =>
                {
                    return Ok(self.reply.finish(FinishReason::Memory(error)));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Computes what a shift has left to compute; where an earlier call ended in its middle, the
    /// rest of it.
    async fn finish_shift(&mut self, progress: &mut OnProgress<'_>) -> Result<(), Error> {
        while !self.unshifted.is_empty() {
            let begin = self.session.tokens().len();
            let done = self.session.prefill(&self.unshifted, progress).await;
            let computed = self.session.tokens().len().saturating_sub(begin);
            self.unshifted.drain(..computed.min(self.unshifted.len()));
            done?;
        }
        Ok(())
    }

    /// Why the reply ended; none where it has not.
    pub fn finish_reason(&self) -> Option<&FinishReason> {
        self.reply.finish_reason()
    }

    /// The tokens of the reply so far, the one that ended the turn among them.
    pub fn tokens(&self) -> &[u32] {
        self.reply.tokens()
    }

    /// How many tokens were guessed, and how many of the guesses were right.
    pub fn speculated(&self) -> Speculated {
        let counts = self.speculator.as_ref().map(|speculator| speculator.counts);
        counts.unwrap_or_default()
    }

    /// The text of the reply so far.
    pub fn text(&self) -> &str {
        self.reply.text()
    }

    /// Ends the reply where it is, and returns the text that is held back; it is part of
    /// [`Generation::text`] from now on.
    pub fn cancel(&mut self) -> String {
        self.reply.cancel()
    }

    /// The session that the reply is appended to.
    pub fn session(&self) -> &Session {
        self.session
    }
}
