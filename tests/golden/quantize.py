#!/usr/bin/env python3
"""Blocks of weights and what other tools make of them: `quantize/` in this folder, for `tests/tests/quantize.rs`.

`quantize.py` writes weights (16,384 of them, Gaussian, and Gaussian with outliers) and the blocks of the `gguf` package's
quantisers for Q4_0, Q4_1, Q5_0, Q5_1 and Q8_0. `quantize.py PATH/libggml-base.so` also writes the mean square errors of
llama.cpp's own quantisers, for every type, on these weights and on two matrices of SmolLM2 (`errors.json`); prebuilt
llama.cpp comes with the npm package @node-llama-cpp/linux-x64.
"""

import ctypes
import json
import sys

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Type, GGUFReader
from gguf.quants import dequantize, quantize

import reference

OUT = reference.HERE / "quantize"
EXACT = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"]
ALL = [*EXACT, "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]
# One stored in Q4_1, one in Q8_0: the first 1,024 rows of 1,536, which are whole blocks of every type.
SMOLLM2 = ["blk.3.ffn_down.weight", "token_embd.weight"]
ROW, ROWS = 1536, 1024


def gaussian() -> np.ndarray:
    random = np.random.default_rng(11)
    weights = random.standard_normal((2, 8192)).astype(np.float32)
    weights[1, ::97] *= 12
    return weights


def smollm2(name: str) -> np.ndarray:
    tensor = next(t for t in GGUFReader(reference.DEFAULT_MODEL).tensors if t.name == name)
    return dequantize(tensor.data, tensor.tensor_type).astype(np.float32).reshape(-1, ROW)[:ROWS]


def llama_cpp(library, name: str, weights: np.ndarray) -> float:
    """The normalised mean square error of llama.cpp's quantiser."""
    rows, width = weights.shape
    block, size = GGML_QUANT_SIZES[Type[name]]
    out = np.zeros(rows * width // block * size, dtype=np.uint8)
    pointer = ctypes.POINTER(ctypes.c_float)
    weights = np.ascontiguousarray(weights)
    library.ggml_quantize_chunk(
        ctypes.c_int(Type[name]), weights.ctypes.data_as(pointer), out.ctypes.data_as(ctypes.c_void_p),
        ctypes.c_int64(0), ctypes.c_int64(rows), ctypes.c_int64(width), None,
    )
    back = dequantize(out.reshape(rows, -1), Type[name]).astype(np.float64)
    return float(np.sum((back - weights) ** 2) / np.sum(weights.astype(np.float64) ** 2))


def main() -> None:
    OUT.mkdir(exist_ok=True)
    weights = gaussian()
    weights.astype("<f4").tofile(OUT / "weights.f32")
    for name in EXACT:
        quantize(weights, Type[name]).tofile(OUT / f"{name}.bin")
    if len(sys.argv) > 1:
        library = ctypes.CDLL(sys.argv[1])
        library.ggml_quantize_chunk.restype = ctypes.c_size_t
        inputs = {"gaussian": weights} | {name: smollm2(name) for name in SMOLLM2}
        errors = {
            input: {name: llama_cpp(library, name, values) for name in ALL} for input, values in inputs.items()
        }
        reference.write_json("quantize/errors.json", errors)
        print(json.dumps(errors, indent=1))


if __name__ == "__main__":
    main()
