//! JSON values from files, within a budget of memory.
//!
//! A value takes up to 36 times its text (`[[],[]]`). What is known of a file is read into types;
//! the rest comes through here, where each value is paid for before it is kept.

use std::cell::Cell;
use std::fmt;
use std::mem::size_of;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The memory limit of one part of a `tokenizer.json`.
const SMALL: usize = 4 << 20;

/// Memory of a list's element: lists grow by doubling.
const ELEMENT: usize = 2 * size_of::<Value>();
/// Memory of an object's entry in addition to its key's text.
const ENTRY: usize = 2 * (size_of::<Value>() + size_of::<String>() + 3 * size_of::<usize>());

/// Parses an object whose values take at most `most` bytes of memory. Values under the keys in
/// `skipped` are not kept.
///
/// # Errors
/// It is no object, or takes more.
pub(crate) fn object_within(
    text: &[u8],
    most: usize,
    skipped: &[&str],
) -> Result<Map<String, Value>, serde_json::Error> {
    let budget = Budget {
        left: Cell::new(most),
        most,
    };
    let mut json = serde_json::Deserializer::from_slice(text);
    let root = Object {
        budget: &budget,
        skipped,
    }
    .deserialize(&mut json)?;
    json.end()?;
    Ok(root)
}

/// A value that takes at most 4 MiB of memory.
pub(crate) struct Small(pub Value);

impl<'de> Deserialize<'de> for Small {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let budget = Budget {
            left: Cell::new(SMALL),
            most: SMALL,
        };
        Within(&budget).deserialize(deserializer).map(Self)
    }
}

struct Budget {
    left: Cell<usize>,
    most: usize,
}

impl Budget {
    fn pay<E: Error>(&self, bytes: usize) -> Result<(), E> {
        let left = self.left.get().checked_sub(bytes).ok_or_else(|| {
            E::custom(format_args!(
                "its values take more than {} MiB of memory; files of models are far smaller",
                self.most >> 20
            ))
        })?;
        self.left.set(left);
        Ok(())
    }
}

/// Builds any value.
struct Within<'a>(&'a Budget);

impl<'de> DeserializeSeed<'de> for Within<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Within<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.0.pay(value.len())?;
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(value) = list.next_element_seed(Within(self.0))? {
            self.0.pay(ELEMENT)?;
            all.push(value);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Value, A::Error> {
        Object {
            budget: self.0,
            skipped: &[],
        }
        .visit_map(entries)
        .map(Value::Object)
    }
}

/// Builds an object.
struct Object<'a> {
    budget: &'a Budget,
    skipped: &'a [&'a str],
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = Map<String, Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut all = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if self.skipped.contains(&key.as_str()) {
                entries.next_value::<IgnoredAny>()?;
                continue;
            }
            self.budget.pay(ENTRY + key.len())?;
            let value = entries.next_value_seed(Within(self.budget))?;
            all.insert(key, value);
        }
        Ok(all)
    }
}

/// The kind of a JSON value that should be an object; none where it is one, or no JSON.
pub(crate) fn other_than_object(text: &[u8]) -> Option<&'static str> {
    let MaybeText(Err(kind)) = serde_json::from_slice(text).ok()? else {
        return Some("a string");
    };
    match kind.as_str() {
        "an object" => None,
        "null" => Some("null"),
        "a list" => Some("a list"),
        "true" | "false" => Some("a bool"),
        _ => Some("a number"),
    }
}

/// A text, or what there is instead.
pub(crate) struct MaybeText(pub Result<String, String>);

impl<'de> Deserialize<'de> for MaybeText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Result<String, String>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Ok(text.into()))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
                Ok(Err(value.to_string()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
                Ok(Err(value.to_string()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
                Ok(Err(value.to_string()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
                Ok(Err(value.to_string()))
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Err("null".into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Err("a list".into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
                while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Err("an object".into()))
            }
        }
        deserializer.deserialize_any(Any).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_the_library() {
        let text = r#" {"a": [1, -2, 3.5, null, true, "x\u00e9"],
            "b": {"c": {}, "c": []}, "d": [], "e": 1e400} "#;
        let text = text.replace("1e400", "1e40");
        let expected: Map<String, Value> = serde_json::from_str(&text).expect("JSON");
        assert_eq!(
            object_within(text.as_bytes(), 1 << 20, &[]).expect("an object"),
            expected
        );
        let mut without = expected.clone();
        without.shift_remove("b");
        assert_eq!(
            object_within(text.as_bytes(), 1 << 20, &["b"]).expect("an object"),
            without
        );
    }

    #[test]
    fn what_takes_more_is_refused() {
        let long = format!(r#"{{"a": [{}0]}}"#, "[],".repeat(100_000));
        let error = object_within(long.as_bytes(), 1 << 20, &[])
            .expect_err("more than a mebibyte")
            .to_string();
        assert!(
            error.starts_with("its values take more than 1 MiB of memory"),
            "{error}"
        );
        assert!(object_within(long.as_bytes(), 1 << 20, &["a"]).is_ok());
        assert!(object_within(b"[1]", 1 << 20, &[]).is_err());
        assert!(object_within(b"{} x", 1 << 20, &[]).is_err());
        let small = serde_json::from_str::<Small>(&format!("[{}0]", "0,".repeat(100_000)));
        assert!(small.is_err());
    }
}
