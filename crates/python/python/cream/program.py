"""The program ``cream`` from Python: the verbs that need a model, run as processes of their own.

A process ends at once when it is interrupted, and takes nothing of the interpreter with it; what it had done is on disk.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Union

Path_ = Union[str, "os.PathLike[str]"]
Row = Mapping[str, Any]
Progress = Union[bool, Callable[[str], object]]


class Error(RuntimeError):
    """What the program said in one line when it failed."""


def program() -> str:
    """The path of the program that this package brought, else of one on the PATH."""
    name = "cream.exe" if os.name == "nt" else "cream"
    user = sysconfig.get_preferred_scheme("user")
    for folder in sysconfig.get_path("scripts"), sysconfig.get_path("scripts", scheme=user):
        found = Path(folder) / name
        if found.is_file():
            return str(found)
    found_on_path = shutil.which("cream")
    if found_on_path is None:
        raise FileNotFoundError("no program cream: install the wheel of cream-rl, or put the program on the PATH")
    return found_on_path


def flags(settings: Mapping[str, Any]) -> list[str]:
    """Settings as the program's flags: ``learning_rate=1e-5`` is ``--learning-rate 1e-05``; None and False are none."""
    words: list[str] = []
    for name, value in settings.items():
        if value is None or value is False:
            continue
        words.append("--" + name.replace("_", "-"))
        if value is True:
            continue
        if isinstance(value, (list, tuple)):
            value = ",".join(str(element) for element in value)
        words.append(str(value))
    return words


def call(
    verb: str,
    settings: Mapping[str, Any],
    progress: Progress,
    meanwhile: Callable[[], object] = lambda: None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Runs a verb to its end, and returns what it wrote on standard output.

    ``meanwhile`` is called a few times a second, in this thread. Whatever is raised here ends the program at once.
    """
    command = [program(), verb, *flags(settings)]
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
        errors="replace", start_new_session=os.name != "nt", env={**os.environ, **(environment or {})},
    )
    assert child.stdout is not None and child.stderr is not None
    shown = _shown(progress)
    said, written = _Reader(child.stderr), _Reader(child.stdout)
    try:
        code = None
        while code is None:
            try:
                code = child.wait(timeout=0.1)
            except subprocess.TimeoutExpired:
                meanwhile()
            for line in said.new():
                shown(line)
        for line in said.rest():
            shown(line)
        written.rest()
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
    if code != 0:
        lines = [line for line in said.lines if line.startswith("error: ")]
        problem = lines[-1].removeprefix("error: ") if lines else f"it ended with {code}: {' '.join(said.lines[-3:])}"
        raise ValueError(problem) if code == 2 else Error(problem)
    return "".join(f"{line}\n" for line in written.lines)


class _Reader:
    """Reads a pipe to its end, in a thread: a full pipe would hold the program up."""

    def __init__(self, pipe: IO[str]) -> None:
        self.lines: list[str] = []
        self._told = 0
        self._thread = threading.Thread(target=self._read, args=(pipe,), daemon=True)
        self._thread.start()

    def _read(self, pipe: IO[str]) -> None:
        for line in pipe:
            self.lines.append(line.rstrip("\n"))

    def new(self) -> list[str]:
        """The lines since the last call; an error is told by whoever raises it."""
        lines = self.lines[self._told :]
        self._told += len(lines)
        return [line for line in lines if not line.startswith("error: ")]

    def rest(self) -> list[str]:
        """The same when the pipe has come to its end."""
        self._thread.join()
        return self.new()


def _shown(progress: Progress) -> Callable[[str], object]:
    """What shows a line of progress: a function of the caller's, one place of a notebook, or standard error; or nothing."""
    if callable(progress):
        return progress
    if not progress:
        return lambda line: None
    place = _notebook()
    if place:
        return lambda line: place.update({"text/plain": line}, raw=True)
    return lambda line: print(line, file=sys.stderr, flush=True)


def _notebook() -> Any:
    """A place of a notebook's output whose contents can be replaced, or None outside of notebooks."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if type(shell).__name__ != "ZMQInteractiveShell":
        return None
    from IPython.display import display  # type: ignore[import-not-found, unused-ignore]

    return display({"text/plain": ""}, raw=True, display_id=True)


def read_rows(path: Path_) -> list[dict[str, Any]]:
    """The rows of a JSONL file."""
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def write_rows(path: Path_, rows: Iterable[Row]) -> None:
    """Rows as a JSONL file."""
    with open(path, "w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=False, default=_plain) + "\n")


def _plain(value: Any) -> Any:
    """Arrays and numbers of numpy as JSON has them."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no JSON")


def as_file(rows: Path_ | Iterable[Any], folder: Path, name: str, row: Callable[[int, Any], Row]) -> Path_:
    """A path as it is; rows as a file of that name in the folder, each made by ``row`` of its number and what is given."""
    if isinstance(rows, (str, os.PathLike)):
        return rows
    path = folder / name
    write_rows(path, (row(number, given) for number, given in enumerate(rows)))
    return path


def prompt_row(number: int, prompt: Any) -> Row:
    """A prompt given as a text, as messages, or as a row."""
    if isinstance(prompt, Mapping):
        return prompt if "id" in prompt else {"id": str(number), **prompt}
    if isinstance(prompt, str):
        return {"id": str(number), "prompt": prompt}
    if isinstance(prompt, Sequence):
        return {"id": str(number), "messages": prompt}
    raise ValueError(f"prompt {number} is {prompt!r}, expected a text, a list of messages or a row")


def same_row(number: int, row: Any) -> Row:
    """A row as it is given."""
    if not isinstance(row, Mapping):
        raise ValueError(f"row {number} is {row!r}, expected a mapping")
    return row
