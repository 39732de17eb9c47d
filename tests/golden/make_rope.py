"""Rotary frequencies as transformers computes them, config by config: rope.json.

    pip install torch transformers; python3 make_rope.py > rope.json
"""
import json
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

LLAMA3 = dict(rope_type="llama3", low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=8192)
CASES = [
    (16, 10000.0, None),
    (64, 100000.0, None),
    (32, 10000.0, dict(rope_type="linear", factor=4.0)),
    (128, 500000.0, LLAMA3 | dict(factor=8.0)),
    (64, 500000.0, LLAMA3 | dict(factor=32.0)),
]
rows = []
for head_dim, theta, scaling in CASES:
    parameters = dict(rope_theta=theta) | (scaling or dict(rope_type="default"))
    config = LlamaConfig(hidden_size=2 * head_dim, num_attention_heads=2, head_dim=head_dim, max_position_embeddings=131072, rope_parameters=parameters)
    frequencies = LlamaRotaryEmbedding(config).inv_freq.tolist()
    rows.append(json.dumps(dict(head_dim=head_dim, rope_theta=theta, rope_scaling=scaling, frequencies=frequencies)))
print("[\n" + ",\n".join(rows) + "\n]")
