"""Elements and the Q8_0 blocks that the `gguf` package packs them into: packed.json.

    pip install gguf numpy; python3 make_packed.py > packed.json
"""

import json

import numpy as np
from gguf import GGMLQuantizationType, quants

draw = np.random.default_rng(3)
blocks = draw.standard_normal((6, 32), dtype=np.float32) * np.float32([[1], [1e-4], [300], [1e-9], [0], [1]])
# Halves, which are rounded away from zero; the largest element makes the scale 1 / 127 · 127.
blocks[5] = np.arange(32) - 15.5
blocks[5, 0] = 127
packed = quants.quantize(blocks, GGMLQuantizationType.Q8_0)
print(json.dumps({"bytes": packed.tobytes().hex(), "values": [float(x) for x in blocks.ravel()]}))
