"""A tokenizer and a chat template for the models of `tied` and `untied`, whose vocabulary is 320.

    python3 make_tiny.py OUT_DIR     # needs tokenizers

Writes tokenizer.json (three special tokens, 256 bytes, 61 merges learnt from the prompts in examples/) and tokenizer_config.json.
"""
import json, os, sys
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

out = sys.argv[1]
os.makedirs(out, exist_ok=True)
here = os.path.dirname(os.path.abspath(__file__))
texts = [json.loads(line)["prompt"] for line in open(os.path.join(here, "../../examples/prompts.jsonl"))]
tok = Tokenizer(models.BPE())
tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tok.decoder = decoders.ByteLevel()
special = [AddedToken(t, normalized=False, special=True) for t in ("<pad>", "<|im_start|>", "<|im_end|>")]
tok.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=320, special_tokens=special, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False))
assert tok.get_vocab_size() == 320 and tok.token_to_id("<|im_end|>") == 2
tok.save(f"{out}/tokenizer.json", pretty=False)
template = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
json.dump(dict(tokenizer_class="PreTrainedTokenizerFast", bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<pad>", chat_template=template),
          open(f"{out}/tokenizer_config.json", "w"), indent=1)
