"""The loop from Python, on the tiny model of the golden files: `pytest crates/python/tests`."""

import json
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

import cream

GOLDEN = Path(__file__).parents[3] / "tests/golden"
SMALL = dict(completions=3, max_new_tokens=6, cut="keep", device="cpu", progress=False)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    for file in "tied/config.json", "tied/model.safetensors", "tiny/tokenizer.json", "tiny/tokenizer_config.json":
        shutil.copy(GOLDEN / file, folder)
    return folder


PROMPTS = ["Give me 2 things.", [{"role": "user", "content": "Hi"}], {"id": "named", "prompt": "Who?"}]


def test_sample_and_score(model):
    lines = []
    rows = cream.sample(model, PROMPTS, completions=2, max_new_tokens=4, device="cpu", progress=lines.append)
    assert [row["id"] for row in rows] == ["0", "1", "named"]
    assert rows[1]["messages"] == PROMPTS[1] and all(len(row["token_ids"]) == 2 for row in rows)
    assert any(line.startswith("sample ") for line in lines)
    scores = cream.score(model, rows, device="cpu", progress=False)
    logps = np.array([row["logps"] for row in scores])
    assert logps.shape == (3, 2) and np.all(logps < 0)
    assert json.dumps(scores)


def test_what_is_wrong_is_raised(model, tmp_path):
    with pytest.raises(ValueError, match="unexpected argument '--warmth'"):
        cream.sample(model, PROMPTS, warmth=3, progress=False)
    with pytest.raises(cream.Error, match="temperature is -1, expected 0"):
        cream.sample(model, PROMPTS, temperature=-1, progress=False)
    with pytest.raises(cream.Error, match="no such file"):
        cream.sample(tmp_path / "none", PROMPTS, progress=False)
    with pytest.raises(ValueError, match="prompt 1 is 5, expected a text"):
        cream.sample(model, ["x", 5], progress=False)
    with pytest.raises(ValueError, match="row 0 is 'x', expected a mapping"):
        cream.score(model, ["x"], progress=False)


def test_label(tmp_path):
    rows = [{"prompt": "x", "completions": ["a", "b", "c"], "rewards": np.array([1.0, 3, 2]), "previous_rewards": [1, 3, 2]},
            {"prompt": "y", "completions": ["a", "b", "c"], "rewards": [2, 1, 3], "previous_rewards": [3, 1, 2]}]
    pairs, report = cream.label(rows, level="per-prompt")
    assert [(pair["chosen"], pair["rejected"], pair["consistency"]) for pair in pairs] == [("b", "a", 1), ("c", "b", 2 / 3)]
    assert report["mean_consistency"] == pytest.approx(5 / 6)
    assert report["mean_consistency"] == pytest.approx(np.mean(cream.consistency([[1, 3, 2], [2, 1, 3]], [[1, 3, 2], [3, 1, 2]])))
    assert cream.label(GOLDEN / "rated.parquet").report["pairs"] == 2
    with pytest.raises(cream.Error, match='"rewards" has 1 elements'):
        cream.label([{"prompt": "x", "completions": ["a", "b"], "rewards": [1]}])


def test_run_with_a_reward_function(model, tmp_path):
    calls = []

    def by_length(prompts, completions, **more):
        calls.append((prompts, completions))
        return [None if "\n" in text else len(text) for text in map(said, completions)]

    def said(completion):
        return completion if isinstance(completion, str) else completion[0]["content"]

    run = cream.run(model, PROMPTS, tmp_path / "run", reward=by_length, iterations=2, **SMALL)
    assert len(run) == 2 and len(calls) == 2
    prompts, completions = calls[0]
    assert prompts[0] == PROMPTS[0] and prompts[3] == PROMPTS[1] and completions[3][0]["role"] == "assistant"
    rewards = {row["id"]: row["rewards"] for row in run.rows(1, "rankings")}
    assert [reward for of in rewards.values() for reward in of] == by_length(*calls[0])
    pairs = run.rows(1, "pairs")
    assert pairs and all(len(said(pair["chosen"])) > len(said(pair["rejected"])) for pair in pairs)
    assert np.isfinite(run.metrics(1)).all() and np.isnan(run.consistency).all()
    assert (run.adapter(2) / "adapter_config.json").exists() and (run.path / "report.html").exists()
    # It is finished, and nothing is asked again.
    again = cream.run(model, PROMPTS, tmp_path / "run", reward=by_length, iterations=2, **SMALL)
    assert again.summaries == run.summaries and len(calls) == 3


@pytest.mark.parametrize(
    ("wrong", "message"),
    [(lambda prompts, completions: [1.0], "gave 1 rewards, expected one for each of 9"),
     (lambda prompts, completions: ["high"] * 9, "could not convert"),
     (lambda prompts, completions: [float("nan")] * 9, "not JSON compliant")],
)
def test_a_reward_function_that_is_wrong(model, tmp_path, wrong, message):
    with pytest.raises(ValueError, match=message):
        cream.run(model, PROMPTS, tmp_path / "run", reward=wrong, iterations=1, **SMALL)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_an_interrupt_ends_it_and_the_same_call_resumes(model, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(f"""
        import cream, sys
        def progress(line):
            print(line, flush=True)
        try:
            run = cream.run({str(model)!r}, ["Give me %d things." % i for i in range(200)], {str(tmp_path / "run")!r},
                            iterations=2, completions=4, max_new_tokens=40, cut="keep", device="cpu", progress=progress)
            print("finished", len(run))
        except KeyboardInterrupt:
            print("interrupted")
    """))
    command = [sys.executable, "-I", str(script)]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    for line in first.stdout:
        if line.startswith("score"):
            break
    first.send_signal(signal.SIGINT)
    start = time.monotonic()
    rest = first.stdout.read()
    assert first.wait() == 0 and rest.splitlines()[-1] == "interrupted"
    assert time.monotonic() - start < 5
    completions = (tmp_path / "run/iteration-1/completions.jsonl").read_bytes()
    second = subprocess.run(command, capture_output=True, text=True, check=True)
    assert second.stdout.splitlines()[-1] == "finished 2"
    assert (tmp_path / "run/iteration-1/completions.jsonl").read_bytes() == completions


def test_progress_in_a_notebook(model, monkeypatch):
    """A notebook's output is replaced in its place."""
    shown = []

    class Place:
        def update(self, contents, raw):
            shown.append(contents["text/plain"])

    monkeypatch.setattr(cream.program, "_notebook", Place)
    cream.sample(model, PROMPTS, completions=1, max_new_tokens=2, device="cpu")
    assert any(line.startswith("sample ") for line in shown)
