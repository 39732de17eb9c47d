"""The example that drives OpenAI-compatible servers, with llama.cpp's own as the servers.

`cargo xtask test` runs it: CREAM_SERVER_EXAMPLE is the example's program; see test_exports.py for the others.
"""

import json
import os
import subprocess

import pytest
from test_exports import PROMPTS, Subject, cream, llama_cpp

BETA = 0.1


def test_pairs_from_two_servers(tmp_path):
    config = dict(hidden_size=576, intermediate_size=1536, head_dim=64, num_attention_heads=9, num_key_value_heads=3,
                  num_hidden_layers=30)
    # In halves: over blocks llama.cpp rounds to eight bits, by more than a small adapter changes.
    folder, base = tmp_path / "folder", tmp_path / "base.gguf"
    cream("export", "--model", os.environ["CREAM_MODEL"], "--output", folder, "--dtype", "f16")
    cream("export", "--model", folder, "--output", base, "--format", "gguf", "--dtype", "f16")
    subject = Subject(tmp_path, folder, config, 0.01)
    lora = subject.export("--format", "gguf-lora")
    pairs, prompts = tmp_path / "pairs.jsonl", tmp_path / "two.jsonl"
    prompts.write_text("".join(line + "\n" for line in subject.prompts.read_text().splitlines()[:2]))
    with llama_cpp(base, lora) as current, llama_cpp(base) as initial:
        done = subprocess.run([os.environ["CREAM_SERVER_EXAMPLE"], current.address, initial.address, prompts, pairs],
                              capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    rows = [json.loads(line) for line in pairs.read_text().splitlines()]
    assert report["prompts"] == 2 and len(rows) == report["pairs"] > 0
    assert all(row["prompt"] in PROMPTS and row["chosen"] != row["rejected"] and 0 <= row["consistency"] <= 1 for row in rows)
    # The chosen completion is the better one by our own numbers, too, by about as much.
    given = tmp_path / "given.jsonl"
    given.write_text("".join(
        json.dumps({"id": row["id"], "prompt": row["prompt"], "completions": [row["chosen"], row["rejected"]],
                    "finish": ["length", "length"]}) + "\n" for row in rows))
    scores = []
    for adapter in ["--adapter", subject.adapter], []:
        out = tmp_path / f"scores-{len(adapter)}.jsonl"
        cream("score", "--model", subject.model, *adapter, "--input", given, "--output", out, "--raw")
        scores.append([json.loads(line)["logps"] for line in out.read_text().splitlines()])
    margins = [BETA * ((own[0] - base[0]) - (own[1] - base[1])) for own, base in zip(*scores, strict=True)]
    assert sum(margins) / len(margins) == pytest.approx(report["mean_reward_margin"], rel=0.1)
    print(margins, report["mean_reward_margin"])
