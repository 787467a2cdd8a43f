//! A device that keeps, in place of keys and values, a number for each slot: the hash of all tokens
//! up to it. So a wrong page, a lost copy or a missing token changes every later number.
//!
//! It does a step when it is submitted. The tokens that the step chose stay in flight until the
//! test asks for them.

use std::collections::{HashMap, VecDeque};

use godwit_shaders::PAGE;
use godwit_shaders::kernels::embed::CHOSEN;

use super::super::ahead::CHOSEN_PER_ROW;
use super::super::core::{Core, MemoryOp};
use super::super::plan::{Chunk, StepPlan};
use super::super::request::RequestId;
use super::super::sequence::HostPage;
use crate::kv_cache::pages::PageId;

type Slots = [u64; PAGE as usize];

/// The hash after one more token, which is in its lowest bits.
pub fn after(hash: u64, token: u32) -> u64 {
    let mixed = (hash ^ u64::from(token)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)) & !0xffff | u64::from(token)
}

/// The hash of tokens.
pub fn hash(tokens: &[u32]) -> u64 {
    tokens.iter().fold(1, |hash, &token| after(hash, token))
}

/// The token that follows a hash: mostly one that depends on the last token only, so that texts
/// repeat themselves; sometimes one that depends on all of them.
pub fn token_after(hash: u64, vocab: u32) -> u32 {
    match (hash >> 20).is_multiple_of(12) {
        true => ((hash >> 24) % u64::from(vocab)) as u32,
        false => (3 * (hash & 0xffff) as u32 + 1) % 11,
    }
}

#[derive(Default)]
pub struct Fake {
    /// One of so many tokens is another than the right one; 0: none.
    wrong: u64,
    gpu: HashMap<PageId, Slots>,
    host: HashMap<HostPage, Slots>,
    /// The buffer of chosen tokens: each with the step that chose it.
    chosen: HashMap<u32, (usize, u32)>,
    /// Steps that were submitted.
    steps: usize,
    /// What each step in flight chose, the oldest first.
    pub in_flight: VecDeque<Vec<(RequestId, Vec<u32>)>>,
    /// Tokens that were computed before the host had them.
    pub computed_ahead: usize,
}

impl Fake {
    /// A device that chooses one of so many tokens wrong; 0: none.
    pub fn with_wrong(wrong: u64) -> Self {
        Self {
            wrong,
            ..Self::default()
        }
    }

    /// Does a step. Its tokens are in flight, if it computes anything.
    pub fn submit(&mut self, core: &Core, plan: &StepPlan) {
        self.steps += 1;
        for op in &plan.memory {
            match *op {
                MemoryOp::Copy { from, to } => {
                    let slots = self.gpu[&from];
                    self.gpu.insert(to, slots);
                }
                MemoryOp::ToHost { page, to } => {
                    let slots = self.gpu[&page];
                    assert!(
                        self.host.insert(to, slots).is_none(),
                        "{to:?} is there already"
                    );
                }
                MemoryOp::FromHost { from, page } => {
                    let slots = self.host.remove(&from).expect("a page that left");
                    self.gpu.insert(page, slots);
                }
                MemoryOp::Forget { host } => {
                    assert!(self.host.remove(&host).is_some(), "{host:?} is not there");
                }
            }
        }
        let vocab = core.model.config().vocab;
        let entries = CHOSEN_PER_ROW * core.limits.decode_rows as u32;
        let mut in_flight = Vec::new();
        for chunk in plan.chunks() {
            let is_known = |&token: &u32| token < vocab || token & CHOSEN > 0;
            assert!(
                chunk.tokens.iter().all(is_known),
                "{chunk:?} has tokens that the model does not know"
            );
            let hashes = self.compute(chunk);
            let outputs = &hashes[hashes.len() - chunk.outputs..];
            let chosen: Vec<_> = outputs
                .iter()
                .map(|&hash| self.token_after(hash, vocab))
                .collect();
            for (entry, &token) in (chunk.chosen..).zip(&chosen) {
                assert!(entry < entries, "{chunk:?} is beyond the buffer");
                let before = self.chosen.insert(entry, (self.steps, token));
                let is_taken = before.is_some_and(|(step, _)| step == self.steps);
                assert!(!is_taken, "a step chooses two tokens into entry {entry}");
            }
            if !chosen.is_empty() {
                in_flight.push((chunk.request, chosen));
            }
        }
        if !plan.is_empty() {
            self.in_flight.push_back(in_flight);
        }
    }

    /// Forgets what is in flight and on the host, as after a step that was not done.
    pub fn fail(&mut self) {
        self.in_flight.clear();
        self.host.clear();
    }

    /// The token that a row reads.
    fn resolve(&mut self, token: u32) -> u32 {
        if token & CHOSEN == 0 {
            return token;
        }
        let (step, chosen) = self.chosen[&(token ^ CHOSEN)];
        // All rows of a pass are read before it chooses any token.
        assert_ne!(step, self.steps, "a step reads its own tokens");
        self.computed_ahead += 1;
        chosen
    }

    /// The token that this device chooses after a hash.
    fn token_after(&self, hash: u64, vocab: u32) -> u32 {
        let token = token_after(hash, vocab);
        match self.wrong > 0 && (hash >> 36).is_multiple_of(self.wrong) {
            true => (token + 1) % vocab,
            false => token,
        }
    }

    /// The hash after each of a chunk's tokens.
    fn compute(&mut self, chunk: &Chunk) -> Vec<u64> {
        let slot = |position: u32| {
            let page = chunk.table[(position / PAGE) as usize];
            (page, (position % PAGE) as usize)
        };
        let mut hash = match chunk.position {
            0 => 1,
            position => {
                let (page, slot) = slot(position - 1);
                self.gpu[&page][slot]
            }
        };
        let mut hashes = Vec::new();
        for (position, &token) in (chunk.position..).zip(&chunk.tokens) {
            hash = after(hash, self.resolve(token));
            let (page, slot) = slot(position);
            self.gpu.entry(page).or_insert([0; PAGE as usize])[slot] = hash;
            hashes.push(hash);
        }
        hashes
    }

    /// Checks that every page of every sequence holds what its tokens say.
    pub fn check(&self, core: &Core) {
        for (id, sequence) in &core.sequences {
            let mut expected = 1;
            for (position, &token) in sequence.tokens.iter().enumerate() {
                expected = after(expected, token);
                let (number, slot) = (position / PAGE as usize, position % PAGE as usize);
                let slots = match sequence.table[number] {
                    super::super::sequence::Place::Gpu(page) => &self.gpu[&page],
                    super::super::sequence::Place::Host(host) => &self.host[&host],
                };
                assert_eq!(slots[slot], expected, "{id:?} at {position}");
            }
        }
    }

    pub fn host_pages(&self) -> usize {
        self.host.len()
    }
}
