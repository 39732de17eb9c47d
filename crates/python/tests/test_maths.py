"""The maths through Python: the golden cases of every door, batches, misuse. `pytest crates/python/tests`."""

import math
import threading
from pathlib import Path

import numpy as np
import pytest

import cream

CASES = (Path(__file__).parents[3] / "tests/golden/doors.txt").read_text().splitlines()
# Both sides compute in float64; relative above 1.
TOLERANCE = 1e-12


def call(name, words):
    """What a case gives, as a list of numbers; NaN or no pair is "undefined"."""
    word, number = (lambda: words.pop(0)), (lambda: float(words.pop(0)))
    numbers = lambda: [number() for _ in range(int(number()))]
    if name == "agreement":
        measure = word()
        return [cream.agreement(numbers(), numbers(), measure)]
    if name == "ranks":
        ties = word()
        return list(cream.ranks(numbers(), ties))
    if name == "consistency":
        kind, threshold, tau = word(), number(), number()
        current, previous = of_agreement(tau)
        return [cream.consistency(current, previous, map=f"threshold:{threshold}" if kind == "threshold" else kind)]
    if name == "mean-consistency":
        return [cream.mean_consistency(numbers())]
    if name == "implicit-reward":
        return [cream.implicit_reward(number(), number(), number())]
    if name == "choose-pair":
        minimum = number()
        return list(cream.choose_pair(numbers(), minimum))
    if name == "pair-loss":
        loss, beta, consistency = word(), number(), number()
        logps, weight = [number() for _ in range(4)], number()
        return list(cream.pair_loss(*logps, beta=beta, consistency=consistency, loss=loss, sft_weight=weight, tokens=int(number())))
    return None


def of_agreement(tau):
    """Two rankings of five with this tau, a multiple of 1/5."""
    if not abs(tau) <= 1:
        raise ValueError("no ranking has it")
    left, discordant, other = list(range(5)), round(5 * (1 - tau)), []
    while left:
        at = min(discordant, len(left) - 1)
        discordant -= at
        other.append(left.pop(at))
    return list(range(5)), other


def test_every_case_of_the_doors():
    assert len(CASES) == 353
    checked = 0
    for at, line in enumerate(CASES):
        name, *words = line.split()
        equals = words.index("=")
        arguments, expected = words[:equals], words[equals + 1 :]
        what = f"line {at + 1}, {name}"
        if expected == ["error"]:
            with pytest.raises(ValueError):
                if call(name, arguments) is None:
                    raise ValueError
            continue
        got = call(name, arguments)
        if got is None:
            continue
        checked += 1
        if expected == ["undefined"]:
            assert math.isnan(got[-1]), what
            continue
        assert len(got) == len(expected), what
        for value, wanted in zip(got, map(float, expected)):
            assert abs(value - wanted) <= TOLERANCE * max(1.0, abs(wanted)), what
    assert checked > 300


def test_a_batch_is_its_rows():
    random = np.random.default_rng(0)
    current, previous = random.normal(size=(2, 3, 7, 5))
    tau = cream.kendall(current, previous)
    assert tau.shape == (3, 7)
    assert tau[1, 2] == cream.kendall(current[1, 2], previous[1, 2])
    assert np.array_equal(cream.consistency(current, previous), (tau + 1) / 2)
    assert cream.ranks(current).shape == (3, 7, 5)
    pairs = cream.choose_pair(current)
    assert np.array_equal(pairs.chosen, current.argmax(-1)) and np.array_equal(pairs.rejected, current.argmin(-1))
    anchored = cream.choose_anchored_pair(current, previous)
    assert np.array_equal(anchored.rejected[anchored.rejected >= 0], previous.argmin(-1)[anchored.rejected >= 0])
    logps = random.normal(-20, 5, size=(4, 3, 7))
    losses = cream.pair_loss(*logps, beta=0.1, consistency=(tau + 1) / 2)
    one = cream.pair_loss(*logps[:, 2, 3], beta=0.1, consistency=(tau[2, 3] + 1) / 2)
    assert losses.d_chosen.shape == (3, 7) and losses.loss[2, 3] == one.loss


def test_arrays_of_any_layout_and_kind():
    values = np.arange(24.0).reshape(4, 6)
    assert np.array_equal(cream.ranks(values.T), cream.ranks(np.ascontiguousarray(values.T)))
    assert np.array_equal(cream.ranks(values[::-1, ::2]), cream.ranks(values[::-1, ::2].copy()))
    assert np.array_equal(cream.ranks(values.astype(np.float32)), cream.ranks(values))
    assert np.array_equal(cream.ranks(values.astype(np.int16)), cream.ranks(values))
    assert np.array_equal(cream.ranks(values.astype(">f8")), cream.ranks(values))

    class Tensor:
        def __array__(self, dtype=None, copy=None):
            return values if dtype is None else values.astype(dtype)

    assert np.array_equal(cream.ranks(Tensor()), cream.ranks(values))
    assert np.array_equal(cream.ranks(memoryview(values)), cream.ranks(values))
    readonly = values.copy()
    readonly.flags.writeable = False
    assert np.array_equal(cream.ranks(readonly), cream.ranks(values))


@pytest.mark.parametrize(
    "wrong, sentence",
    [
        (lambda: cream.ranks([[1, 2], [3]]), "values: "),
        (lambda: cream.ranks(["a"]), "values: numbers of type <U1, expected real numbers"),
        (lambda: cream.ranks([1j]), "values: numbers of type complex128, expected real numbers"),
        (lambda: cream.ranks([None]), "values: numbers of type object, expected real numbers"),
        (lambda: cream.ranks(3.0), "values is one number, expected an axis of completions"),
        (lambda: cream.ranks([1, math.nan]), "value 1 is NaN, not a finite number"),
        (lambda: cream.ranks([[1, 2], [1, math.nan]]), "row 1: value 1 is NaN, not a finite number"),
        (lambda: cream.ranks([1], "last"), 'ties is "last", expected average or ordinal'),
        (lambda: cream.kendall([1], [1]), "1 completions, at least 2 needed"),
        (lambda: cream.kendall([], []), "0 completions, at least 2 needed"),
        (lambda: cream.kendall([1, 2], [1, 2, 3]), r"shapes differ: \(2,\) and \(3,\)"),
        (lambda: cream.kendall([1, 2], [1, 2], "c"), "kind is 'c', expected a, b or ordinal"),
        (lambda: cream.agreement([1, 2], [1, 2], "rho"), 'measure is "rho", expected kendall'),
        (lambda: cream.consistency([1, 2], [1, 2], map="half"), 'map is "half", expected linear, clamped or threshold:C'),
        (lambda: cream.consistency([1, 1], [1, 2], "kendall-b", "threshold:2"), "consistency is 2, expected 0 to 1"),
        (lambda: cream.mean_consistency([]), "0 consistencies, at least 1 needed"),
        (lambda: cream.choose_pair([1]), "1 completions, at least 2 needed"),
        (lambda: cream.choose_anchored_pair([[1, 2]], [[1], [2]]), "lengths differ: 1 and 2"),
        (lambda: cream.pair_loss(1, 2, 3, 4, beta=0), "beta is 0, expected a positive finite number"),
        (lambda: cream.pair_loss(1, 2, 3, 4, beta=1, loss="kto"), 'loss is "kto", expected cream, dpo or ipo'),
        (lambda: cream.pair_loss([1, 2], [1, 2, 3], 3, 4, beta=1), "shapes differ: chosen"),
        (lambda: cream.pair_loss([1, 2], 2, 3, 4, beta=1, tokens=[1, 2, 3]), "shapes differ: "),
        (lambda: cream.pair_loss([1, 2], 2, 3, 4, beta=1, tokens=1.5), "tokens: numbers of type float64, expected whole"),
        (lambda: cream.pair_loss([1, 2], 2, 3, 4, beta=1, tokens=-1), "tokens: -1, expected at least 1"),
        (lambda: cream.pair_loss([1, 2], 2, 3, [4, math.inf], beta=1), "pair 1: reference rejected log-prob is inf, not a"),
    ],
)
def test_mistakes_are_told(wrong, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        wrong()


def test_nothing_of_nothing():
    assert cream.choose_pair(np.empty((0, 5))).chosen.shape == (0,)
    assert cream.pair_loss([], [], [], [], beta=0.1).loss.shape == (0,)


def test_other_threads_run_meanwhile():
    """The GIL is released: a thread counts while a long call runs."""
    rewards = np.random.default_rng(0).normal(size=(400_000, 8))
    counted, done = [0], threading.Event()

    def count():
        while not done.is_set():
            counted[0] += 1

    thread = threading.Thread(target=count)
    thread.start()
    before = counted[0]
    cream.kendall(rewards, -rewards)
    during = counted[0] - before
    done.set()
    thread.join()
    assert during > 1000
