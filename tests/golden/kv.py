#!/usr/bin/env python3
"""Perplexity by the reference with keys and values as a KV cache stores them: `kv.py TOKENS [TYPE...]`.

One chunk of TOKENS of perplexity.txt, scored on its second half. A TYPE is `f16`, `q8_0` or `q4_0`, with `-plain` behind it where
nothing is rotated, and `-all` where even a token's own page is seen as the cache stores it. The change of perplexity is given with
its standard error over the scored tokens, from the differences of each token's loss.
"""

import sys

import numpy as np
import reference

PAGE, GROUP, ROWS = 64, 32, 512
TYPES = ["f16", "q8_0", "q8_0-plain", "q4_0", "q4_0-plain", "q4_0-all", "q4_0-plain-all"]


def hadamard(n: int) -> np.ndarray:
    h = np.ones((1, 1), np.float32)
    while len(h) < n:
        h = np.block([[h, h], [h, -h]])
    return h / np.float32(np.sqrt(n))


def half(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float16).astype(np.float32)


def quantised(x: np.ndarray, bits: int) -> np.ndarray:
    """Groups of 32 with a half as scale: the largest magnitude is 127, or with 4 bits -8."""
    groups = x.reshape(-1, GROUP)
    largest = np.take_along_axis(groups, np.abs(groups).argmax(axis=1)[:, None], 1)
    scale = half(np.abs(largest) / 127 if bits == 8 else largest / -8)
    most = 2 ** (bits - 1)
    codes = np.divide(groups, scale, out=np.zeros_like(groups), where=scale != 0)
    return (np.clip(np.rint(codes), -most, most - 1) * scale).reshape(x.shape)


class Cached(reference.Llama):
    """The model, with attention over a cache of this type."""

    kind = "f16"

    def attend(self, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
        name, *options = self.kind.split("-")
        tokens, heads, dim = q.shape
        if name != "f16" and "plain" not in options:
            h = hadamard(dim)
            q, k, v = q @ h, k @ h, v @ h
        halves = half(k), half(v)
        k, v = halves if name == "f16" else (quantised(k, int(name[1])), quantised(v, int(name[1])))
        paged = name == "q4_0" and "all" not in options
        group, out = heads // k.shape[1], np.empty_like(q)
        for head in range(heads):
            for first in range(0, tokens, ROWS):
                end = min(first + ROWS, tokens)
                rows, columns = np.arange(first, end)[:, None], np.arange(end)
                scores = q[first:end, head] @ k[:end, head // group].T
                own = (columns >= rows // PAGE * PAGE) & paged
                if paged:
                    exact = q[first:end, head] @ halves[0][:end, head // group].T
                    scores = np.where(own, exact, scores)
                scores = np.where(columns <= rows, scores / np.float32(np.sqrt(dim)), np.float32(-np.inf))
                weights = reference.softmax(scores)
                out[first:end, head] = np.where(own, 0, weights) @ v[:end, head // group]
                if paged:
                    out[first:end, head] += np.where(own, weights, 0) @ halves[1][:end, head // group]
        return out @ h if name != "f16" and "plain" not in options else out

    def losses(self, ids: list[int]) -> np.ndarray:
        """Of the tokens in the second half of `ids`."""
        x, cache = self.embedding[np.asarray(ids)], self.new_cache()
        for layer in range(self.config.layers):
            x = self.block(layer, x, cache)
        x = reference.rms_norm(x[len(ids) // 2 : -1], self.weights["output_norm.weight"], self.config.eps)
        targets, found = np.asarray(ids[len(ids) // 2 + 1 :]), []
        for first in range(0, len(x), ROWS):
            logits = (x[first : first + ROWS] @ self.head.T).astype(np.float64)
            logits -= logits.max(axis=1, keepdims=True)
            of = targets[first : first + ROWS]
            found.append(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(of)), of])
        return np.concatenate(found)


def main() -> None:
    tokens, kinds = int(sys.argv[1]), sys.argv[2:] or TYPES
    model = Cached(reference.DEFAULT_MODEL)
    ids = reference.read_json("ids.json")["perplexity"][:tokens]
    base = None
    for kind in kinds:
        model.kind = kind
        losses = model.losses(ids)
        base = losses if base is None else base
        change, error = (losses - base).mean(), (losses - base).std() / np.sqrt(len(losses))
        print(f"{tokens} {kind:15} {np.exp(losses.mean()):.4f} {100 * np.expm1(change):+.3f} % ± {100 * error:.3f}", flush=True)


if __name__ == "__main__":
    main()
