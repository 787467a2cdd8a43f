#!/usr/bin/env python3
"""Random blocks of every format, and what the `gguf` package makes of them: `tests/golden/dequant/FORMAT.bin`.

A file holds BLOCKS blocks as stored, then their weights as little-endian float32. `dequant.py SEED FOLDER` writes
others, to check on blocks nobody has seen: `GODWIT_DEQUANT=FOLDER cargo test -p godwit-tests --test dequant`.
"""

import sys
from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

NAMES = "F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS".split()
BLOCKS = 8


def main() -> None:
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 20261124
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).resolve().parent / "dequant"
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(NAMES):
        random = np.random.default_rng([seed, number])
        kind = GGMLQuantizationType[name]
        block_len, block_bytes = GGML_QUANT_SIZES[kind]
        weights = None
        while weights is None or not np.isfinite(weights).all():
            # All bits random, but no NaN or infinity: those have many bit patterns, which no tool keeps.
            blocks = random.integers(0, 256, (BLOCKS, block_bytes), dtype=np.uint8)
            with np.errstate(all="ignore"):
                weights = dequantize(blocks.reshape(-1), kind).astype("<f4").reshape(BLOCKS, block_len)
        (folder / f"{name}.bin").write_bytes(blocks.tobytes() + weights.tobytes())


if __name__ == "__main__":
    main()
