"""Blocks of every quantised type and their elements as the `gguf` package unpacks them: blocks.json.

    pip install gguf numpy; python3 make_blocks.py > blocks.json

The small types are quantised from normal numbers; of the K types, which gguf cannot make, all bytes but the scales are random.
"""
import json
import numpy as np
from gguf import GGMLQuantizationType as Type, GGML_QUANT_SIZES
from gguf.quants import dequantize, quantize

rng = np.random.default_rng(7)
out = {}
for name in ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"]:
    out[name] = quantize(rng.normal(0.1, 1, (4, 32)).astype(np.float32), Type[name]).reshape(-1)
for name, scales in [("Q4_K", [0, 2]), ("Q5_K", [0, 2]), ("Q6_K", [208])]:
    blocks = rng.integers(0, 256, (2, GGML_QUANT_SIZES[Type[name]][1]), dtype=np.uint8)
    for at in scales:
        blocks[:, at : at + 2] = rng.uniform(0.001, 0.1, (2, 1)).astype(np.float16).view(np.uint8)
    out[name] = blocks.reshape(-1)
entries = (
    json.dumps(name) + ": " + json.dumps(dict(bytes=bytes(block).hex(), values=[float(x) for x in dequantize(block, Type[name])]))
    for name, block in out.items()
)
print("{\n" + ",\n".join(entries) + "\n}")
