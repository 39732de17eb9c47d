"""cream.trl beside TRL's DPOTrainer and the program's own training, and the program's adapter in PEFT.

`cargo xtask trl` runs it, in an environment with torch, transformers, trl, peft and the wheel.
"""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer

import cream
import cream.program
from cream.trl import CreamDPOTrainer, label

GOLDEN = Path(__file__).parent.parent / "golden"
BETA = 0.3
PAIRS = [
    {"prompt": [{"role": "user", "content": prompt}], "chosen": [{"role": "assistant", "content": chosen}],
     "rejected": [{"role": "assistant", "content": rejected}], "consistency": consistency}
    for prompt, chosen, rejected, consistency in [
        ("Give me 2 things.", "a key and a lamp", "no", 0.9), ("Hi", "Hello!", "good day to you all", 0.35),
        ("Who swims?", "fish", "a stone", 0.6), ("Say it", "it", "that", 1.0),
    ]
]


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    for file in "tied/config.json", "tied/model.safetensors", "tiny/tokenizer.json", "tiny/tokenizer_config.json":
        shutil.copy(GOLDEN / file, folder)
    # TRL trains on what the template writes after the end of a turn, we end with the turn: without it the two are the same.
    config = folder / "tokenizer_config.json"
    config.write_text(config.read_text().replace("<|im_end|>\\n", "<|im_end|>"))
    return folder


def load(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def program(*args):
    return subprocess.run([cream.program.program(), *map(str, args)], check=True, capture_output=True, text=True).stdout


def steps(trainer_class, folder, tmp_path, pairs, **config):
    """Loss and gradient norm of each step, and the weights at the end."""
    settings = DPOConfig(
        output_dir=str(tmp_path / "out"), per_device_train_batch_size=4, max_steps=3, learning_rate=1e-3, beta=BETA, logging_steps=1,
        report_to=[], save_strategy="no", use_cpu=True, bf16=False, seed=0, disable_tqdm=True, lr_scheduler_type="constant",
        warmup_steps=0, optim="adamw_torch", weight_decay=0.0, max_grad_norm=1.0, gradient_checkpointing=False, **config,
    )
    model = load(folder)
    trainer = trainer_class(model=model, args=settings, train_dataset=Dataset.from_list(pairs),
                            processing_class=AutoTokenizer.from_pretrained(folder))
    trainer.train()
    logged = [(entry["loss"], entry["grad_norm"]) for entry in trainer.state.log_history if "loss" in entry and "grad_norm" in entry]
    assert len(logged) == 3
    return logged, {name: weight.detach().clone() for name, weight in model.named_parameters()}, trainer


@pytest.mark.parametrize("precompute", [False, True])
def test_with_full_consistency_it_is_trls_dpo(model_folder, tmp_path, precompute):
    pairs = [{**pair, "consistency": 1.0} for pair in PAIRS]
    plain = [{name: value for name, value in pair.items() if name != "consistency"} for pair in PAIRS]
    ours, our_weights, _ = steps(CreamDPOTrainer, model_folder, tmp_path, pairs, precompute_ref_log_probs=precompute)
    theirs, their_weights, _ = steps(DPOTrainer, model_folder, tmp_path, plain, precompute_ref_log_probs=precompute)
    assert ours == theirs
    for name, weight in their_weights.items():
        assert torch.equal(our_weights[name], weight), name


@pytest.mark.parametrize("reference", [None, (-20.0, -31.0)])
@pytest.mark.parametrize("consistency", [None, 1.0])
def test_a_step_is_the_programs(model_folder, tmp_path, consistency, reference):
    pairs = [dict(pair) for pair in PAIRS]
    for number, pair in enumerate(pairs):
        if consistency is not None:
            pair["consistency"] = consistency
        if reference is not None:
            pair["ref_chosen_logps"], pair["ref_rejected_logps"] = reference[0] - number, reference[1] + 2 * number
    theirs, _, trainer = steps(CreamDPOTrainer, model_folder, tmp_path, pairs)
    assert (trainer.ref_model is None) == (reference is not None)
    file, out = tmp_path / "pairs.jsonl", tmp_path / "trained"
    file.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    program("train", "--model", model_folder, "--pairs", file, "--output", out, "--full", "--learning-rate", 1e-3, "--beta", BETA,
            "--batch-size", 4, "--epochs", 1, "--device", "cpu", "--quiet")
    [ours] = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    loss, norm = theirs[0]
    # Where the policy is its reference the loss is log 2 whatever the consistency is: the gradient tells.
    assert ours["loss"] == pytest.approx(loss, abs=1e-5)
    assert ours["grad_norm"] == pytest.approx(norm, rel=1e-3)
    mean = np.mean([pair["consistency"] for pair in pairs])
    logged = [entry["consistency"] for entry in trainer.state.log_history if "consistency" in entry]
    assert logged[0] == pytest.approx(mean, abs=1e-6)
    print("differences", ours["loss"] - loss, ours["grad_norm"] / norm - 1)


def test_label_is_the_programs(model_folder, tmp_path):
    rows = cream.sample(model_folder, ["Give me 2 things.", "Who swims?", "Hi"], completions=4, max_new_tokens=6, raw=True,
                        temperature=1.0, device="cpu", progress=False)
    texts = [{"prompt": row["prompt"], "completions": row["completions"]} for row in rows]
    torch.manual_seed(3)
    models = []
    for size in 0.0, 0.02, 0.04:
        model = load(model_folder)
        for weight in model.parameters():
            weight.data += size * torch.randn_like(weight)
        models.append(model)
    reference, previous, current = models
    found = label(Dataset.from_list(texts), current, previous, reference, beta=BETA, level="per-prompt")
    scores = []
    for name, model in ("current", current), ("previous", previous), ("reference", reference):
        folder = tmp_path / name
        model.save_pretrained(folder)
        for file in "tokenizer.json", "tokenizer_config.json":
            shutil.copy(model_folder / file, folder)
        rows = [{"id": str(n), **text} for n, text in enumerate(texts)]
        file = tmp_path / f"{name}.jsonl"
        cream.program.write_rows(file, cream.score(folder, rows, raw=True, device="cpu", progress=False))
        scores += [f"--{name}", file]
    pairs = tmp_path / "pairs.jsonl"
    program("pair", *scores, "--output", pairs, "--beta", BETA, "--level", "per-prompt", "--quiet")
    ours = cream.program.read_rows(pairs)
    assert len(ours) == len(found) > 0
    for our, their in zip(ours, found, strict=True):
        for key in "prompt", "chosen", "rejected":
            assert our[key] == their[key]
        for key in "consistency", "ref_chosen_logps", "ref_rejected_logps":
            assert our[key] == pytest.approx(their[key], abs=1e-3)


def test_wrong_settings_are_refused(model_folder, tmp_path):
    plain = [{name: value for name, value in pair.items() if name != "consistency"} for pair in PAIRS]
    with pytest.raises(ValueError, match="expected \"consistency\" among them"):
        steps(CreamDPOTrainer, model_folder, tmp_path, plain)
    with pytest.raises(ValueError, match="loss_type is \\['ipo'\\], expected \\['sigmoid'\\]"):
        steps(CreamDPOTrainer, model_folder, tmp_path, PAIRS, loss_type=["ipo"])
    with pytest.raises(ValueError, match="\"consistency\" is 1.5, expected a number from 0 to 1"):
        steps(CreamDPOTrainer, model_folder, tmp_path, [{**pair, "consistency": 1.5} for pair in PAIRS])
    given = [{**pair, "ref_chosen_logps": -1.0, "ref_rejected_logps": -1.0} for pair in PAIRS]
    with pytest.raises(ValueError, match="precompute_ref_log_probs is True"):
        steps(CreamDPOTrainer, model_folder, tmp_path, given, precompute_ref_log_probs=True)


def test_an_exported_adapter_in_peft(model_folder, tmp_path):
    run = cream.run(model_folder, ["Give me 2 things.", "Hi", "Who?"], tmp_path / "run", iterations=1, completions=3, cut="keep",
                    max_new_tokens=6, learning_rate=0.05, device="cpu", progress=False)
    program("export", "--model", model_folder, "--adapter", run.adapter(1), "--format", "peft", "--output", tmp_path / "peft", "--quiet")
    rows = cream.sample(model_folder, ["Give me 2 things.", "Who swims?"], completions=3, max_new_tokens=12, raw=True, device="cpu",
                        progress=False)
    ours, base = (cream.score(model_folder, rows, adapter=adapter, raw=True, device="cpu", progress=False)
                  for adapter in (run.adapter(1), None))
    model = PeftModel.from_pretrained(load(model_folder), tmp_path / "peft").eval()
    tokenizer, differs = AutoTokenizer.from_pretrained(model_folder), False
    for own, before in zip(ours, base, strict=True):
        prompt = tokenizer(own["prompt"])["input_ids"]
        for drawn, logps, logps_before in zip(own["token_ids"], own["logps"], before["logps"], strict=True):
            ids = torch.tensor([prompt + drawn])
            with torch.no_grad():
                all_logps = torch.log_softmax(model(ids).logits[0, :-1].double(), dim=-1)
            theirs = all_logps.gather(1, ids[0, 1:, None])[len(prompt) - 1 :].sum().item()
            assert logps == pytest.approx(theirs, abs=1e-3)
            differs |= abs(logps - logps_before) > 0.05
    assert differs, "the adapter does something"
