#!/usr/bin/env python3
"""What the `gguf` package reads in a file, as JSON: the type, the shape and the sum of the weights of each tensor."""

import json
import sys

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize

reader = GGUFReader(sys.argv[1])
tensors = {
    t.name: {
        "type": t.tensor_type.name,
        "shape": t.shape.tolist(),
        "sum": float(np.sum(dequantize(t.data, t.tensor_type), dtype=np.float64)),
    }
    for t in reader.tensors
}
json.dump({"file_type": reader.fields["general.file_type"].contents(), "tensors": tensors}, sys.stdout)
