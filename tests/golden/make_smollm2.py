"""Token ids and token log-probabilities of SmolLM2-135M-Instruct, by transformers in float32 from the dequantised GGUF.

    python3 make_smollm2.py MODEL.gguf OUT.json     # needs torch, transformers, gguf

Tokens come from the `tokenizers` package, set up as the model's own tokenizer.json is (single digits, then GPT-2's
byte-level rule) over the vocabulary and merges in the file: transformers' reading of a GGUF tokenizer leaves the digits out.
Each row: messages, completion, ids of the templated prompt, ids of the completion with the end of turn, log-prob of each of those,
and the model's own most probable answer, its first GREEDY tokens.
"""
import json, os, sys
import torch, transformers
from gguf import GGUFReader
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

GREEDY = 24
path, out = sys.argv[1:]
fields = {k: f.contents() for k, f in GGUFReader(path).fields.items()}
words, types = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
merges = [tuple(m.split(" ")) for m in fields["tokenizer.ggml.merges"]]
tok = Tokenizer(models.BPE(vocab={w: i for i, w in enumerate(words)}, merges=merges))
tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
tok.decoder = decoders.ByteLevel()
tok.add_special_tokens([AddedToken(w, normalized=False, special=True) for w, t in zip(words, types) if t == 3])
tok = PreTrainedTokenizerFast(tokenizer_object=tok, chat_template=fields["tokenizer.chat_template"])
eos = fields["tokenizer.ggml.eos_token_id"]

user = lambda text: [{"role": "user", "content": text}]
rows = [
    (user("What is the capital of France?"), "The capital of France is Paris."),
    (user("What is 12345 + 678, and is 2024 a leap year?"), "12345 + 678 = 13023. Yes, 2024 is a leap year: 2024 / 4 = 506."),
    (user("Übersetze „Guten Morgen“ ins Français — 日本語も 🙂"), "Bonjour ! おはよう 🌞\tNaïve café."),
    (user("Write a Python function\n\n    def add(a, b):\n"), "```python\ndef add(a, b):\n    return a + b\n```\n"),
    ([{"role": "system", "content": "You answer in one word."}, {"role": "user", "content": "Is the sky blue?"}], "Yes"),
    ([{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Hi. How can I help?"}, {"role": "user", "content": "Tell me a joke; don't explain it."}],
     "Why don't scientists trust atoms? Because they make up everything!"),
    (user("  leading spaces,   runs of them, and trailing ones  "), " It's   fine.\n\n\n1. we'll\n2. they'd  \n"),
    (user("x"), "The quick brown fox jumps over the lazy dog while " * 6 + "the end."),
]

folder, file = os.path.split(path)
model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32).eval()
golden = dict(made_with=dict(torch=torch.__version__, transformers=transformers.__version__, dtype="float32"), file=file, rows=[])
for messages, completion in rows:
    prompt = tok.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False)
    target = tok.encode(completion, add_special_tokens=False) + [eos]
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([prompt + target])).logits[0].double()
        greedy = model.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=GREEDY, pad_token_id=eos)[0, len(prompt):].tolist()
    at = torch.arange(len(prompt) - 1, len(prompt) + len(target) - 1)
    logps = torch.log_softmax(logits, -1)[at, torch.tensor(target)]
    assert tok.decode(target[:-1]) == completion
    golden["rows"].append(dict(messages=messages, completion=completion, prompt_tokens=prompt, completion_tokens=target,
                               token_logps=[round(x, 6) for x in logps.tolist()], greedy_tokens=greedy, greedy=tok.decode(greedy, skip_special_tokens=True)))
with open(out, "w") as f:
    json.dump(golden, f, ensure_ascii=False, indent=None, separators=(",", ":"))
    f.write("\n")
