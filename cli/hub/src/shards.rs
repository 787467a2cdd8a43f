//! Whether a safetensors repository on the disk is whole: its index says which shards there must
//! be.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::Path;

use godwit::low_level::io::open::{Links, open_regular};
use serde::Deserialize;

use super::choose::{Candidate, INDEX, WHOLE};

/// The longest index that is read, in bytes.
const MOST: u64 = 64 << 20;

#[derive(Deserialize)]
struct Index {
    weight_map: HashMap<String, String>,
}

/// Whether all shards that the index in `folder` names are among the candidate's files. One file of
/// weights needs no index.
pub fn is_whole(folder: &Path, candidate: &Candidate) -> bool {
    let there = |name: &str| candidate.files.iter().any(|file| file.path == name);
    if there(WHOLE) || !there(INDEX) {
        return true;
    }
    let mut json = Vec::new();
    let read = open_regular(&folder.join(INDEX), Links::Follow)
        .and_then(|(file, _)| file.take(MOST).read_to_end(&mut json));
    let index = read
        .ok()
        .and_then(|_| serde_json::from_slice::<Index>(&json).ok());
    index.is_some_and(|index| index.weight_map.values().all(|shard| there(shard)))
}
