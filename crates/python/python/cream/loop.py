"""The method on real models: sample, score, label, and the whole loop, by the program that the package brings.

Prompts and rows are given as Python objects or as the path of a file. Settings are the program's flags by their names, with
``_`` for ``-``: ``cream.run(..., learning_rate=1e-5, device="gpu")``; ``cream run --help`` explains them.
"""

from __future__ import annotations

import json
import secrets
import shlex
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, Optional

import numpy as np
from numpy.typing import NDArray

from .program import Path_, Progress, Row, as_file, call, prompt_row, read_rows, same_row

RewardFunction = Callable[..., Iterable[Optional[float]]]


def sample(
    model: Path_, prompts: Path_ | Iterable[Any], *, adapter: Path_ | None = None, progress: Progress = True, **settings: Any
) -> list[dict[str, Any]]:
    """Completions of each prompt, as rows ``{"id", "prompt" or "messages", "completions", "token_ids", "finish"}``.

    A prompt is a text, a list of messages, or a row with one of the two. ``progress`` is True, False, or a function that is
    given lines. Raises ValueError for settings that do not exist and :class:`cream.Error` for whatever else is wrong.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "completions.jsonl"
        given = as_file(prompts, Path(folder), "prompts.jsonl", prompt_row)
        call("sample", dict(model=model, adapter=adapter, prompts=given, output=output, **settings), progress)
        return read_rows(output)


def score(
    model: Path_, completions: Path_ | Iterable[Row], *, adapter: Path_ | None = None, progress: Progress = True, **settings: Any
) -> list[dict[str, Any]]:
    """The same rows with ``"logps"``, the log-prob of each completion in nats, and ``"tokens"``, how many they are of."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "scores.jsonl"
        given = as_file(completions, Path(folder), "completions.jsonl", same_row)
        call("score", dict(model=model, adapter=adapter, input=given, output=output, **settings), progress)
        return read_rows(output)


class Labels(NamedTuple):
    """Preference pairs, and what was found on the way."""

    pairs: list[dict[str, Any]]
    """``{"id", "prompt", "chosen", "rejected", "consistency"}``, as TRL's DPOTrainer and ``cream train`` take them."""
    report: dict[str, Any]
    """``"pairs"``, ``"mean_consistency"``, ``"mean_reward_margin"``, ``"skipped"`` (prompts without a pair, and why), …"""


def label(rated: Path_ | Iterable[Row], **settings: Any) -> Labels:
    """Pairs of rewards from anywhere, without any model.

    Rows, or the path of a CSV, JSONL or parquet file, have ``"prompt"`` (or ``"messages"``), ``"completion"``, ``"reward"``
    and, where there is a second opinion with which the consistency is measured, ``"previous_reward"``; or ``"completions"``,
    ``"rewards"`` and ``"previous_rewards"``, lists of equal length. Settings: ``consistency``, ``level``, ``map``,
    ``min_margin``, ``cut``.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "pairs.jsonl"
        given = as_file(rated, Path(folder), "rated.jsonl", same_row)
        told = call("pair", dict(input=given, output=output, json=True, **settings), False)
        return Labels(read_rows(output), json.loads(told))


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, and what is in it."""

    path: Path
    """The run's folder, with report.html."""
    summaries: list[dict[str, Any]]
    """Of each iteration: its pairs, consistency, losses."""

    def __len__(self) -> int:
        return len(self.summaries)

    def adapter(self, iteration: int) -> Path:
        """The folder of an iteration, counted from 1, which is a PEFT folder (or a model, of a run with ``full=True``)."""
        return self.path / f"iteration-{iteration}"

    def rows(self, iteration: int, name: str) -> list[dict[str, Any]]:
        """What a file of an iteration holds: ``"completions"``, ``"pairs"``, ``"metrics"``, ``"rankings"``, …"""
        return read_rows(self.adapter(iteration) / f"{name}.jsonl")

    def metrics(self, iteration: int, key: str = "loss") -> NDArray[np.float64]:
        """One number of each training step, under TRL's keys; NaN where a step has none."""
        return np.array([row.get(key, np.nan) for row in self.rows(iteration, "metrics")], dtype=np.float64)

    @property
    def consistency(self) -> NDArray[np.float64]:
        """The mean consistency of each iteration; NaN where none was measured."""
        found = [(summary.get("pairs") or {}).get("mean_consistency") for summary in self.summaries]
        return np.array([np.nan if mean is None else mean for mean in found], dtype=np.float64)


def run(
    model: Path_, prompts: Path_ | Iterable[Any], output: Path_, *, sft: Path_ | Iterable[Row] | None = None,
    reward: RewardFunction | str | None = None, progress: Progress = True, **settings: Any,
) -> Run:
    """The whole loop: sample, score, rank, pair, train, and again, into the folder ``output``.

    A run that was interrupted (KeyboardInterrupt, a kill, a power cut) is taken up by the same call. ``reward`` is the name of
    one of the program's rewards, or a function as TRL has them: called with ``prompts`` and ``completions``, lists of equal
    length, it returns a number for each, or None for a completion that is not to be ranked.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        flags: dict[str, Any] = dict(model=model, prompts=as_file(prompts, folder, "prompts.jsonl", prompt_row), output=output)
        flags.update(sft=None if sft is None else as_file(sft, folder, "sft.jsonl", same_row), json=True, **settings)
        if not callable(reward):
            told = call("run", dict(flags, reward=reward), progress)
        else:
            if not any(name in settings for name in ("method", "level", "config")):
                flags["method"] = "oracle"
            elif "method" not in settings:
                flags["reward"] = "external"
            with _rewarding(reward) as (command, environment, meanwhile):
                told = call("run", dict(flags, reward_command=command), progress, meanwhile, environment)
    return Run(Path(output), [json.loads(line) for line in told.splitlines()])


@contextmanager
def _rewarding(reward: RewardFunction) -> Iterator[tuple[str, dict[str, str], Callable[[], None]]]:
    """A command that asks the function, its environment, and what answers it when it is called, in the caller's thread."""
    key = secrets.token_bytes(32)
    waiting: SimpleQueue[Connection] = SimpleQueue()
    script = [sys.executable, str(Path(__file__).with_name("_reward.py"))]
    command = subprocess.list2cmdline(script) if sys.platform == "win32" else shlex.join(script)
    with Listener(None, authkey=key) as listener:
        ended = threading.Event()

        def accept() -> None:
            while not ended.is_set():
                try:
                    waiting.put(listener.accept())
                except (AuthenticationError, EOFError, OSError):
                    # Somebody else, or the call that ends this.
                    continue

        def answer() -> None:
            try:
                connection = waiting.get_nowait()
            except Empty:
                return
            with connection:
                rows = [json.loads(line) for line in connection.recv_bytes().splitlines()]
                lines = [json.dumps(rewards, allow_nan=False) for rewards in _rewards(reward, rows)]
                connection.send_bytes("\n".join(lines).encode())

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield command, {"CREAM_REWARD_ADDRESS": str(listener.address), "CREAM_REWARD_KEY": key.hex()}, answer
        finally:
            ended.set()
            Client(listener.address).close()
            accepting.join()


def _rewards(reward: RewardFunction, rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rewards of each row, from one call of the function for all."""
    prompts, completions = [], []
    for row in rows:
        for text in row["completions"]:
            prompts.append(row["messages"] if "messages" in row else row["prompt"])
            completions.append([{"role": "assistant", "content": text}] if "messages" in row else text)
    rewards = [None if given is None else float(given) for given in reward(prompts=prompts, completions=completions)]
    if len(rewards) != len(completions):
        raise ValueError(f"the reward function gave {len(rewards)} rewards, expected one for each of {len(completions)} completions")
    start = 0
    for row in rows:
        end = start + len(row["completions"])
        yield {"id": row["id"], "rewards": rewards[start:end]}
        start = end
