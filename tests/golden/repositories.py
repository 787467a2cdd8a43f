#!/usr/bin/env python3
"""Small random Hugging Face repositories, and their logits by the reference: target/golden/repositories/NAME/ and NAME.f32.

With `--transformers` the logits of `transformers` are computed too (it needs torch and transformers), the reference is held
against them, and a few positions are written to `transformers.json` in this folder. `tests/tests/repository.rs` compares
Godwit with both.
"""

import json
import sys

import numpy as np
from gguf import GGUFWriter

import reference
from shapes import IDS, VOCAB

OUT = reference.DEFAULT_OUT / "repositories"
LAYERS, FFN, HEAD_DIM, WINDOW = 2, 256, 32, 128
POSITIONS = [0, 17, 63, 89]

LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32)

# name: heads, KV heads, tied, type of numbers, shards, what config.json says of the rotary embedding
REPOSITORIES = {
    "untied": (4, 2, False, "BF16", 3, {"rope_theta": 500000.0, "rope_scaling": LLAMA3}),
    "tied": (6, 2, True, "F16", 1, {"rope_theta": 500000.0, "rope_scaling": LLAMA3 | {"factor": 32.0}}),
    "plain": (4, 4, False, "F32", 2, {"rope_theta": 10000.0}),
    "linear": (4, 1, True, "BF16", 1, {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}}),
    "yarn": (4, 2, True, "F32", 1, {
        "rope_theta": 10000.0,
        "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32},
    }),
}

# The same with biases. name: which parts have some, and what config.json says of it
BIASED = {
    "biased": ("self_attn mlp", {"attention_bias": True, "mlp_bias": True}),
    # llama.cpp's converter takes biases that config.json does not mention.
    "unsaid_biases": ("self_attn", {"attention_bias": None}),
    # Older GPTQ tools write biases of zeros to every matrix.
    "zero_biases": ("", {"attention_bias": False, "mlp_bias": False}),
}
BIASED_SHAPE = (4, 2, False, "F16", 2, {"rope_theta": 10000.0})

# Matrices of 4 bits. name: what quantization_config says
PACKED = {
    "gptq": {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False, "sym": False},
    "gptq_act": {"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": True, "checkpoint_format": "gptq_v2"},
    "awq": {"quant_method": "awq", "bits": 4, "group_size": 32, "zero_point": True, "version": "gemm"},
}
PACKED_SHAPE = (4, 2, False, "F16", 2, {"rope_theta": 10000.0})


def stored(weights: np.ndarray, kind: str) -> tuple[bytes, np.ndarray]:
    """The bytes of the weights in a safetensors file, and the float32 numbers that they stand for."""
    if kind == "F32":
        return weights.astype("<f4").tobytes(), weights
    if kind == "F16":
        halves = weights.astype("<f2")
        return halves.tobytes(), halves.astype(np.float32)
    bits = weights.view(np.uint32)
    # To the nearest, ties to even.
    rounded = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2")
    return rounded.tobytes(), (rounded.astype(np.uint32) << 16).view(np.float32)


def safetensors(path, tensors: list[tuple[str, str, np.ndarray, bytes]]) -> None:
    table, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, kind, weights, data in tensors:
        table[name] = {"dtype": kind, "shape": list(weights.shape), "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    header = json.dumps(table).encode()
    header += b" " * (-len(header) % 8)
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"".join(data for *_, data in tensors))


def weights(name: str, heads: int, kv_heads: int, tied: bool, seed: int) -> dict[str, np.ndarray]:
    random, width = np.random.default_rng(seed), heads * HEAD_DIM
    made, repository = {}, name

    def matrix(name: str, rows: int, columns: int) -> None:
        made[name] = (random.standard_normal((rows, columns)) / np.sqrt(columns)).astype(np.float32)
        if repository in BIASED and "_proj" in name:
            has_bias = any(part in name for part in BIASED[repository][0].split())
            scale = 0.5 if has_bias else 0.0
            made[name.replace(".weight", ".bias")] = (scale * random.standard_normal(rows)).astype(np.float32)

    def vector(name: str) -> None:
        made[name] = (1 + 0.1 * random.standard_normal(width)).astype(np.float32)

    matrix("model.embed_tokens.weight", VOCAB, width)
    for i in range(LAYERS):
        layer = f"model.layers.{i}"
        vector(f"{layer}.input_layernorm.weight")
        matrix(f"{layer}.self_attn.q_proj.weight", width, width)
        matrix(f"{layer}.self_attn.k_proj.weight", kv_heads * HEAD_DIM, width)
        matrix(f"{layer}.self_attn.v_proj.weight", kv_heads * HEAD_DIM, width)
        matrix(f"{layer}.self_attn.o_proj.weight", width, width)
        vector(f"{layer}.post_attention_layernorm.weight")
        matrix(f"{layer}.mlp.gate_proj.weight", FFN, width)
        matrix(f"{layer}.mlp.up_proj.weight", FFN, width)
        matrix(f"{layer}.mlp.down_proj.weight", width, FFN)
    vector("model.norm.weight")
    if not tied:
        matrix("lm_head.weight", VOCAB, width)
    return made


TOKENIZER = {
    "version": "1.0",
    "added_tokens": [
        {"id": VOCAB - 2, "content": "<|begin|>", "special": True},
        {"id": VOCAB - 1, "content": "<|stop|>", "special": True},
    ],
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False},
    "decoder": {"type": "ByteLevel"},
    "model": {
        "type": "BPE",
        "vocab": {"a": 0, "b": 1, "ab": 2} | {f"t{i}": i for i in range(3, VOCAB - 2)},
        "merges": ["a b"],
    },
}


def words(codes: np.ndarray, order=range(8)) -> np.ndarray:
    """Eight codes of the last axis a word: code `order[i]` in nibble `i`."""
    eights = codes.reshape(*codes.shape[:-1], -1, 8).astype(np.uint32)
    packed = np.zeros(eights.shape[:-1], dtype=np.uint32)
    for nibble, code in enumerate(order):
        packed |= eights[..., code] << np.uint32(4 * nibble)
    return packed.view(np.int32)


def pack(tensor: str, values: np.ndarray, config: dict) -> tuple[list, np.ndarray]:
    """The parts of a matrix [outputs, inputs] in 4 bits, and the numbers that they stand for."""
    outputs, inputs = values.shape
    size = config["group_size"]
    groups = np.arange(inputs) // size
    if config.get("desc_act"):
        groups = np.random.default_rng(inputs + outputs).permutation(groups)
    count = inputs // size
    scales, zeros = np.zeros((count, outputs), dtype=np.float16), np.zeros((count, outputs), dtype=np.int64)
    for group in range(count):
        own = values[:, groups == group]
        low, high = np.minimum(own.min(axis=1), 0), own.max(axis=1)
        scales[group] = (high - low) / 15
        # Not 0: the older files of GPTQ have no word for that.
        zeros[group] = np.clip(np.round(-low / scales[group].astype(np.float32)), 1, 15)
    wide, offset = scales.astype(np.float32)[groups].T, zeros[groups].T
    codes = np.clip(np.round(values / wide) + offset, 0, 15).astype(np.int64)
    meant = (wide * (codes - offset)).astype(np.float32)
    if config["quant_method"] == "awq":
        shuffled = [0, 2, 4, 6, 1, 3, 5, 7]
        parts = {"qweight": words(codes.T, shuffled), "qzeros": words(zeros, shuffled), "scales": scales}
    else:
        less = 0 if config.get("checkpoint_format") == "gptq_v2" else 1
        parts = {"qweight": words(codes).T, "qzeros": words(zeros - less), "scales": scales, "g_idx": groups.astype(np.int32)}
    kinds = {"scales": "F16"}
    base = tensor.removesuffix("weight")
    return [(base + part, kinds.get(part, "I32"), array, np.ascontiguousarray(array).tobytes()) for part, array in parts.items()], meant


def write(name: str, heads, kv_heads, tied, kind, shards, rope) -> dict[str, np.ndarray]:
    """Writes a repository; returns the numbers that its weights stand for."""
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    tensors, meant = [], {}
    for tensor, values in weights(name, heads, kv_heads, tied, seed=len(name) * 100 + heads).items():
        if name in PACKED and "_proj" in tensor:
            parts, meant[tensor] = pack(tensor, values, PACKED[name])
            tensors += parts
            continue
        data, meant[tensor] = stored(values, kind)
        tensors.append((tensor, kind, values, data))
    files = {
        "config.json": {
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "head_dim": HEAD_DIM,
            "hidden_size": heads * HEAD_DIM, "intermediate_size": FFN, "num_hidden_layers": LAYERS,
            "num_attention_heads": heads, "num_key_value_heads": kv_heads, "rms_norm_eps": 1e-5, "vocab_size": VOCAB,
            "max_position_embeddings": WINDOW, "tie_word_embeddings": tied, "attention_bias": False, "mlp_bias": False,
            "bos_token_id": VOCAB - 2, "eos_token_id": VOCAB - 1,
        } | rope | ({"quantization_config": PACKED[name]} if name in PACKED else {}) | BIASED.get(name, ("", {}))[1],
        "generation_config.json": {"eos_token_id": [VOCAB - 1, 5], "do_sample": True, "temperature": 0.7, "top_p": 0.8},
        "tokenizer.json": TOKENIZER,
        "tokenizer_config.json": {
            "bos_token": "<|begin|>", "eos_token": {"content": "<|stop|>"},
            "chat_template": "{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}",
        },
    }
    if shards == 1:
        safetensors(folder / "model.safetensors", tensors)
    else:
        index = {}
        for part in range(shards):
            file = f"model-{part + 1:05}-of-{shards:05}.safetensors"
            # Neither in the order of the layers nor one after the other.
            own = tensors[part::shards][::-1]
            safetensors(folder / file, own)
            index |= {tensor: file for tensor, *_ in own}
        files["model.safetensors.index.json"] = {"metadata": {"total_size": sum(len(t[3]) for t in tensors)}, "weight_map": index}
    for file, content in files.items():
        (folder / file).write_text(json.dumps(content, indent=1))
    return meant


GGUF_NAMES = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}


def reference_logits(name: str, meant: dict[str, np.ndarray], heads, kv_heads, tied, _kind, _shards, rope) -> np.ndarray:
    """Logits of IDS by the reference, which reads GGUF: the weights go through such a file, rows reordered."""
    path = OUT / f"{name}.gguf"
    w = GGUFWriter(path, "llama")
    w.add_block_count(LAYERS)
    w.add_embedding_length(heads * HEAD_DIM)
    w.add_feed_forward_length(FFN)
    w.add_head_count(heads)
    w.add_head_count_kv(kv_heads)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_context_length(WINDOW)
    inner = rope.get("rope_scaling") or rope.get("rope_parameters") or {}
    w.add_rope_freq_base(rope.get("rope_theta") or inner["rope_theta"])
    if kind := inner.get("rope_type") or inner.get("type"):
        w.add_string("llama.rope.scaling.type", kind)
        w.add_float32("llama.rope.scaling.factor", inner["factor"])
        if kind != "linear":
            w.add_uint32("llama.rope.scaling.original_context_length", inner["original_max_position_embeddings"])
    for tensor, values in meant.items():
        part, kind = tensor.rsplit(".", 1)
        if part.endswith(("q_proj", "k_proj")):
            halves = values.reshape(-1, 2, HEAD_DIM // 2, *values.shape[1:])
            values = np.ascontiguousarray(halves.swapaxes(1, 2).reshape(values.shape))
        if part.startswith("model.layers."):
            _, _, layer, part = part.split(".", 3)
            ours = f"blk.{layer}.{GGUF_NAMES[part]}.{kind}"
        else:
            ours = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}[part] + ".weight"
        w.add_tensor(ours, values)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    logits = reference.Llama(path).logits(IDS)
    path.unlink()
    return logits


def transformers_logits(name: str) -> np.ndarray:
    import torch
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(OUT / name, dtype=torch.float32, attn_implementation="eager")
    with torch.no_grad():
        return model(torch.tensor([IDS])).logits[0].numpy()


def main() -> None:
    check = "--transformers" in sys.argv
    OUT.mkdir(parents=True, exist_ok=True)
    golden = {}
    for name, shape in (REPOSITORIES | dict.fromkeys(BIASED, BIASED_SHAPE) | dict.fromkeys(PACKED, PACKED_SHAPE)).items():
        logits = reference_logits(name, write(name, *shape), *shape)
        np.asarray(logits, dtype="<f4").tofile(OUT / f"{name}.f32")
        # transformers runs packed matrices only with other packages, on GPUs.
        if check and name not in PACKED:
            theirs = transformers_logits(name)
            nmse = np.sum((logits - theirs) ** 2) / np.sum(theirs**2)
            print(f"{name}: the reference differs from transformers by {np.abs(logits - theirs).max():.1e} at most, NMSE {nmse:.1e}")
            golden[name] = {str(at): [round(float(x), 6) for x in theirs[at]] for at in POSITIONS}
    if check:
        reference.write_json("transformers.json", golden)


if __name__ == "__main__":
    main()
