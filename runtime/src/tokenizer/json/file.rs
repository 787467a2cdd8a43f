//! The fields of `tokenizer.json` and `tokenizer_config.json` that matter, as the files have them.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::merges::MergeTexts;
use crate::json::{MaybeText, Small};

/// `truncation` and `padding` are left out: `transformers` sets both anew for each text.
#[derive(Deserialize)]
pub(super) struct File {
    pub model: Model,
    #[serde(default)]
    pub added_tokens: Vec<Added>,
    pub normalizer: Option<Small>,
    pub pre_tokenizer: Option<Small>,
    pub post_processor: Option<Small>,
    pub decoder: Option<Small>,
}

#[derive(Deserialize)]
pub(super) struct Model {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub vocab: BTreeMap<String, u32>,
    pub merges: MergeTexts,
    #[serde(default)]
    pub byte_fallback: bool,
    #[serde(default)]
    pub fuse_unk: bool,
    #[serde(default)]
    pub ignore_merges: bool,
    pub unk_token: Option<String>,
    pub dropout: Option<f32>,
    pub continuing_subword_prefix: Option<String>,
    pub end_of_word_suffix: Option<String>,
}

/// An added token of a `tokenizer.json`. `flatten` would hold all of it in memory first.
#[derive(Deserialize)]
struct FileToken {
    pub id: u32,
    pub content: String,
    #[serde(default)]
    pub special: bool,
    #[serde(default)]
    pub single_word: bool,
    #[serde(default)]
    pub lstrip: bool,
    #[serde(default)]
    pub rstrip: bool,
    #[serde(default)]
    pub normalized: bool,
}

impl From<FileToken> for Added {
    fn from(token: FileToken) -> Self {
        let FileToken {
            id,
            content,
            special,
            single_word,
            lstrip,
            rstrip,
            normalized,
        } = token;
        Self {
            id,
            token: AddedToken {
                content,
                special,
                single_word,
                lstrip,
                rstrip,
                normalized,
            },
        }
    }
}

#[derive(Deserialize)]
#[serde(from = "FileToken")]
pub(super) struct Added {
    pub id: u32,
    pub token: AddedToken,
}

/// The properties of a token that was added to a vocabulary.
#[derive(Deserialize)]
pub(super) struct AddedToken {
    pub content: String,
    #[serde(default)]
    pub special: bool,
    #[serde(default)]
    pub single_word: bool,
    #[serde(default)]
    pub lstrip: bool,
    #[serde(default)]
    pub rstrip: bool,
    #[serde(default)]
    pub normalized: bool,
}

/// The fields of a `tokenizer_config.json` that the tokenizer needs.
#[derive(Default, Deserialize)]
pub(super) struct Config {
    pub bos_token: Option<Text>,
    pub eos_token: Option<Text>,
    #[serde(default)]
    pub unk_token: AnyToken,
    #[serde(default)]
    pub pad_token: AnyToken,
    #[serde(default)]
    pub additional_special_tokens: AnyTokens,
    pub add_bos_token: Option<bool>,
    #[serde(default)]
    pub add_eos_token: Option<bool>,
    #[serde(default)]
    pub added_tokens_decoder: BTreeMap<String, AddedToken>,
}

/// A token's text, alone or with its properties.
pub(super) struct Text(pub String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let AnyToken(text) = AnyToken::deserialize(deserializer)?;
        text.map(Self).ok_or_else(|| {
            D::Error::custom("a token must be a text, or an object with a text as its content")
        })
    }
}

/// The same, or anything else, which is no token.
#[derive(Default)]
pub(super) struct AnyToken(Option<String>);

impl<'de> Deserialize<'de> for AnyToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneToken).map(Self)
    }
}

struct OneToken;

impl<'de> Visitor<'de> for OneToken {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a token")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(text.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut content = None;
        while let Some(key) = entries.next_key::<String>()? {
            match key.as_str() {
                "content" => content = entries.next_value::<MaybeText>()?.0.ok(),
                _ => _ = entries.next_value::<IgnoredAny>()?,
            }
        }
        Ok(content)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

/// The tokens of a list; none where there is something else.
#[derive(Default)]
pub(super) struct AnyTokens(Vec<String>);

impl<'de> Deserialize<'de> for AnyTokens {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Vec<String>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of tokens")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(AnyToken(token)) = list.next_element()? {
                    all.extend(token);
                }
                Ok(all)
            }

            fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Self::Value, A::Error> {
                OneToken.visit_map(entries).map(|_| Vec::new())
            }

            fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
                Ok(Vec::new())
            }

            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Vec::new())
            }

            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(Vec::new())
            }

            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(Vec::new())
            }

            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(Vec::new())
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Vec::new())
            }
        }
        deserializer.deserialize_any(List).map(Self)
    }
}

impl Config {
    /// The texts of all tokens that are special by name.
    pub fn special(&self) -> impl Iterator<Item = &str> {
        let named = self
            .bos_token
            .iter()
            .chain(&self.eos_token)
            .map(|Text(text)| text);
        let others = self
            .unk_token
            .0
            .iter()
            .chain(&self.pad_token.0)
            .chain(&self.additional_special_tokens.0);
        named.chain(others).map(String::as_str)
    }
}
