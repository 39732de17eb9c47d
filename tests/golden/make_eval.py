"""Log-likelihoods of choices under SmolLM2-135M-Instruct, by transformers in float32 from the dequantised GGUF.

    python3 make_eval.py MODEL.gguf OUT.json     # needs torch, transformers, gguf

As lm-evaluation-harness computes them: context "Question: …\\nAnswer:", continuation " " + choice, both encoded together and cut
at the context's length; one forward pass a choice, no sharing. `acc` and `acc_norm` are its definitions, with numpy's argmax.
The questions were written for this file. Tokens as in make_smollm2.py.
"""
import json, os, sys
import numpy, torch, transformers
from gguf import GGUFReader
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM

path, out = sys.argv[1:]
fields = {k: f.contents() for k, f in GGUFReader(path).fields.items()}
merges = [tuple(m.split(" ")) for m in fields["tokenizer.ggml.merges"]]
tok = Tokenizer(models.BPE(vocab={w: i for i, w in enumerate(fields["tokenizer.ggml.tokens"])}, merges=merges))
tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
encode = lambda text: tok.encode(text, add_special_tokens=False).ids

questions = [
    ("Which of these animals can fly?", ["a dog", "a sparrow", "a whale", "a snail"], 1),
    ("How many legs do three spiders have together?", ["8", "16", "24", "32", "40"], 2),
    ("What does a thermometer measure?", ["length", "how warm or cold something is", "weight"], 1),
    ("Anna left her umbrella at home and it began to rain. What happened to Anna?", ["She got wet.", "She got wet.", "She fell asleep."], 0),
    ("Welche Stadt liegt an der Seine — „la ville lumière“?", ["Genève", "Zürich", "Paris", "São Paulo"], 2),
    ("Water turns into ice when it is", ["cooled below 0 °C", "shaken", "poured into a very large and very old wooden barrel", "salted"], 0),
    ("What is 17 + 26?\n(Think first.)", ["33", "43", "42", "53"], 1),
]

folder, file = os.path.split(path)
model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32).eval()
rows = []
for i, (question, choices, answer) in enumerate(questions):
    context = f"Question: {question}\nAnswer:"
    start, logps, tokens = len(encode(context)), [], []
    for choice in choices:
        ids = encode(f"{context} {choice}")
        assert ids[:start] == encode(context)
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([ids])).logits[0].double()
        at = torch.arange(start - 1, len(ids) - 1)
        logps.append(torch.log_softmax(logits, -1)[at, torch.tensor(ids[start:])].sum().item())
        tokens.append(len(ids) - start)
    by_character = numpy.array(logps) / numpy.array([float(len(choice)) for choice in choices])
    rows.append(dict(id=str(i), question=question, choices=choices, answer=answer, logps=[round(x, 6) for x in logps], tokens=tokens,
                     acc=bool(numpy.argmax(logps) == answer), acc_norm=bool(numpy.argmax(by_character) == answer)))
with open(out, "w") as f:
    json.dump(dict(made_with=dict(torch=torch.__version__, transformers=transformers.__version__, dtype="float32"), file=file, rows=rows), f,
              ensure_ascii=False, indent=None, separators=(",", ":"))
    f.write("\n")
