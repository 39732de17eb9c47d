"""Writes peft.json: what PEFT makes of one adapter under many settings.

A tiny Llama (the shape of the engine's random models) gets an adapter with random factors. For each change to its
adapter_config.json, the adapter is loaded by PEFT and the logits are compared with those of the unchanged file: "same",
"scaled" where they are those of lora_alpha / sqrt(r), "different", or "error" where PEFT does not load it. PiSSA, OLoRA and
their kin change the base as they load; the factors are those of the file in all cases.

    pip install torch transformers peft; python3 make_peft.py > peft.json
"""

import json
import math
import sys
import tempfile
import warnings

import peft
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, logging

logging.set_verbosity_error()
warnings.filterwarnings("ignore")
torch.manual_seed(0)

R, ALPHA = 8, 16
config = LlamaConfig(
    vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2
)
TOKENS = torch.randint(0, 64, (1, 12))

CHANGES = [
    {},
    # How it was started.
    *({"init_lora_weights": start} for start in [
        True, False, "gaussian", "eva", "orthogonal", "mica", "pissa", "pissa_niter_4", "olora", "OLoRA", "corda", "loftq",
    ]),
    {"init_lora_weights": "loftq", "loftq_config": {"loftq_bits": 4, "loftq_iter": 1}},
    {"init_lora_weights": "lora_ga", "lora_ga_config": {}},
    # What it computes.
    *({key: True} for key in [
        "use_rslora", "use_dora", "lora_bias", "fan_in_fan_out", "inference_mode", "ensure_weight_tying", "use_qalora",
    ]),
    *({"bias": bias} for bias in ["all", "lora_only"]),
    {"lora_dropout": 0.1},
    {"kasa_config": {}},
    {"monteclora_config": {}},
    {"velora_config": {}},
    {"alora_invocation_tokens": [1, 2]},
    # Where it lies.
    *({"layers_to_transform": layers} for layers in [None, [], [0], 1, [0, 1], [1, 0], -1]),
    *({"rank_pattern": pattern} for pattern in [{}, {"q_proj": 4}, {"q_proj": R}]),
    *({"alpha_pattern": pattern} for pattern in [{}, {"q_proj": 4}, {"^model.layers.0.self_attn.q_proj": 32}, {"q_proj": ALPHA}]),
    *({"modules_to_save": modules} for modules in [None, [], ["lm_head"], ["embed_tokens"]]),
    *({"exclude_modules": modules} for modules in [None, [], ["v_proj"], ["lm_head"], ".*v_proj", ["layers.1.self_attn.v_proj"]]),
    *({"target_modules": modules} for modules in [
        ["v_proj", "q_proj"],
        ["q_proj"],
        ["self_attn.q_proj", "self_attn.v_proj"],
        [f"model.layers.{i}.self_attn.{p}_proj" for i in range(2) for p in "qv"],
        [f"model.layers.{i}.self_attn.{p}_proj" for i in range(2) for p in "q"],
        ["q_proj", "layers.0.self_attn.v_proj"],
        ["q_proj", "v_proj", "query_key_value"],
        ["q_proj", "v_proj", "lm_head"],
        ["q_proj", "v_proj", "embed_tokens"],
        ["query_key_value"],
        "all-linear",
        r".*\.(q|v)_proj",
        r".*\.q_proj",
        r"model\.layers\.\d+\.self_attn\.(q_proj|v_proj)",
    ]),
    {"trainable_token_indices": [3]},
    {"target_parameters": []},
    {"layer_replication": [[0, 2], [0, 2]]},
    {"megatron_config": {}},
    # What describes.
    {"auto_mapping": {"base_model_class": "LlamaForCausalLM", "parent_library": "transformers"}},
    {"revision": "main"}, {"task_type": "SEQ_CLS"}, {"peft_version": "0.17.1"}, {"layers_pattern": []},
    {"runtime_config": {"ephemeral_gpu_offload": False}}, {"megatron_core": "megatron.core"},
    {"eva_config": {"rho": 2.0}}, {"corda_config": {}}, {"qalora_group_size": 32},
]


def main():
    base = LlamaForCausalLM(config).eval()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        base.save_pretrained(f"{folder}/base")
        fresh = lambda: LlamaForCausalLM.from_pretrained(f"{folder}/base").eval()
        model = get_peft_model(fresh(), LoraConfig(r=R, lora_alpha=ALPHA, target_modules=["q_proj", "v_proj"]))
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(parameter, std=0.3)
        model.save_pretrained(f"{folder}/adapter")
        path = f"{folder}/adapter/adapter_config.json"
        with open(path) as file:
            written = json.load(file) | {"base_model_name_or_path": "base"}
        written["target_modules"].sort()

        def logits(changes):
            with open(path, "w") as file:
                json.dump(written | changes, file)
            with torch.no_grad():
                return PeftModel.from_pretrained(fresh(), f"{folder}/adapter").eval()(TOKENS).logits

        def close(a, b):
            return (a - b).abs().max().item() < 1e-5

        same, scaled = logits({}), logits({"lora_alpha": ALPHA * math.sqrt(R)})
        with torch.no_grad():
            assert not close(same, fresh()(TOKENS).logits), "the adapter does something"
        for changes in CHANGES:
            try:
                found = logits(changes)
            except Exception as problem:
                print(changes, type(problem).__name__, str(problem)[:150], file=sys.stderr)
                outcome = "error"
            else:
                outcome = "same" if close(found, same) else "scaled" if close(found, scaled) else "different"
            rows.append(json.dumps({"changes": changes, "outcome": outcome}))
    cases = ",\n".join(rows)
    print(f'{{"peft": "{peft.__version__}",\n"written": {json.dumps(written)},\n"cases": [\n{cases}\n]}}')


main()
