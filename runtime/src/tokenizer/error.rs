//! The errors of a vocabulary, and of a text for it.

use thiserror::Error;

/// A tokenizer that can't be built, or a text it can't encode.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// A key of the model file that is not what it should be.
    #[error(transparent)]
    Format(#[from] crate::gguf::FormatError),
    /// A key the tokenizer can't do without.
    #[error(
        "the tokenizer has no `{key}`: the file was made without a tokenizer; convert it again, \
         or use its tokenizer.json"
    )]
    Missing {
        /// The metadata key, or the path in a `tokenizer.json`.
        key: String,
    },
    /// A kind of tokenizer that Godwit has no code for.
    #[error("`{key}` is `{value}`, which is not supported; known: {known}")]
    Unsupported {
        /// The metadata key, or the path in a `tokenizer.json`.
        key: String,
        /// The value in the file.
        value: String,
        /// The values that are supported.
        known: String,
    },
    /// Two lists that must be equally long aren't.
    #[error("`{key}` has {len} entries, but there are {tokens} tokens")]
    Length {
        /// The list.
        key: &'static str,
        /// Its length.
        len: usize,
        /// The number of tokens.
        tokens: usize,
    },
    /// A token type that the format doesn't define.
    #[error("token {id} has type {kind}, but types are 0 to 6")]
    Kind {
        /// The token.
        id: usize,
        /// Its type.
        kind: i32,
    },
    /// One text for two ids.
    #[error("tokens {first} and {second} are both {text:?}")]
    Duplicate {
        /// The lower id.
        first: u32,
        /// The higher id.
        second: u32,
        /// The text of both.
        text: String,
    },
    /// One id for two texts.
    #[error("id {id} is given to both {first:?} and {second:?}")]
    DuplicateId {
        /// The id.
        id: u32,
        /// One text.
        first: String,
        /// The other text.
        second: String,
    },
    /// An id beyond the vocabulary.
    #[error("`{key}` is {id}, but there are {tokens} tokens")]
    IdOutOfRange {
        /// The key or list with the id.
        key: String,
        /// The id.
        id: u64,
        /// The number of tokens.
        tokens: usize,
    },
    /// A token too long to be one.
    #[error("token {id} is {len} bytes long; at most {max} are supported")]
    TokenTooLong {
        /// The token.
        id: u32,
        /// Its length in bytes.
        len: usize,
        /// The longest allowed.
        max: usize,
    },
    /// More control and user-defined tokens than a matcher is built for.
    #[error(
        "control and user-defined tokens have {bytes} bytes together; at most {max} are supported"
    )]
    SpecialsTooLong {
        /// Their length together.
        bytes: usize,
        /// The most allowed.
        max: usize,
    },
    /// A merge that doesn't fit the vocabulary.
    #[error("merge {index} ({merge:?}): {cause}")]
    Merge {
        /// Its place in the list, from 0.
        index: usize,
        /// The merge.
        merge: String,
        /// The cause.
        cause: String,
    },
    /// Scores that would make more merges than any vocabulary has.
    #[error(
        "`tokenizer.ggml.scores` make more than {most} merges of {tokens} tokens: no trained \
         vocabulary nests so deep; \
         convert the model again, with `tokenizer.ggml.merges`"
    )]
    TooManyMerges {
        /// The number of tokens.
        tokens: usize,
        /// The most merges that are made of them.
        most: usize,
    },
    /// A splitting pattern that takes too many steps on a text.
    #[error(
        "the splitting pattern {pattern:?} takes more than {most} steps on {bytes} bytes of text: \
         it reads far beyond \
         what it matches; shorten the text, or use a tokenizer with another pattern"
    )]
    Steps {
        /// The pattern.
        pattern: String,
        /// The most steps that a text of this length may take.
        most: u64,
        /// The length of the text.
        bytes: usize,
    },
    /// A normalizer that makes a text many times as long.
    #[error(
        "the normalizer makes more than {most} bytes of {bytes} bytes of text; use another \
         tokenizer"
    )]
    Normalized {
        /// The most bytes that a text of this length may become.
        most: usize,
        /// The length of the text.
        bytes: usize,
    },
    /// A splitting pattern that doesn't compile.
    #[error("the splitting pattern {pattern:?} can't be used: {cause}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// The regex compiler's message.
        cause: String,
    },
    /// A `tokenizer.json` that isn't one.
    #[error("tokenizer.json: {cause}")]
    Json {
        /// The JSON parser's message.
        cause: String,
    },
    /// Text that the vocabulary has no tokens for.
    #[error("the vocabulary has no token for byte {byte:#04X} of {character:?} (U+{:04X}); leave \
        the character out", *character as u32)]
    NoToken {
        /// The character.
        character: char,
        /// Its first byte without a token.
        byte: u8,
    },
    /// Text that needs a token without a row in the model's embedding.
    #[error(
        "token {id} ({text:?}) is beyond the embedding's {rows} rows, so the model can't read it; \
         leave it out of the text"
    )]
    BeyondEmbedding {
        /// The token.
        id: u32,
        /// Its text.
        text: String,
        /// The rows of the embedding.
        rows: u32,
    },
    /// The byte-pair encoder refused or broke.
    #[error("the byte-pair encoder failed: {cause}")]
    Encoder {
        /// Its message.
        cause: String,
    },
}
