#!/usr/bin/env python3
"""The independent reference: a Llama forward pass in NumPy, all activations float32.

It shares nothing with Godwit but the model file: weights come from the `gguf` package's own dequantisation,
ids from the `tokenizers` package. README.md in this folder says what each command writes and how it is defined.
"""

import argparse
import hashlib
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
DEFAULT_MODEL = ROOT / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
DEFAULT_OUT = ROOT / "target" / "golden"

GREEDY_TOKENS = 64
PERPLEXITY_CHUNK = 512
PERPLEXITY_TOKENS = 20_000
PERPLEXITY_SLICE = 2_048


# ---------------------------------------------------------------------------------------------------------------------
# Hyperparameters


@dataclass
class Config:
    """Hyperparameters of a `llama` GGUF file, named as in the paper's code rather than as in the file."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_dim: int
    rotary_dim: int
    eps: float
    theta: float
    window: int
    scaling: dict

    @staticmethod
    def read(metadata: dict) -> "Config":
        """Reads the `llama.*` keys. Missing optional keys take the defaults the GGUF specification gives."""
        architecture = metadata["general.architecture"]

        def get(key, default=None):
            value = metadata.get(f"{architecture}.{key}", default)
            if value is None:
                raise SystemExit(f"the file lacks {architecture}.{key}")
            return value

        width, heads = get("embedding_length"), get("attention.head_count")
        head_dim = get("attention.key_length", width // heads)
        window = get("context_length")
        linear = get("rope.scale_linear", 0.0)
        factor = get("rope.scaling.factor", 0.0)
        kind = get("rope.scaling.type", "linear" if linear or factor else "none")
        scaling = {
            "type": kind,
            "factor": get("rope.scaling.factor", linear or 1.0),
            "original": get("rope.scaling.original_context_length", window),
            "beta_fast": get("rope.scaling.yarn_beta_fast", 32.0),
            "beta_slow": get("rope.scaling.yarn_beta_slow", 1.0),
            "attn_factor": get("rope.scaling.attn_factor", 1.0),
            "low_freq_factor": get("rope.scaling.low_freq_factor", 1.0),
            "high_freq_factor": get("rope.scaling.high_freq_factor", 4.0),
        }
        return Config(
            layers=get("block_count"),
            width=width,
            heads=heads,
            kv_heads=get("attention.head_count_kv", heads),
            head_dim=head_dim,
            rotary_dim=get("rope.dimension_count", head_dim),
            eps=get("attention.layer_norm_rms_epsilon"),
            theta=get("rope.freq_base", 10_000.0),
            window=window,
            scaling=scaling,
        )


# ---------------------------------------------------------------------------------------------------------------------
# Rotary frequencies


def plain_frequencies(theta: float, dim: int) -> np.ndarray:
    """One angle per position for each rotation plane: theta^(-2i/dim), in float64."""
    return float(theta) ** (-np.arange(0, dim, 2, dtype=np.float64) / dim)


def llama3_frequencies(plain: np.ndarray, factor: float, low: float, high: float, original: float) -> np.ndarray:
    """Llama 3.1's scaling: long waves are slowed by `factor`, short ones kept, those between are blended.

    A plane turns `original / wavelength` times in the window it was trained with; below `low` turns it counts as long,
    above `high` as short.
    """
    turns = original * plain / (2 * math.pi)
    kept = np.clip((turns - low) / (high - low), 0.0, 1.0)
    return kept * plain + (1 - kept) * plain / factor


def yarn_frequencies(theta: float, dim: int, factor: float, original: float, fast: float, slow: float) -> np.ndarray:
    """YaRN's scaling: as llama3's, but the blend is linear in the index of the plane, between the whole-numbered planes
    that turn `fast` and `slow` times in the original window."""

    def plane_that_turns(times: float) -> float:
        return dim * math.log(original / (times * 2 * math.pi)) / (2 * math.log(theta))

    first = max(math.floor(plane_that_turns(fast)), 0)
    last = min(math.ceil(plane_that_turns(slow)), dim - 1)
    planes = np.arange(dim // 2, dtype=np.float64)
    slowed = np.clip((planes - first) / max(last - first, 0.001), 0.0, 1.0)
    plain = plain_frequencies(theta, dim)
    return (1 - slowed) * plain + slowed * plain / factor


def rotary(config: Config, factors: np.ndarray | None) -> tuple[np.ndarray, float]:
    """The angle per position of each plane (float64), and the length that rotated vectors are multiplied by.

    `factors` is the file's `rope_freqs.weight`: GGUF's way to store Llama 3.1's scaling, one divisor for each plane.
    """
    s, dim = config.scaling, config.rotary_dim
    plain = plain_frequencies(config.theta, dim)
    if factors is not None:
        plain = plain / factors.astype(np.float64)
    match s["type"]:
        case "none":
            return plain, 1.0
        case "linear":
            return plain / s["factor"], 1.0
        case "llama3":
            if factors is not None:
                return plain, 1.0
            return llama3_frequencies(plain, s["factor"], s["low_freq_factor"], s["high_freq_factor"], s["original"]), 1.0
        case "yarn":
            frequencies = yarn_frequencies(
                config.theta, dim, s["factor"], s["original"], s["beta_fast"], s["beta_slow"]
            )
            length = 0.1 * math.log(s["factor"]) + 1.0 if s["factor"] > 1 else 1.0
            return frequencies, length * s["attn_factor"]
        case other:
            raise SystemExit(f"rope scaling {other!r} is unknown")


# ---------------------------------------------------------------------------------------------------------------------
# The forward pass


def rms_norm(x: np.ndarray, weight: np.ndarray, eps: float) -> np.ndarray:
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + np.float32(eps)) * weight


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


class Llama:
    """A GGUF model, dequantised to float32 and held in memory."""

    squares: dict | None = None
    """The sums of squares of each matrix's inputs, where somebody wants them."""

    def __init__(self, path: Path):
        reader = GGUFReader(path)
        self.metadata = {key: field.contents() for key, field in reader.fields.items()}
        self.config = Config.read(self.metadata)
        self.weights = {
            t.name: dequantize(t.data, t.tensor_type).reshape(tuple(reversed(t.shape.tolist()))).astype(np.float32)
            for t in reader.tensors
        }
        self.embedding = self.weights["token_embd.weight"]
        self.head = self.weights.get("output.weight", self.embedding)
        factors = self.weights.get("rope_freqs.weight")
        self.frequencies, self.rotated_length = rotary(self.config, factors)

    @property
    def vocab(self) -> int:
        return self.head.shape[0]

    def rotate(self, x: np.ndarray, first: int) -> np.ndarray:
        """Turns the planes (x[2i], x[2i + 1]) of each head of `x` [tokens, heads, head_dim], from position `first` on.

        GGUF stores llama's query and key rows so that the two halves of a plane are neighbours.
        """
        positions = np.arange(first, first + x.shape[0], dtype=np.float64)
        angles = positions[:, None, None] * self.frequencies
        cos = (np.cos(angles) * self.rotated_length).astype(np.float32)
        sin = (np.sin(angles) * self.rotated_length).astype(np.float32)
        dim = self.config.rotary_dim
        even, odd = x[..., 0:dim:2], x[..., 1:dim:2]
        turned = x.copy()
        turned[..., 0:dim:2] = even * cos - odd * sin
        turned[..., 1:dim:2] = even * sin + odd * cos
        return turned

    def attend(self, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Causal attention of the last q.shape[0] positions over all of k and v. Each KV head serves a group of heads."""
        tokens, heads, dim = q.shape
        total = k.shape[0]
        group = heads // k.shape[1]
        visible = np.arange(total) <= np.arange(total - tokens, total)[:, None]
        out = np.empty_like(q)
        for head in range(heads):
            scores = q[:, head] @ k[:, head // group].T / np.float32(math.sqrt(dim))
            out[:, head] = softmax(np.where(visible, scores, np.float32(-np.inf))) @ v[:, head // group]
        return out

    def block(self, layer: int, x: np.ndarray, cache: list) -> np.ndarray:
        c = self.config
        tokens = x.shape[0]

        def linear(name: str, h: np.ndarray) -> np.ndarray:
            if self.squares is not None:
                self.squares[f"blk.{layer}.{name}.weight"] = np.sum(h.astype(np.float64) ** 2, axis=0)
            y = h @ self.weights[f"blk.{layer}.{name}.weight"].T
            bias = self.weights.get(f"blk.{layer}.{name}.bias")
            return y if bias is None else y + bias

        h = rms_norm(x, self.weights[f"blk.{layer}.attn_norm.weight"], c.eps)
        first = 0 if cache[layer] is None else cache[layer][0].shape[0]
        q = self.rotate(linear("attn_q", h).reshape(tokens, c.heads, c.head_dim), first)
        k = self.rotate(linear("attn_k", h).reshape(tokens, c.kv_heads, c.head_dim), first)
        v = linear("attn_v", h).reshape(tokens, c.kv_heads, -1)
        if cache[layer] is not None:
            k, v = np.concatenate([cache[layer][0], k]), np.concatenate([cache[layer][1], v])
        cache[layer] = (k, v)
        x = x + linear("attn_output", self.attend(q, k, v).reshape(tokens, -1))

        h = rms_norm(x, self.weights[f"blk.{layer}.ffn_norm.weight"], c.eps)
        gate = linear("ffn_gate", h)
        return x + linear("ffn_down", gate / (1 + np.exp(-gate)) * linear("ffn_up", h))

    def logits(self, ids: list[int], cache: list | None = None, last_only: bool = False) -> np.ndarray:
        """Logits [tokens, vocabulary] of `ids`, which follow what `cache` holds (see `new_cache`)."""
        cache = self.new_cache() if cache is None else cache
        x = self.embedding[np.asarray(ids)]
        for layer in range(self.config.layers):
            x = self.block(layer, x, cache)
        x = rms_norm(x[-1:] if last_only else x, self.weights["output_norm.weight"], self.config.eps)
        logits = x @ self.head.T
        assert logits.dtype == np.float32
        return logits

    def new_cache(self) -> list:
        return [None] * self.config.layers


# ---------------------------------------------------------------------------------------------------------------------
# Tokenisation, for the committed ids only


def tokenizer(model: Llama):
    """The `tokenizers` package's own tokenizer with the vocabulary, merges and special tokens of a `smollm` GGUF file."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    m = model.metadata
    if m["tokenizer.ggml.pre"] != "smollm":
        raise SystemExit("the committed ids are made for the smollm tokenizer only")
    tokens, kinds = m["tokenizer.ggml.tokens"], m["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ")) for merge in m["tokenizer.ggml.merges"]]
    t = Tokenizer(models.BPE(vocab={token: id for id, token in enumerate(tokens)}, merges=merges))
    t.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    t.decoder = decoders.ByteLevel()
    control = 3
    t.add_special_tokens([AddedToken(s, normalized=False) for s, kind in zip(tokens, kinds) if kind == control])
    return t


# ---------------------------------------------------------------------------------------------------------------------
# Commands


def read_json(name: str):
    return json.loads((HERE / name).read_text())


def write_json(name: str, value) -> None:
    """One line for each entry, so that a change reads well in a diff."""
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(item)}" for key, item in value.items())
    (HERE / name).write_text("{\n" + lines + "\n}\n")


def command_ids(model: Llama, _args) -> None:
    """Tokenises texts/*.txt and prompts.json; special tokens are parsed, none is added."""
    encode = tokenizer(model).encode
    texts = {p.stem: encode(p.read_text()).ids for p in sorted((HERE / "texts").glob("*.txt"))}
    prompts = {name: encode(text).ids for name, text in read_json("prompts.json").items()}
    scored = encode((HERE / "perplexity.txt").read_text()).ids[:PERPLEXITY_TOKENS]
    write_json("ids.json", {"texts": texts, "prompts": prompts, "perplexity": scored})
    positions = sum(map(len, texts.values()))
    print(f"{len(texts)} texts with {positions} positions, {len(prompts)} prompts, {len(scored)} tokens for perplexity")


def command_logits(model: Llama, args) -> None:
    """Writes OUT/TEXT.f32 for each committed text: logits [positions, vocabulary], little-endian float32; and OUT/TEXT.squares,
    the sums of squares of each matrix's inputs, in the order of the forward pass."""
    args.out.mkdir(parents=True, exist_ok=True)
    for name, ids in read_json("ids.json")["texts"].items():
        model.squares = {}
        model.logits(ids).astype("<f4").tofile(args.out / f"{name}.f32")
        np.concatenate([*model.squares.values()]).astype("<f4").tofile(args.out / f"{name}.squares")
        print(f"{args.out / name}.f32: {len(ids)} x {model.vocab}")
    (args.out / "model.sha256").write_text(hashlib.sha256(args.model.read_bytes()).hexdigest() + "\n")


def command_greedy(model: Llama, _args) -> None:
    """Extends each committed prompt by its 64 likeliest tokens, one by one, and notes the gap to the second best."""
    result = {}
    for name, prompt in read_json("ids.json")["prompts"].items():
        cache, ids, gaps, fed = model.new_cache(), [], [], prompt
        for _ in range(GREEDY_TOKENS):
            logits = model.logits(fed, cache, last_only=True)[0]
            second, best = np.argpartition(logits, -2)[-2:]
            ids.append(int(best))
            gaps.append(round(float(logits[best] - logits[second]), 4))
            fed = [int(best)]
        result[name] = {"ids": ids, "gaps": gaps}
        print(f"{name}: smallest gap {min(gaps)}", flush=True)
    write_json("greedy.json", result)


def command_perplexity(model: Llama, args) -> None:
    """Perplexity of the committed ids: chunks of 512, each scored on its second half (README.md has the definition)."""
    ids = read_json("ids.json")["perplexity"]
    if model.metadata.get("tokenizer.ggml.add_bos_token"):
        raise SystemExit("this model wants a BOS in each chunk, which the committed ids don't have")
    half, losses, result = PERPLEXITY_CHUNK // 2, [], {}

    def record(key: str, tokens: int) -> None:
        nll = float(np.mean(losses))
        result[key] = {"tokens": tokens, "scored": len(losses), "nll": nll, "perplexity": math.exp(nll)}
        print(key, result[key], flush=True)

    for start in range(0, len(ids) - PERPLEXITY_CHUNK + 1, PERPLEXITY_CHUNK):
        chunk = ids[start : start + PERPLEXITY_CHUNK]
        logits = model.logits(chunk)[half:-1].astype(np.float64)
        shifted = logits - logits.max(axis=-1, keepdims=True)
        log_sum = np.log(np.exp(shifted).sum(axis=-1))
        targets = chunk[half + 1 :]
        losses.extend(log_sum - shifted[np.arange(len(targets)), targets])
        if start + PERPLEXITY_CHUNK == PERPLEXITY_SLICE:
            record("slice", PERPLEXITY_SLICE)
    record("full", len(ids))
    write_json("perplexity.json", result)


def command_forward(model: Llama, args) -> None:
    """Logits of any small GGUF file: --ids a JSON list of ids, --out a file for float32 [positions, vocabulary]."""
    args.out.parent.mkdir(parents=True, exist_ok=True)
    model.logits(json.loads(args.ids)).astype("<f4").tofile(args.out)


def command_rope(model: Llama, _args) -> None:
    """Prints the angle per position of each rotation plane, as JSON."""
    json.dump({"frequencies": model.frequencies.tolist(), "length": model.rotated_length}, sys.stdout)
    print()


COMMANDS = {
    "ids": command_ids,
    "logits": command_logits,
    "greedy": command_greedy,
    "perplexity": command_perplexity,
    "forward": command_forward,
    "rope": command_rope,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, function in COMMANDS.items():
        command = commands.add_parser(name, help=function.__doc__)
        command.add_argument("--model", type=Path, default=DEFAULT_MODEL)
        command.add_argument("--out", type=Path, default=DEFAULT_OUT)
        if name == "forward":
            command.add_argument("--ids", required=True)
    args = parser.parse_args()
    if not args.model.is_file():
        raise SystemExit(f"{args.model} is missing: tests/fetch.sh fetches the test model")
    COMMANDS[args.command](Llama(args.model), args)


if __name__ == "__main__":
    main()
