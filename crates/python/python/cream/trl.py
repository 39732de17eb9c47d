"""CREAM in TRL (>= 1.15, < 2): a DPOTrainer whose loss is weighed by the consistency of each pair, and what measures it.

Of these 1.15 itself runs on GPUs only. Needs torch, transformers, datasets and trl, which ``cream`` itself does not.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch  # type: ignore[import-not-found, unused-ignore]
import trl  # type: ignore[import-not-found, unused-ignore]
from datasets import Dataset  # type: ignore[import-not-found, import-untyped, unused-ignore]
from packaging.version import Version
from transformers import AutoTokenizer  # type: ignore[import-not-found, unused-ignore]

from . import agreement, choose_pair, consistency as consistency_of, implicit_reward, mean_consistency

if not Version("1.15") <= Version(trl.__version__) < Version("2"):
    raise ImportError(f"trl {trl.__version__}, expected 1.15 or newer, and older than 2")

__all__ = ["CreamDPOTrainer", "label"]

REFERENCE = ("ref_chosen_logps", "ref_rejected_logps")
# TRL has no types.
_TRL: Any = trl
DPOTrainer: Any = _TRL.DPOTrainer


class CreamDPOTrainer(DPOTrainer):  # type: ignore[misc]
    """TRL's DPOTrainer with the loss -C log sigmoid(z) - (1 - C) log sigmoid(-z), C being the pair's ``consistency`` column.

    Since -log sigmoid(-z) = z - log sigmoid(z), that is TRL's own loss and (1 - C) z: with C = 1 it is TRL's to the last bit,
    and everything else of the trainer is as it was. Where the data set has the columns ``ref_chosen_logps`` and
    ``ref_rejected_logps``, they are the reference, and no reference model is kept.
    """

    data_collator: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        given = inspect.signature(DPOTrainer.__init__).bind(self, *args, **kwargs).arguments
        datasets = _datasets(given.get("train_dataset"), given.get("eval_dataset"))
        for name, dataset in datasets.items():
            if dataset.column_names is not None and "consistency" not in dataset.column_names:
                raise ValueError(f"{name} has the columns {', '.join(dataset.column_names)}, expected \"consistency\" among them")
        has_reference = bool(datasets) and all(
            set(REFERENCE) <= set(dataset.column_names or ()) for dataset in datasets.values()
        )
        config = given.get("args")
        if has_reference and config is not None and config.precompute_ref_log_probs:
            raise ValueError("precompute_ref_log_probs is True, but the data set has its reference log-probs already, expected False")
        super().__init__(*args, **kwargs)
        for name, value, expected in (
            ("loss_type", list(self.loss_types), ["sigmoid"]), ("f_divergence_type", self.f_divergence_type, "reverse_kl"),
            ("ld_alpha", self.ld_alpha, None), ("use_weighting", self.use_weighting, False),
        ):
            if value != expected:
                raise ValueError(f"{name} is {value!r}, expected {expected!r}: CREAM's loss is DPO's with soft labels")
        if has_reference:
            self.precompute_ref_logps, self.ref_model = True, None

    def get_train_dataloader(self) -> Any:
        self._collate_consistency()
        return super().get_train_dataloader()

    def get_eval_dataloader(self, *args: Any, **kwargs: Any) -> Any:
        self._collate_consistency()
        return super().get_eval_dataloader(*args, **kwargs)

    def _collate_consistency(self) -> None:
        if not isinstance(self.data_collator, _WithConsistency):
            self.data_collator = _WithConsistency(self.data_collator)

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        if "consistency" not in self._signature_columns:
            self._signature_columns.append("consistency")

    def _compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool) -> Any:
        inputs = dict(inputs)
        weights = inputs.pop("consistency")
        given = self.precompute_ref_logps
        if not given:
            inputs.update(zip(REFERENCE, self.compute_ref_log_probs(self.ref_model or self.model, inputs), strict=True))
        recorded = _Recorded(model)
        try:
            self.precompute_ref_logps = True
            result = super()._compute_loss(recorded, inputs, return_outputs)
        finally:
            self.precompute_ref_logps = given
        logps = recorded.log_probs[:, -(inputs["completion_mask"].size(1) - 1) :].sum(dim=1)
        ratios = logps - torch.cat([inputs[name] for name in REFERENCE])
        chosen, rejected = ratios.chunk(2)
        flipped = ((1 - weights) * self.beta * (chosen - rejected)).mean()
        mode = "train" if self.model.training else "eval"
        self._metrics[mode]["consistency"].append(self.accelerator.gather(weights).mean().item())
        return (result[0] + flipped, result[1]) if return_outputs else result + flipped


class _WithConsistency:
    """A collator's batch with the consistency of each pair."""

    def __init__(self, collator: Any) -> None:
        self.collator = collator

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        examples = [dict(example) for example in examples]
        weights = [example.pop("consistency", None) for example in examples]
        for weight in weights:
            if weight is None or not 0 <= weight <= 1:
                raise ValueError(f"\"consistency\" is {weight}, expected a number from 0 to 1")
        return {**self.collator(examples), "consistency": torch.tensor(weights)}


class _Recorded:
    """A model that keeps the log-probs of its first call."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.log_probs: Any = None

    def __call__(self, **kwargs: Any) -> Any:
        outputs = self.model(**kwargs)
        if self.log_probs is None:
            self.log_probs = outputs.log_probs
        return outputs


def _datasets(train: Any, evaluation: Any) -> dict[str, Any]:
    """The data sets of a trainer by what its arguments call them."""
    found = {"train_dataset": train}
    if isinstance(evaluation, Mapping):
        found.update({f"eval_dataset {name!r}": dataset for name, dataset in evaluation.items()})
    else:
        found["eval_dataset"] = evaluation
    return {name: dataset for name, dataset in found.items() if hasattr(dataset, "column_names")}


def label(
    dataset: Dataset, current: Any, previous: Any, reference: Any, *, processing_class: Any = None, beta: float = 0.1,
    measure: Any = "kendall", map: str = "linear", level: str = "mean", batch_size: int = 8,
) -> Dataset:
    """Pairs with their consistency, from the completions that the current model was asked for.

    ``dataset`` has ``prompt``, a text or a list of messages, and ``completions``, N >= 2 texts each. Models are those of
    transformers or peft: the current one, that of the iteration before, and the initial one, ``reference``; in the first
    iteration the last two are the same, and the former ranking is by mean log-prob per token. ``processing_class`` is the
    tokenizer, by default that of the reference's checkpoint. ``level`` is ``"mean"``, one consistency for all pairs, or
    ``"per-prompt"``.

    Returns ``prompt``, ``chosen``, ``rejected``, ``consistency``, ``ref_chosen_logps`` and ``ref_rejected_logps``, which are
    the current model's. Prompts whose rewards are all equal give no pair; nor do those whose agreement is undefined.
    """
    if level not in ("mean", "per-prompt"):
        raise ValueError(f"level is {level!r}, expected 'mean' or 'per-prompt'")
    for column in "prompt", "completions":
        if column not in dataset.column_names:
            raise ValueError(f"the data set has the columns {', '.join(dataset.column_names)}, expected {column!r} among them")
    rows = [(row["prompt"], row["completions"]) for row in dataset]
    for number, (_, completions) in enumerate(rows):
        if len(completions) < 2:
            raise ValueError(f"row {number} has {len(completions)} completions, expected at least 2")
    tokenizer = processing_class or AutoTokenizer.from_pretrained(reference.config.name_or_path)
    tokens = [_tokens(tokenizer, prompt, text) for prompt, completions in rows for text in completions]
    logps = [_logps(model, tokens, tokenizer, batch_size) for model in (current, previous, reference)]
    lengths = np.array([len(ids) - start for ids, start in tokens])

    pairs, weights, start = [], [], 0
    for prompt, completions in rows:
        own = slice(start, start := start + len(completions))
        now_logps, before_logps, base = (all_of[own] for all_of in logps)
        now = implicit_reward(beta, now_logps, base)
        before = base / lengths[own] if previous is reference else implicit_reward(beta, before_logps, base)
        choice = choose_pair(now)
        if choice.chosen < 0 or np.ptp(before) == 0 or np.isnan(agreement(now, before, measure)):
            continue
        weight = consistency_of(now, before, measure, map)
        if np.isnan(weight):
            continue
        chosen, rejected = int(choice.chosen), int(choice.rejected)
        weights.append(float(weight))
        turn = (lambda said: said) if isinstance(prompt, str) else (lambda said: [{"role": "assistant", "content": said}])
        pairs.append({
            "prompt": prompt, "chosen": turn(completions[chosen]), "rejected": turn(completions[rejected]),
            "ref_chosen_logps": float(now_logps[chosen]), "ref_rejected_logps": float(now_logps[rejected]),
        })
    if not pairs:
        raise ValueError("no prompt gives a pair: the rewards of each are all equal, or their agreement is undefined")
    mean = mean_consistency(weights)
    for pair, own_weight in zip(pairs, weights, strict=True):
        pair["consistency"] = mean if level == "mean" else own_weight
    return Dataset.from_list(pairs)


def _tokens(tokenizer: Any, prompt: Any, text: str) -> tuple[list[int], int]:
    """Tokens of a prompt and a completion, and where the completion begins: as TRL's DPOTrainer has them."""
    if isinstance(prompt, str):
        eos = tokenizer.eos_token
        before = tokenizer(prompt)["input_ids"]
        whole = tokenizer(prompt + text + ("" if text.endswith(eos) else eos))["input_ids"]
    else:
        said = [*prompt, {"role": "assistant", "content": text}]
        before = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=True)["input_ids"]
        whole = tokenizer.apply_chat_template(said, return_dict=True)["input_ids"]
    start = 0
    while start < min(len(before), len(whole)) and before[start] == whole[start]:
        start += 1
    return whole, start


@torch.no_grad()  # type: ignore[untyped-decorator, unused-ignore]
def _logps(model: Any, tokens: Sequence[tuple[list[int], int]], tokenizer: Any, batch_size: int) -> Any:
    """The log-prob of each completion, in nats."""
    was_training = model.training
    model.eval()
    found = np.zeros(len(tokens))
    for first in range(0, len(tokens), batch_size):
        batch = tokens[first : first + batch_size]
        longest = max(len(ids) for ids, _ in batch)
        pad = tokenizer.pad_token_id or 0
        ids = torch.tensor([ids + [pad] * (longest - len(ids)) for ids, _ in batch], device=model.device)
        mask = torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids, _ in batch], device=model.device)
        logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1].float()
        drawn = torch.log_softmax(logits, dim=-1).gather(2, ids[:, 1:, None])[..., 0].double().cpu()
        for place, (own, start) in enumerate(batch):
            found[first + place] = drawn[place, max(start - 1, 0) : len(own) - 1].sum()
    model.train(was_training)
    return found
