//! A Llama model that was constructed, not trained, to do one thing exactly: recall. Pairs of a key
//! and a value token lie anywhere in a text of fillers; after a key, the model says the value that
//! followed it.
//!
//! Layer 1 is a previous-token head: in the fast rotary planes, queries and keys are constants
//! whose score peaks at a distance of one, so each token learns which key came before it. Layer 2
//! is an induction head: what a token is looks for what came before, in the planes so slow that a
//! million positions hardly turn them, and copies the value it finds. (Olsson et al. 2022 describe
//! the circuit in trained models.)

use godwit::Bytes;
use godwit::RopeScaling;
use godwit::low_level::Synthetic;
use godwit::low_level::gguf::GgufWriter;
use godwit::{Model, Sampling, Session, WeightFormat};
use pollster::block_on;

/// Key tokens are `0..KEYS`, value tokens `KEYS..2 * KEYS`, fillers the rest.
pub const KEYS: u32 = 16;
/// All tokens.
pub const VOCAB: u32 = 96;
/// The base of the rotary frequencies: the later 1048k model's.
pub const THETA: f64 = 3_580_165_449.0;

const WIDTH: usize = 64;
const HEAD: usize = 32;
/// Rotary planes that tell positions apart, from the fastest.
const FAST: usize = 8;
/// Where a code of eight floats lies in the residual stream.
const KEY: usize = 1;
const VALUE: usize = 9;
const PREVIOUS: usize = 17;
const ANSWER: usize = 25;
/// Where codes lie in a head: the four slowest planes.
const SLOW: usize = HEAD - 8;
/// The excess of the score at a distance of one over others: see [`margin`].
const SHARP: f64 = 60.0;
/// The excess of a match's score over no match; a million fillers together weigh `e^14`.
const MATCH: f64 = 40.0;

/// The value token that belongs to a key token.
pub fn value_of(key: u32) -> u32 {
    KEYS + (5 * key + 3) % KEYS
}

/// `[rows, columns]` of zeros, to be filled in.
struct Weights {
    columns: usize,
    floats: Vec<f32>,
}

impl Weights {
    fn new(rows: usize, columns: usize) -> Self {
        Self {
            columns,
            floats: vec![0.0; rows * columns],
        }
    }

    fn set(&mut self, row: usize, column: usize, value: f64) {
        self.floats[row * self.columns + column] = value as f32;
    }
}

/// The code of token `j` of its kind: one of eight directions, or its opposite.
fn code(j: u32) -> (usize, f64) {
    ((j % 8) as usize, if j < 8 { 1.0 } else { -1.0 })
}

fn frequency(plane: usize) -> f64 {
    THETA.powf(-2.0 * plane as f64 / HEAD as f64)
}

/// How far the fast planes' score of a distance lies below that of distance one, for amplitude 1.
pub fn margin(distance: u32) -> f64 {
    (0..FAST)
        .map(|i| 1.0 - ((f64::from(distance) - 1.0) * frequency(i)).cos())
        .sum()
}

/// The model as a GGUF file, for this window.
fn gguf(window: u32) -> Vec<u8> {
    // The factor of RMS norm for a token: of the constant and one more float of 1.
    let norm = (WIDTH as f64 / 2.0).sqrt();
    let root = (HEAD as f64).sqrt();
    let mut embed = Weights::new(VOCAB as usize, WIDTH);
    let mut head = Weights::new(VOCAB as usize, WIDTH);
    for token in 0..VOCAB {
        let row = token as usize;
        embed.set(row, 0, 1.0);
        let (at, sign) = code(token % KEYS);
        match token / KEYS {
            0 => embed.set(row, KEY + at, sign),
            1 => {
                embed.set(row, VALUE + at, sign);
                head.set(row, ANSWER + at, sign);
            }
            _ => embed.set(row, ANSWER + 8 + row % (WIDTH - ANSWER - 8), 1.0),
        }
    }
    let square = || Weights::new(HEAD, WIDTH);
    let mut layers = [0, 1].map(|_| [square(), square(), square(), Weights::new(WIDTH, HEAD)]);
    let [[q, k, v, o], [q2, k2, v2, o2]] = &mut layers;
    for i in 0..FAST {
        // Turned back by one position.
        q.set(2 * i, 0, SHARP * root * frequency(i).cos() / norm);
        q.set(2 * i + 1, 0, -SHARP * root * frequency(i).sin() / norm);
        k.set(2 * i, 0, 1.0 / norm);
    }
    for c in 0..8 {
        v.set(c, KEY + c, 1.0 / norm);
        o.set(PREVIOUS + c, c, 1.0);
        q2.set(SLOW + c, KEY + c, MATCH * root / norm);
        k2.set(SLOW + c, PREVIOUS + c, 1.0 / norm);
        v2.set(c, VALUE + c, 1.0 / norm);
        o2.set(ANSWER + c, c, 4.0);
    }

    let shape: Synthetic = "tiny".parse().expect("a shape");
    let mut config = shape.model().expect("a model").config().clone();
    config.layers = 2;
    config.width = WIDTH as u32;
    config.heads = 1;
    config.kv_heads = 1;
    config.head_dim = HEAD as u32;
    config.rotary_dim = HEAD as u32;
    config.ffn = 32;
    config.vocab = VOCAB;
    config.context = window;
    config.eps = 1e-6;
    config.theta = THETA;
    config.scaling = RopeScaling::None;
    let tokens = (0..VOCAB).map(|id| format!("<{id}>")).collect();
    let writer = GgufWriter::llama("retrieval", &config, tokens, WeightFormat::F32, false);
    let mut file = writer.header();
    let start = file.len();
    for tensor in writer.tensors() {
        let part: Vec<&str> = tensor.name.split('.').collect();
        let [q, k, v, o] = &layers[usize::from(part[1] == "1")];
        let floats = match part[..] {
            ["token_embd", ..] => embed.floats.clone(),
            ["output", ..] => head.floats.clone(),
            [_, _, "attn_q", _] => q.floats.clone(),
            [_, _, "attn_k", _] => k.floats.clone(),
            [_, _, "attn_v", _] => v.floats.clone(),
            [_, _, "attn_output", _] => o.floats.clone(),
            // The feed-forward network adds nothing; norms keep what they get.
            [_, _, "ffn_gate" | "ffn_up" | "ffn_down", _] => vec![0.0; tensor.bytes as usize / 4],
            _ => vec![1.0; tensor.bytes as usize / 4],
        };
        file.resize(start + tensor.offset as usize, 0);
        file.extend(floats.iter().flat_map(|f| f.to_le_bytes()));
    }
    file
}

/// The model for this window.
///
/// # Panics
/// It does not open.
pub fn model(window: u32) -> Model {
    let file = Bytes {
        name: "retrieval".into(),
        data: gguf(window),
    };
    Model::from_sources(vec![Box::new(file)]).expect("a model")
}

/// The model's answer to a key, asked after the session's first `len` tokens.
///
/// # Panics
/// The session has no room for question and answer.
pub fn ask(session: &mut Session, len: usize, key: u32) -> u32 {
    session.truncate(len);
    block_on(session.prefill(&[key], &mut godwit::unwatched)).expect("room for the question");
    block_on(session.next(&Sampling::greedy())).expect("room for the answer")
}

/// A text of `len` tokens: fillers, and each key once, followed by its value, from the beginning to
/// the end.
pub fn haystack(len: u32) -> Vec<u32> {
    let filler = |at: u32| 2 * KEYS + (at.wrapping_mul(2_654_435_761) >> 16) % (VOCAB - 2 * KEYS);
    let mut tokens: Vec<u32> = (0..len).map(filler).collect();
    for key in 0..KEYS {
        // The first needle is right behind the first token, the last ends the text.
        let at = (1 + u64::from(key) * u64::from(len - 3) / u64::from(KEYS - 1)) as usize;
        tokens[at] = key;
        tokens[at + 1] = value_of(key);
    }
    tokens
}
