//! Which weight files count, and which tensors are in them.

use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use super::files::{INDEX, WEIGHTS};
use crate::checkpoint::json_file::json_cause;
use crate::checkpoint::safetensors::{self, Stored};
use crate::gguf::{FormatCause, FormatError};
use crate::io::Source;
use crate::json::{MaybeText, other_than_object};

/// The index of the shards: which file each tensor is in.
#[derive(Deserialize)]
pub(super) struct Index {
    weight_map: Option<WeightMap>,
}

impl Index {
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, FormatError> {
        let index = match other_than_object(bytes) {
            Some(_) => Err(serde_json::Error::custom("no object")),
            None => serde_json::from_slice(bytes),
        };
        index.map_err(|e| FormatError::file(name, FormatCause::Json(json_cause(bytes, &e))))
    }
}

/// Tensors and their files, in the index's order.
struct WeightMap(Vec<(String, MaybeText)>);

impl<'de> Deserialize<'de> for WeightMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = WeightMap;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<WeightMap, A::Error> {
                let mut all = Vec::new();
                while let Some(entry) = entries.next_entry()? {
                    all.push(entry);
                }
                Ok(WeightMap(all))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

pub(super) type Shards = (Vec<Box<dyn Source>>, Vec<Stored>);

/// The weight files that count, and their tensors: `model.safetensors`, or those that the index
/// names.
pub(super) fn shards(
    name: &str,
    mut weights: HashMap<String, Box<dyn Source>>,
    index: Option<Index>,
) -> Result<Shards, FormatError> {
    let mut shards: Vec<Box<dyn Source>> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let path = format!("{name}/{INDEX}");
    if let Some(whole) = weights.remove(WEIGHTS) {
        shards.push(whole);
    } else if let Some(index) = index {
        let Some(map) = &index.weight_map else {
            return Err(FormatError::key(
                path,
                "weight_map",
                FormatCause::KeyMissing,
            ));
        };
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        for (tensor, file) in &map.0 {
            let wrong = |cause| FormatError::key(path.as_str(), tensor.as_str(), cause);
            let file = match &file.0 {
                Ok(file) => file.as_str(),
                Err(found) => {
                    return Err(wrong(FormatCause::ValueKind {
                        expected: "a file name",
                        found: found.clone(),
                    }));
                }
            };
            let number = match numbers.get(file) {
                Some(&number) => number,
                None => {
                    // Only files that were found in the folder: a name can't lead out of it.
                    let base = file.strip_prefix("./").unwrap_or(file);
                    let shard = weights
                        .remove(base)
                        .ok_or_else(|| wrong(FormatCause::Shard(file.into())))?;
                    numbers.insert(file, shards.len());
                    shards.push(shard);
                    shards.len() - 1
                }
            };
            places.insert(tensor.clone(), number);
        }
    }
    if shards.is_empty() {
        let cause = if weights.is_empty() {
            FormatCause::NoWeights
        } else {
            FormatCause::NoIndex
        };
        return Err(FormatError::file(name, cause));
    }
    let indexed = !places.is_empty();
    let mut tensors = Vec::new();
    for (part, shard) in shards.iter().enumerate() {
        for tensor in safetensors::tensors(shard.as_ref(), part)? {
            // A copy in a shard that the index does not name is not the tensor.
            if !indexed || places.get(&tensor.name) == Some(&part) {
                places.remove(&tensor.name);
                tensors.push(tensor);
            }
        }
    }
    if let Some((tensor, part)) = places.into_iter().min() {
        let file = shards.get(part).map_or(name, |shard| shard.name());
        return Err(FormatError::tensor(file, tensor, FormatCause::NotInShard));
    }
    Ok((shards, tensors))
}
