"""Ten steps of AdamW on all weights of the models of make_golden.py, decayed as transformers decays: NAME/full.json.

    python3 make_full.py OUT_DIR          # needs torch, transformers, safetensors; OUT_DIR holds NAME/ of make_golden.py

Which parameters are decayed is what transformers' Trainer says of the model. The decay is large, so that a norm that is
decayed is off by more than a hundred times what is tolerated.
"""
import json, os, sys
import torch, transformers
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM, Trainer

out = sys.argv[1]
SETTINGS = dict(lr=1e-3, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.5, max_grad_norm=1.0)

def load(name, file):
    config = LlamaConfig.from_pretrained(f"{out}/{name}")
    config._attn_implementation = "eager"
    model = LlamaForCausalLM(config).double().eval()
    missing = model.load_state_dict(load_file(f"{out}/{name}/{file}"), strict=False).missing_keys
    assert missing == (["lm_head.weight"] if config.tie_word_embeddings else []), missing
    model.tie_weights()
    return model

def logps(model, prompt, completion):
    logits = model(input_ids=torch.tensor([prompt + completion])).logits[0, len(prompt) - 1:-1]
    return torch.log_softmax(logits, -1)[torch.arange(len(completion)), torch.tensor(completion)].sum()

for name in ("tied", "untied"):
    with open(f"{out}/{name}/golden.json") as file: golden = json.load(file)
    policy, reference = load(name, "model.safetensors"), load(name, "reference.safetensors")
    decayed = set(Trainer.get_decay_parameter_names(None, policy))
    parameters = dict(policy.named_parameters())
    assert decayed and set(parameters) - decayed == {n for n in parameters if "norm" in n}
    groups = [dict(params=[p for n, p in parameters.items() if (n in decayed) == yes], weight_decay=SETTINGS["weight_decay"] * yes) for yes in (True, False)]
    optimiser = torch.optim.AdamW(groups, lr=SETTINGS["lr"], betas=SETTINGS["betas"], eps=SETTINGS["eps"])
    curve = []
    for step in range(10):
        optimiser.zero_grad()
        losses, margins = [], []
        for pair in golden["pairs"]:
            log_ratios = []
            for key in ("chosen", "rejected"):
                with torch.no_grad(): fixed = logps(reference, pair["prompt"], pair[key])
                log_ratios.append(logps(policy, pair["prompt"], pair[key]) - fixed)
            z = golden["beta"] * (log_ratios[0] - log_ratios[1])
            c, log_sigmoid = pair["consistency"], torch.nn.functional.logsigmoid
            losses.append(-c * log_sigmoid(z) - (1 - c) * log_sigmoid(-z))
            margins.append(z)
        loss = torch.stack(losses).mean(); loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(policy.parameters(), SETTINGS["max_grad_norm"])
        curve.append(dict(loss=loss.item(), margins=[z.item() for z in margins], grad_norm=norm.item()))
        optimiser.step()
    first_64 = {n: p.detach().flatten()[:64].tolist() for n, p in parameters.items()}
    made_with = dict(torch=torch.__version__, transformers=transformers.__version__, dtype="float64")
    with open(f"{out}/{name}/full.json", "w") as file:
        json.dump(dict(made_with=made_with, adamw=SETTINGS, decayed=sorted(decayed), curve=curve, first_64=first_64), file)
