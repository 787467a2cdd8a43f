//! The merges of a `tokenizer.json`, read without a string for each.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, SeqAccess, Visitor};

use crate::tokenizer::merges::split_merge;

/// Merges as the file writes them, `"a b"` in older files, `["a", "b"]` in newer ones: their texts
/// one after the other, and where each side ends.
#[derive(Default)]
pub(super) struct MergeTexts {
    text: String,
    ends: Vec<(u32, u32)>,
}

impl MergeTexts {
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        let mut start = 0;
        self.ends.iter().map(move |&(middle, end)| {
            let (left, right) = (
                start as usize..middle as usize,
                middle as usize..end as usize,
            );
            start = end;
            (&self.text[left], &self.text[right])
        })
    }

    fn end<E: serde::de::Error>(&self) -> Result<u32, E> {
        u32::try_from(self.text.len()).map_err(|_| E::custom("merges take more than 4 GiB"))
    }
}

impl<'de> Deserialize<'de> for MergeTexts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List(MergeTexts);
        impl<'de> Visitor<'de> for List {
            type Value = MergeTexts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of merges")
            }

            fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<MergeTexts, A::Error> {
                while list.next_element_seed(One(&mut self.0))?.is_some() {}
                Ok(self.0)
            }
        }
        deserializer.deserialize_seq(List(MergeTexts::default()))
    }
}

/// Reads one merge.
struct One<'a>(&'a mut MergeTexts);

impl<'de> DeserializeSeed<'de> for One<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for One<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a merge: two tokens with a space between them, or a list of two tokens")
    }

    fn visit_str<E: serde::de::Error>(self, merge: &str) -> Result<(), E> {
        let (left, right) = split_merge(self.0.ends.len(), merge).map_err(E::custom)?;
        self.0.text.push_str(left);
        let middle = self.0.end()?;
        self.0.text.push_str(right);
        let end = self.0.end()?;
        self.0.ends.push((middle, end));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sides: A) -> Result<(), A::Error> {
        let mut ends = [0; 2];
        for (count, end) in ends.iter_mut().enumerate() {
            let side = sides.next_element_seed(Append(&mut self.0.text))?;
            side.ok_or_else(|| A::Error::invalid_length(count, &"two tokens"))?;
            *end = self.0.end()?;
        }
        if sides.next_element::<IgnoredAny>()?.is_some() {
            return Err(A::Error::invalid_length(3, &"two tokens"));
        }
        self.0.ends.push(ends.into());
        Ok(())
    }
}

/// Appends a text to others.
struct Append<'a>(&'a mut String);

impl<'de> DeserializeSeed<'de> for Append<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Append<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a token")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.push_str(text);
        Ok(())
    }
}
