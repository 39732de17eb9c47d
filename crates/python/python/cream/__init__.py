"""Language models that improve by judging themselves (CREAM, arXiv 2410.12735): the maths on numpy arrays, and the loop.

The maths: rewards, rankings, consistency, pairs, the loss with its gradient. Arguments are anything that ``numpy.asarray``
takes. The last axis of rewards is that of the N completions of a prompt; axes before it are a batch. What the maths refuses is
a ValueError in one sentence; a quantity that is not defined for good input, such as tau-b of a constant ranking, is NaN.
Log-probs, rewards and losses are float64.

The loop: :func:`run`, :func:`sample`, :func:`score` and :func:`label` call the program that comes with this package.
:mod:`cream.trl` trains with TRL.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _cream
from .loop import Labels, Run, label, run, sample, score
from .program import Error

__all__ = [
    "Error", "Labels", "PairLoss", "Pairs", "Run", "agreement", "choose_anchored_pair", "choose_pair", "consistency",
    "implicit_reward", "kendall", "label", "length_normalised_reward", "length_penalised_reward", "mean_consistency",
    "pair_loss", "ranks", "run", "sample", "score", "spearman", "top_order",
]

Ties = Literal["average", "ordinal"]
Measure = Literal["kendall", "kendall-b", "kendall-ordinal", "spearman", "spearman-ordinal", "top-order", "top-order-ordinal"]
Loss = Literal["cream", "dpo", "ipo"]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_T = TypeVar("_T", bound=np.generic)


class Pairs(NamedTuple):
    """A preference pair of each prompt, as indices into its completions; -1, -1 and NaN where there is none."""

    chosen: Ints
    """The completion with the highest reward."""
    rejected: Ints
    """The completion with the lowest reward."""
    margin: Floats
    """Reward of the chosen less reward of the rejected; positive."""


class PairLoss(NamedTuple):
    """Losses of pairs, what training logs of them, and their gradients: of each pair's own loss, not of the mean."""

    loss: Floats
    """In nats; of IPO in squared nats."""
    margin: Floats
    """Reward of the chosen less reward of the rejected."""
    reward_chosen: Floats
    """beta * (chosen - reference_chosen)."""
    reward_rejected: Floats
    """beta * (rejected - reference_rejected)."""
    d_chosen: Floats
    """dL / d chosen."""
    d_rejected: Floats
    """dL / d rejected."""
    d_reference_chosen: Floats
    """dL / d reference_chosen."""
    d_reference_rejected: Floats
    """dL / d reference_rejected."""


def ranks(values: ArrayLike, ties: Ties = "average") -> Floats:
    """Ranks from 1 along the last axis, the smallest value first.

    Equal values share the mean of the ranks that they span, or with ``"ordinal"`` are told apart by position, the earlier
    ranking lower.
    """
    array = _floats("values", values)
    return _cream.ranks(_rows("values", array), ties).reshape(array.shape)


def agreement(current: ArrayLike, previous: ArrayLike, measure: Measure = "kendall") -> Floats:
    """How far two rewardings ``[..., N]`` of the same N >= 2 completions agree, ``[...]``, from -1 to 1.

    1 for the same ranking without ties, -1 for its reverse, NaN where the measure is undefined. Measures whose name ends in
    ``ordinal`` break ties by position first, as the authors' code does.
    """
    current, previous = _floats("current", current), _floats("previous", previous)
    if current.shape != previous.shape:
        raise ValueError(f"shapes differ: {current.shape} and {previous.shape}")
    found = _cream.agreement(_rows("current", current), _rows("previous", previous), measure)
    return found.reshape(current.shape[:-1])[()]


def kendall(current: ArrayLike, previous: ArrayLike, kind: Literal["a", "b", "ordinal"] = "a") -> Floats:
    """Kendall's tau: ``"a"``, the paper's, in which a tied pair counts 0; ``"b"``, corrected for ties; of ordinal ranks."""
    names: dict[str, Measure] = {"a": "kendall", "b": "kendall-b", "ordinal": "kendall-ordinal"}
    if kind not in names:
        raise ValueError(f"kind is {kind!r}, expected a, b or ordinal")
    return agreement(current, previous, names[kind])


def spearman(current: ArrayLike, previous: ArrayLike, ties: Ties = "average") -> Floats:
    """Spearman's rho."""
    return agreement(current, previous, _by_ties("spearman", ties))


def top_order(current: ArrayLike, previous: ArrayLike, ties: Ties = "average") -> Floats:
    """1 where the best and the worst completion are the same, else -1."""
    return agreement(current, previous, _by_ties("top-order", ties))


def consistency(current: ArrayLike, previous: ArrayLike, measure: Measure = "kendall", map: str = "linear") -> Floats:
    """The consistency C of each prompt, the weight of its pair in the loss, from 0 to 1.

    ``map`` goes from the agreement tau to C: ``"linear"`` is (tau + 1) / 2, the paper's; ``"clamped"`` the same, at least
    1/2; ``"threshold:C"`` drops a pair below C. NaN where the measure is undefined or the pair is to be dropped.
    """
    found = np.asarray(agreement(current, previous, measure))
    return _cream.consistency(found.reshape(-1), map).reshape(found.shape)[()]


def mean_consistency(consistencies: ArrayLike) -> float:
    """The mean over prompts: one C for the whole set, the paper's main setting."""
    return _cream.mean_consistency(_flat(_floats("consistencies", consistencies)))


def implicit_reward(beta: float, policy_logps: ArrayLike, reference_logps: ArrayLike) -> Floats:
    """beta * (log p_policy(y|x) - log p_reference(y|x)), the implicit reward of DPO."""
    policy, reference = _together(policy_logps=policy_logps, reference_logps=reference_logps)
    return _cream.implicit_reward(float(beta), _flat(policy), _flat(reference)).reshape(policy.shape)[()]


def length_normalised_reward(rewards: ArrayLike, tokens: ArrayLike) -> Floats:
    """Rewards per token, so that a completion gains nothing by its length alone."""
    rewards, tokens = _with_tokens(_floats("rewards", rewards), tokens)
    return _cream.length_normalised_reward(_flat(rewards), _flat(tokens)).reshape(rewards.shape)[()]


def length_penalised_reward(rewards: ArrayLike, alpha: float, tokens: ArrayLike) -> Floats:
    """Rewards less ``alpha`` for each token."""
    rewards, tokens = _with_tokens(_floats("rewards", rewards), tokens)
    return _cream.length_penalised_reward(_flat(rewards), float(alpha), _flat(tokens)).reshape(rewards.shape)[()]


def choose_pair(rewards: ArrayLike, minimum_margin: float = 0.0) -> Pairs:
    """Best and worst of rewards ``[..., N]``, the first of equals.

    No pair where all are equal or the margin is less than ``minimum_margin``.
    """
    array = _floats("rewards", rewards)
    return _pairs(array, _cream.choose_pair(_rows("rewards", array), float(minimum_margin)))


def choose_anchored_pair(rewards: ArrayLike, anchors: ArrayLike, minimum_margin: float = 0.0) -> Pairs:
    """Best of rewards ``[..., N]`` and worst of the anchors' ``[..., M]``: completions of the initial model, which stay as bad
    as they are while the policy's get better. ``rejected`` is then an index into the anchors.
    """
    array, anchors = _floats("rewards", rewards), _floats("anchors", anchors)
    found = _cream.choose_anchored_pair(_rows("rewards", array), _rows("anchors", anchors), float(minimum_margin))
    return _pairs(array, found)


def pair_loss(
    chosen: ArrayLike,
    rejected: ArrayLike,
    reference_chosen: ArrayLike,
    reference_rejected: ArrayLike,
    *,
    beta: float,
    consistency: ArrayLike = 1.0,
    loss: Loss = "cream",
    sft_weight: float = 0.0,
    tokens: ArrayLike = 1,
) -> PairLoss:
    """Losses of pairs with their gradients with respect to the log-probs, which are summed over a completion's tokens.

    ``"cream"``: -C log sigmoid(z) - (1 - C) log sigmoid(-z) with the margin z and the pair's consistency C; ``"dpo"``: the
    same with C = 1; ``"ipo"``: (z / beta - 1 / (2 beta))^2. ``sft_weight`` times the negative log-likelihood per token of the
    chosen completion, of ``tokens`` tokens, is added. Arguments of one number are those of every pair.
    """
    logps = _together(
        chosen=chosen, rejected=rejected, reference_chosen=reference_chosen, reference_rejected=reference_rejected,
        consistency=consistency,
    )
    first, tokens = _with_tokens(logps[0], tokens)
    if first.shape != logps[0].shape:
        raise ValueError(f"shapes differ: {logps[0].shape} and {np.shape(tokens)} of tokens")
    one, two, three, four, weights = map(_flat, logps)
    found = _cream.pair_loss(loss, float(beta), weights, one, two, three, four, float(sft_weight), _flat(tokens))
    return PairLoss(*(column.reshape(first.shape)[()] for column in found))


def _floats(what: str, values: ArrayLike) -> Floats:
    """An array of float64; what cannot be one without loss is refused."""
    try:
        array = np.asarray(values)
    except Exception as error:
        raise ValueError(f"{what}: {error}") from None
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{what}: numbers of type {array.dtype}, expected real numbers")
    return np.ascontiguousarray(array, dtype=np.float64).reshape(array.shape)


def _rows(what: str, array: Floats) -> Floats:
    if array.ndim == 0:
        raise ValueError(f"{what} is one number, expected an axis of completions")
    return array.reshape(int(np.prod(array.shape[:-1])), array.shape[-1])


def _pairs(rewards: Floats, found: tuple[Ints, Ints, Floats]) -> Pairs:
    chosen, rejected, margin = found
    shape = rewards.shape[:-1]
    return Pairs(chosen.reshape(shape)[()], rejected.reshape(shape)[()], margin.reshape(shape)[()])


def _flat(array: NDArray[_T]) -> NDArray[_T]:
    return np.ascontiguousarray(array).reshape(-1)


def _together(**named: ArrayLike) -> list[Floats]:
    """Arrays of one shape: each has it, or is one number."""
    arrays = {name: _floats(name, values) for name, values in named.items()}
    shapes = {array.shape for array in arrays.values() if array.ndim}
    if len(shapes) > 1:
        raise ValueError("shapes differ: " + ", ".join(f"{name} {array.shape}" for name, array in arrays.items()))
    shape = shapes.pop() if shapes else ()
    return [np.broadcast_to(array, shape) for array in arrays.values()]


def _with_tokens(array: Floats, tokens: ArrayLike) -> tuple[Floats, NDArray[np.uint64]]:
    """Numbers of tokens beside an array: one for each, or one for all."""
    counts = np.asarray(tokens)
    if counts.dtype.kind not in "iu":
        raise ValueError(f"tokens: numbers of type {counts.dtype}, expected whole numbers")
    if counts.size and counts.min() < 0:
        raise ValueError(f"tokens: {counts.min()}, expected at least 1")
    if counts.ndim and array.ndim and counts.shape != array.shape:
        raise ValueError(f"shapes differ: {array.shape}, and {counts.shape} of tokens")
    shape = counts.shape if counts.ndim else array.shape
    return np.broadcast_to(array, shape), np.broadcast_to(counts, shape).astype(np.uint64)


def _by_ties(name: str, ties: Ties) -> Measure:
    if ties not in ("average", "ordinal"):
        raise ValueError(f"ties is {ties!r}, expected average or ordinal")
    return name if ties == "average" else f"{name}-ordinal"  # type: ignore[return-value]
