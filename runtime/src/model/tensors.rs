//! Which tensors the forward pass reads: a checkpoint that has others, or lacks one, is refused
//! before any weight is loaded.

use std::collections::HashSet;

use godwit_shaders::weights::GROUP;

use super::Model;
use super::config::{Config, ROPE_FACTORS};
use crate::checkpoint::Checkpoint;
use crate::error::Error;
use crate::gguf::Tensor;

/// A tensor that the forward pass reads.
pub(crate) struct Expected {
    /// GGUF's name.
    pub name: String,
    /// Its shape, the length of a row first.
    pub shape: Vec<u64>,
    /// Whether there is no model without it.
    pub required: bool,
}

/// All tensors that the forward pass of these hyperparameters reads, where they are there.
/// [`super::Loader`] asks for no others, which a test holds it to.
pub(crate) fn expected(config: &Config) -> Vec<Expected> {
    let [width, ffn, vocab] = [config.width, config.ffn, config.vocab].map(u64::from);
    let [queries, keys] =
        [config.heads, config.kv_heads].map(|heads| u64::from(heads) * u64::from(config.head_dim));
    let mut all = Vec::new();
    let mut add = |name: String, shape: &[u64], required| {
        all.push(Expected {
            name,
            shape: shape.into(),
            required,
        })
    };
    add("token_embd.weight".into(), &[width, vocab], true);
    for layer in 0..config.layers {
        let projections = [
            ("attn_q", width, queries),
            ("attn_k", width, keys),
            ("attn_v", width, keys),
            ("attn_output", queries, width),
            ("ffn_gate", width, ffn),
            ("ffn_up", width, ffn),
            ("ffn_down", ffn, width),
        ];
        for (part, inputs, outputs) in projections {
            add(
                format!("blk.{layer}.{part}.weight"),
                &[inputs, outputs],
                true,
            );
            add(format!("blk.{layer}.{part}.bias"), &[outputs], false);
        }
        for part in ["attn_norm", "ffn_norm"] {
            add(format!("blk.{layer}.{part}.weight"), &[width], true);
        }
    }
    add("output_norm.weight".into(), &[width], true);
    // Without it the embedding is the output head.
    add("output.weight".into(), &[width, vocab], false);
    add(
        ROPE_FACTORS.into(),
        &[u64::from(config.rotary_dim / 2)],
        false,
    );
    all
}

/// The tensors that are loaded.
pub(crate) fn used_tensors(model: &Model) -> impl Iterator<Item = &Tensor> {
    // All others change nothing, or the model would not have been opened.
    model
        .checkpoint()
        .tensors()
        .iter()
        .filter(|tensor| !is_harmless(&tensor.name))
}

/// Whether the feed-forward networks add biases before they are gated, which takes a matrix product
/// more room.
pub(crate) fn has_gate_biases(checkpoint: &dyn Checkpoint, config: &Config) -> bool {
    let there = |layer, part| {
        checkpoint
            .tensor(&format!("blk.{layer}.{part}.bias"))
            .is_some()
    };
    (0..config.layers).any(|layer| there(layer, "ffn_gate") || there(layer, "ffn_up"))
}

/// Whether a tensor of this name changes nothing, whatever it holds: tables that old tools wrote
/// beside the weights, which follow from the hyperparameters.
pub(crate) fn is_harmless(name: &str) -> bool {
    [
        "rotary_emb.inv_freq",
        "attn_rot_embd",
        "attn_rot_embd.weight",
        "attention.masked_bias",
        "attn.masked_bias",
    ]
    .iter()
    .any(|end| {
        name == *end
            || name
                .strip_suffix(end)
                .is_some_and(|rest| rest.ends_with('.'))
    })
}

/// Tensors of a checkpoint that the forward pass does not read, by the names of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unused {
    /// Tensors that change nothing.
    pub harmless: Vec<String>,
    /// Unknown tensors: they may change an answer.
    pub unsupported: Vec<String>,
}

/// The tensors that the forward pass does not read.
pub(crate) fn unused(checkpoint: &dyn Checkpoint, expected: &[Expected]) -> Unused {
    let read: HashSet<&str> = expected
        .iter()
        .map(|expected| expected.name.as_str())
        .collect();
    let named = checkpoint
        .tensors()
        .iter()
        .map(|tensor| tensor.name.as_str());
    let others = named
        .filter(|name| !read.contains(name))
        .map(|name| checkpoint.own_name(name));
    let (harmless, unsupported) = others
        .chain(checkpoint.unnamed_tensors().iter().cloned())
        .partition(|name| is_harmless(name));
    Unused {
        harmless,
        unsupported,
    }
}

/// What is wrong with the tensors: those that are missing, or whose shapes the hyperparameters
/// contradict.
pub(crate) fn check(checkpoint: &dyn Checkpoint, expected: &[Expected]) -> Result<(), Error> {
    for Expected {
        name,
        shape,
        required,
    } in expected
    {
        let own_name = || checkpoint.own_name(name);
        let Some(tensor) = checkpoint.tensor(name) else {
            if *required {
                return Err(Error::TensorMissing { name: own_name() });
            }
            continue;
        };
        if tensor.shape != *shape {
            let (found, expected) = (tensor.shape.clone(), shape.clone());
            return Err(Error::TensorShape {
                name: own_name(),
                found,
                expected,
            });
        }
        if let [width, _] = shape[..]
            && !width.is_multiple_of(GROUP as u64)
        {
            return Err(Error::TensorWidth {
                name: own_name(),
                width: width as u32,
            });
        }
    }
    Ok(())
}
