"""Prompts and completions as TRL's DPOTrainer encodes them, by tokenizers of three kinds: joint.json.

    pip install trl transformers tokenizers; python3 make_joint.py > joint.json

Each kind: tokenizer.json, tokenizer_config.json, and rows of a prompt (a conversation, or plain text) with two completions
and the ids that TRL's DPOTrainer._prepare_dataset gives them. Vocabularies have 320 tokens, as tests/golden/tied has.
"""
import json
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast
from trl.data_utils import common_prefix_length

SPECIAL = ["<unk>", "<s>", "</s>"]
PIECES = ["▁", "P", "l", "u", "m", "a", "b", "c", "Pl", "um", "Plum", "▁P", "▁Pl", "▁Plum", "ab", "▁a", "bc", "\n"]
MERGES = [("P", "l"), ("u", "m"), ("Pl", "um"), ("▁", "P"), ("▁P", "l"), ("▁Pl", "um"), ("▁", "Plum"), ("a", "b"), ("▁", "a"), ("b", "c")]
NEWLINE = "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}</s>\n{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
LLAMA2 = "{% for m in messages %}{% if m.role == 'user' %}{{ bos_token + '[INST] ' + m.content.strip() + ' [/INST]' }}{% else %}{{ ' ' + m.content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
THINK = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}<|assistant|>abc{% endif %}"

def filled(tokens):
    return {token: i for i, token in enumerate((tokens + [f"<filler {i}>" for i in range(320)])[:320])}

def sentence_piece():
    vocab = filled(SPECIAL + [f"<0x{i:02X}>" for i in range(256)] + PIECES)
    t = Tokenizer(models.BPE(vocab=vocab, merges=MERGES, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    return t

def prepend():
    t = sentence_piece()
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return t

def metaspace():
    t = sentence_piece()
    t.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    return t

def byte_level():
    merges = [("P", "l"), ("u", "m"), ("Pl", "um"), ("Ġ", "Plum"), ("a", "b"), ("Ġ", "a"), ("b", "c"), ("Ċ", "Ċ")]
    vocab = filled(SPECIAL + sorted(pre_tokenizers.ByteLevel.alphabet()) + [a + b for a, b in merges])
    t = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    t.pre_tokenizer, t.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return t

user = lambda text: [{"role": "user", "content": text}]
PROMPTS = [user("ab Plum?"), user("a") + [{"role": "assistant", "content": "Plum"}] + user("more"), "Plum ab", "a", "Plum\n"]
COMPLETIONS = [("Plum", "ab c"), (" Plum ", "c Plum"), ("bc", "\nPlum"), ("é Plum\n", "")]

def ids(tokenizer, template, text, **kwargs):
    if isinstance(text, str):
        return tokenizer(text)["input_ids"]
    return tokenizer.apply_chat_template(text, chat_template=template, tokenize=True, return_dict=False, **kwargs)

out = []
for name, make in dict(prepend=prepend, metaspace=metaspace, byte_level=byte_level).items():
    for template_name, template in dict(newline=NEWLINE, llama2=LLAMA2, think=THINK).items():
        raw = make()
        raw.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
        raw.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B:1", special_tokens=[("<s>", 1)])
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
        rows = []
        for prompt in PROMPTS:
            for chosen, rejected in COMPLETIONS:
                if isinstance(prompt, str):
                    # TRL puts the end of text behind plain completions.
                    wholes = [ids(tokenizer, template, prompt + said + "</s>") for said in (chosen, rejected)]
                else:
                    wholes = [ids(tokenizer, template, prompt + [{"role": "assistant", "content": said}]) for said in (chosen, rejected)]
                alone = ids(tokenizer, template, prompt, **({} if isinstance(prompt, str) else dict(add_generation_prompt=True)))
                cut = min(common_prefix_length(alone, whole) for whole in wholes)
                rows.append(dict(prompt=prompt, chosen=chosen, rejected=rejected, prompt_ids=alone[:cut],
                                 chosen_ids=wholes[0][cut:], rejected_ids=wholes[1][cut:]))
        config = dict(bos_token="<s>", eos_token="</s>", unk_token="<unk>", chat_template=template)
        out.append(dict(name=f"{name} {template_name}", tokenizer=json.loads(raw.to_str()), config=config, rows=rows))
print(json.dumps(out, ensure_ascii=False, separators=(",", ":")))
