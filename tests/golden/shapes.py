#!/usr/bin/env python3
"""Small random models of every shape that Godwit claims, and their logits by the reference: target/golden/shapes/NAME.{gguf,f32}; one
of them in parts as well.

`tests/tests/shapes.rs` scores the same ids, IDS, with each.
"""

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import quantize

import reference

OUT = reference.DEFAULT_OUT / "shapes"
VOCAB, LAYERS, FFN = 96, 2, 320
IDS = [(7 * i * i + 3 * i + 1) % VOCAB for i in range(90)]

LLAMA3_FACTORS = dict(factor=8.0, low=1.0, high=4.0, original=32.0)

# name: heads, KV heads, head dim, tied, theta, format, scaling
SHAPES = {
    "llama2": (4, 4, 128, False, 1e4, "F16", {}),
    "llama3": (8, 2, 128, False, 5e5, "Q8_0", {}),
    "llama3_1": (4, 2, 64, True, 5e5, "F16", {"type": "llama3"}),
    "linear": (6, 1, 64, True, 1e4, "Q4_0", {"type": "linear", "factor": 4.0}),
    "yarn": (4, 2, 80, False, 1e4, "F32", {"type": "yarn", "factor": 4.0, "original": 32}),
    "long": (4, 1, 96, True, 2804339835.0, "BF16", {}),
    "biased": (4, 2, 64, False, 1e4, "Q8_0", {}),
    "qkv_biased": (6, 2, 64, True, 5e5, "F16", {"type": "linear", "factor": 2.0, "unsaid": True}),
    "up_biased": (4, 4, 32, True, 1e4, "F32", {}),
}
# Projections that have biases. Large ones: an answer without them is another.
BIASES = {
    "biased": ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"],
    "qkv_biased": ["attn_q", "attn_v"],
    "up_biased": ["ffn_up"],
}
# The one that is written in parts of so many tensors too: NAME-00001-of-0000N.gguf.
SPLIT, PART = "llama3_1", 8


def llama3_factors(head_dim: int, theta: float) -> np.ndarray:
    """What divides each frequency, as converters write it into `rope_freqs.weight`."""
    factor, low, high, original = LLAMA3_FACTORS.values()
    frequencies = theta ** (-np.arange(0, head_dim, 2) / head_dim)
    turns = original * frequencies / (2 * np.pi)
    kept = np.clip((turns - low) / (high - low), 0, 1)
    return (1 / (kept + (1 - kept) / factor)).astype(np.float32)


def write(path, heads, kv_heads, head_dim, tied, theta, kind, scaling, part=0) -> None:
    width = heads * head_dim
    random = np.random.default_rng(len(path.stem) * 1000 + width)
    w = GGUFWriter(path, "llama", split_max_tensors=part)
    w.add_block_count(LAYERS)
    w.add_embedding_length(width)
    w.add_feed_forward_length(FFN)
    w.add_head_count(heads)
    w.add_head_count_kv(kv_heads)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_context_length(128)
    w.add_rope_dimension_count(head_dim)
    w.add_rope_freq_base(theta)
    if scaling.get("type") in ("linear", "yarn"):
        # A factor without a type is linear.
        if not scaling.get("unsaid"):
            w.add_string("llama.rope.scaling.type", scaling["type"])
        w.add_float32("llama.rope.scaling.factor", scaling["factor"])
    if "original" in scaling:
        w.add_uint32("llama.rope.scaling.original_context_length", scaling["original"])
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("default")
    w.add_token_list(["a", "b", "ab"] + [f"t{i}" for i in range(3, VOCAB)])
    w.add_token_merges(["a b"])

    quantised = GGMLQuantizationType[kind]

    def matrix(name: str, rows: int, columns: int) -> None:
        weights = (random.standard_normal((rows, columns)) / np.sqrt(columns)).astype(np.float32)
        w.add_tensor(name, quantize(weights, quantised), raw_dtype=quantised)
        part = name.removesuffix(".weight")
        if part.split(".")[-1] in BIASES.get(path.stem, []):
            w.add_tensor(f"{part}.bias", (0.5 * random.standard_normal(rows)).astype(np.float32))

    def vector(name: str, length: int) -> None:
        w.add_tensor(name, (1 + 0.1 * random.standard_normal(length)).astype(np.float32))

    matrix("token_embd.weight", VOCAB, width)
    if scaling.get("type") == "llama3":
        w.add_tensor("rope_freqs.weight", llama3_factors(head_dim, theta))
    for i in range(LAYERS):
        vector(f"blk.{i}.attn_norm.weight", width)
        matrix(f"blk.{i}.attn_q.weight", heads * head_dim, width)
        matrix(f"blk.{i}.attn_k.weight", kv_heads * head_dim, width)
        matrix(f"blk.{i}.attn_v.weight", kv_heads * head_dim, width)
        matrix(f"blk.{i}.attn_output.weight", width, heads * head_dim)
        vector(f"blk.{i}.ffn_norm.weight", width)
        matrix(f"blk.{i}.ffn_gate.weight", FFN, width)
        matrix(f"blk.{i}.ffn_up.weight", FFN, width)
        matrix(f"blk.{i}.ffn_down.weight", width, FFN)
    vector("output_norm.weight", width)
    if not tied:
        matrix("output.weight", VOCAB, width)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    for name, shape in SHAPES.items():
        path = OUT / f"{name}.gguf"
        write(path, *shape)
        if name == SPLIT:
            write(path, *shape, part=PART)
        logits = reference.Llama(path).logits(IDS)
        np.asarray(logits, dtype="<f4").tofile(OUT / f"{name}.f32")


if __name__ == "__main__":
    main()
