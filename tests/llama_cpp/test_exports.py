"""What `cream export` writes for llama.cpp, run by llama.cpp (the wheel xllamacpp) beside the program.

`cargo xtask test` runs it: CREAM_PROGRAM is the program, CREAM_MODEL SmolLM2-135M-Instruct as GGUF.
"""

import json
import math
import os
import random
import shutil
import struct
import subprocess
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
import xllamacpp

GOLDEN = Path(__file__).parent.parent / "golden"
PROGRAM = os.environ["CREAM_PROGRAM"]
NEW_TOKENS = 12
PROMPTS = [
    "The capital of France is",
    "def fibonacci(n):\n    ",
    "Once upon a time, in 1984, there were 3 bears who",
    "Œuvre naïve — «ça va?» 你好",
    "  Water boils at 100 degrees",
]
# Most that a log-prob of one token may differ by, and by how much a token may be less probable than the best one to be drawn
# in its place: llama.cpp multiplies activations that it rounds to eight bits wherever weights are in blocks, and in half
# precision wherever they are.
TOLERANCES = {"f32": 1e-3, "f16": 5e-3, "bf16": 1e-2, "q8_0": 0.05, "blocks": 0.1}


def cream(*args):
    done = subprocess.run([PROGRAM, *map(str, args), "--quiet", "--device", "cpu"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def safetensors(tensors):
    """Bytes of a file of these tensors, lists of f32 with their shapes by name."""
    header, data = {}, b""
    for name, (shape, values) in tensors.items():
        values = struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    header = json.dumps(header).encode()
    return struct.pack("<Q", len(header)) + header + data


def adapter(folder, config, size):
    """A PEFT folder with a random adapter over q, k, o and down: all that is interleaved, and some that is not."""
    folder.mkdir()
    draw, rank = random.Random(7), 4
    width, inner, head = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    queries, keys = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    shapes = {"self_attn.q_proj": (queries, width), "self_attn.k_proj": (keys, width),
              "self_attn.o_proj": (width, queries), "mlp.down_proj": (width, inner)}
    tensors = {}
    for layer in range(config["num_hidden_layers"]):
        for module, (rows, cols) in shapes.items():
            for letter, shape in ("A", (rank, cols)), ("B", (rows, rank)):
                scale = 1 / math.sqrt(cols) if letter == "A" else size
                values = [scale * draw.gauss(0, 1) for _ in range(shape[0] * shape[1])]
                tensors[f"base_model.model.model.layers.{layer}.{module}.lora_{letter}.weight"] = (shape, values)
    (folder / "adapter_model.safetensors").write_bytes(safetensors(tensors))
    settings = {"peft_type": "LORA", "r": rank, "lora_alpha": 6, "target_modules": [m.split(".")[1] for m in shapes]}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder


class Subject:
    """A model, an adapter over it, and what the two say to the prompts."""

    def __init__(self, folder, model, config, size):
        self.model, self.folder, self.config = model, folder, config
        self.adapter = adapter(folder / "adapter", config, size)
        rows = [{"id": str(i), "prompt": prompt} for i, prompt in enumerate(PROMPTS)]
        self.prompts = folder / "prompts.jsonl"
        self.prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
        greedy = folder / "greedy.jsonl"
        cream("sample", "--model", model, "--adapter", self.adapter, "--prompts", self.prompts, "--output", greedy, "-n", 1,
              "--temperature", 0, "--max-new-tokens", NEW_TOKENS, "--raw")
        self.own = self.score([json.loads(line) for line in greedy.read_text().splitlines()])

    def score(self, rows):
        """Completions with their log-probs under the model and the adapter, before they were exported."""
        drawn, scored = self.folder / "drawn.jsonl", self.folder / "scored.jsonl"
        drawn.write_text("".join(json.dumps(row) + "\n" for row in rows))
        cream("score", "--model", self.model, "--adapter", self.adapter, "--input", drawn, "--output", scored, "--raw")
        rows = [json.loads(line) for line in scored.read_text().splitlines()]
        scored.unlink()
        return rows

    def export(self, *args):
        out = self.folder / ("-".join(map(str, args)).replace("--", "") + ".gguf")
        if not out.exists():
            cream("export", "--model", self.model, "--adapter", self.adapter, "--output", out, *args)
        return out


@pytest.fixture(scope="module", params=["untied", "smollm2"])
def subject(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "smollm2":
        config = dict(hidden_size=576, intermediate_size=1536, head_dim=64, num_attention_heads=9,
                      num_key_value_heads=3, num_hidden_layers=30)
        return Subject(folder, os.environ["CREAM_MODEL"], config, 0.02)
    model = folder / "model"
    model.mkdir()
    for file in "untied/config.json", "untied/model.safetensors", "tiny/tokenizer.json", "tiny/tokenizer_config.json":
        shutil.copy(GOLDEN / file, model)
    return Subject(folder, model, json.loads((model / "config.json").read_text()), 0.3)


@contextmanager
def llama_cpp(model, lora=None):
    """llama.cpp's server of a model; yields a function that posts to it, with its address."""
    params = xllamacpp.CommonParams()
    params.model.path, params.n_ctx, params.n_parallel, params.warmup = str(model), 256, 1, False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 2
    if lora:
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(lora), 1.0)]
    server = xllamacpp.Server(params)

    def post(path, body):
        request = urllib.request.Request(server.listening_address + path, json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)

    post.address = server.listening_address
    yield post
    del server


def assert_same(subject, post, tolerance):
    """llama.cpp draws the tokens that the model and its adapter draw, and thinks them as probable."""
    for own in subject.own:
        answer = post("/completion", {"prompt": own["prompt"], "n_predict": NEW_TOKENS, "temperature": 0, "n_probs": 1,
                                      "return_tokens": True, "cache_prompt": False})
        [ours], theirs = own["token_ids"], answer["tokens"]
        if theirs == ours:
            drawn = answer.get("completion_probabilities", [])
            # It tells nothing of tokens that end within a character.
            if len(drawn) == len(ours):
                assert sum(entry["logprob"] for entry in drawn) == pytest.approx(own["logps"][0], abs=tolerance * len(ours))
            continue
        # A tie within rounding: from there on the texts differ.
        first = next(i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b)
        both = [tokens[: first + 1] for tokens in (ours, theirs)]
        said = [post("/detokenize", {"tokens": tokens})["content"].rstrip("\N{REPLACEMENT CHARACTER}") for tokens in both]
        row = {"id": "tie", "prompt": own["prompt"], "completions": said, "token_ids": both, "finish": ["length"] * 2}
        [scored] = subject.score([row])
        assert scored["logps"][0] == pytest.approx(scored["logps"][1], abs=2 * tolerance), (own, theirs)


@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16", "q8_0"])
def test_merged(subject, dtype):
    file = subject.export("--format", "gguf", "--dtype", dtype)
    tolerance = TOLERANCES["blocks" if subject.config["hidden_size"] == 576 else dtype]
    with llama_cpp(file) as post:
        assert_same(subject, post, tolerance)


def test_lora_over_the_untouched_base(subject):
    base = subject.model
    if Path(base).is_dir():
        base = subject.folder / "base.gguf"
        cream("export", "--model", subject.model, "--output", base, "--format", "gguf", "--dtype", "f32")
    lora = subject.export("--format", "gguf-lora")
    with llama_cpp(base, lora) as post:
        assert_same(subject, post, TOLERANCES["blocks"])
