//! The names of tensors: in the files of a repository, and in GGUF.

/// GGUF's name of the embedding.
pub(super) const EMBEDDING: &str = "token_embd.weight";
/// GGUF's name of the output head.
pub(super) const HEAD: &str = "output.weight";

/// Names of a layer's parts in the files, and GGUF's.
const PARTS: [(&str, &str); 9] = [
    ("input_layernorm", "attn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("post_attention_layernorm", "ffn_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];

/// Names outside of layers in the files, and GGUF's.
const WHOLE: [(&str, &str); 3] = [
    ("model.embed_tokens.weight", EMBEDDING),
    ("model.norm.weight", "output_norm.weight"),
    ("lm_head.weight", HEAD),
];

/// GGUF's name of a tensor.
pub(super) fn gguf_name(name: &str) -> Option<String> {
    if let Some((_, ours)) = WHOLE.iter().find(|(theirs, _)| *theirs == name) {
        return Some((*ours).into());
    }
    let (layer, rest) = name.strip_prefix("model.layers.")?.split_once('.')?;
    let (part, kind) = rest.rsplit_once('.')?;
    let (_, part) = PARTS.iter().find(|(theirs, _)| *theirs == part)?;
    // Norms have no biases in Llama.
    if kind != "weight" && (kind != "bias" || part.ends_with("norm")) {
        return None;
    }
    // `007` and `7` would be one layer.
    let number: u32 = layer
        .parse()
        .ok()
        .filter(|number: &u32| number.to_string() == layer)?;
    Some(format!("blk.{number}.{part}.{kind}"))
}

/// The files' name of a tensor with this GGUF name.
pub(super) fn hugging_face_name(name: &str) -> Option<String> {
    if let Some((theirs, _)) = WHOLE.iter().find(|(_, ours)| *ours == name) {
        return Some((*theirs).into());
    }
    let (layer, rest) = name.strip_prefix("blk.")?.split_once('.')?;
    let (part, kind) = rest.rsplit_once('.')?;
    let (part, _) = PARTS.iter().find(|(_, ours)| *ours == part)?;
    Some(format!("model.layers.{layer}.{part}.{kind}"))
}
