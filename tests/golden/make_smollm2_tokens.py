"""Tokens that llama.cpp and transformers' own template code give for SmolLM2-135M-Instruct: smollm2_tokens.json.

    pip install xllamacpp transformers jinja2 gguf
    python3 make_smollm2_tokens.py SmolLM2-135M-Instruct.Q4_1.gguf > smollm2_tokens.json
    python3 make_smollm2_tokens.py SmolLM2-135M-Instruct.Q4_1.gguf --lines FILE   # any JSON strings or message lists

Neither shares code with ours: llama.cpp has its own splitter and merge loop, transformers renders through Jinja2.
"""
import json, sys, urllib.request
import gguf, xllamacpp
from transformers.utils.chat_template_utils import render_jinja_template

RAW = [
    "", " ", "Hello, world!", "hello", " hello", "  hello", "Hello   there", "The year 2024 had 366 days.", "1234567890",
    "3.14159 and -2.5e-10", "12:34:56", "x1y22z333", "٣٤٥ and ४५ and ²³ and ½ and Ⅻ", "I'm you're he'll she'd we've don't it's",
    "I'M YOU'RE DON'T IT'S", "l’avion d’été", "naïve café Zürich Ångström", "e\u0301 vs é", "Привет, мир!", "你好，世界", "こんにちは世界。", "안녕하세요",
    "مرحبا بالعالم", "שלום עולם", "नमस्ते दुनिया", "ไทยไม่มีวรรค", "🙂", "👩‍👩‍👧‍👦 family 🇩🇪 flag 👍🏽", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟙𝟚𝟛", "\u200bzero\u200bwidth\ufeff",
    "a\u00a0b\u2003c\u3000d", "tab\there\t\ttwo", "line\nline\n\nline\n\n\nline", "crlf\r\nline\r\n\r\n", "trailing space ", "trailing spaces   ", "trailing newline\n",
    "   \n   \n", "\n", "\n\n\n\n", "\t\t\t", "\x00\x01\x7f", "\u0085\u2028\u2029", "def f(x):\n    return x ** 2  # square\n", "for (int i = 0; i < 10; ++i) { a[i] += b[i]; }",
    '{"key": [1, 2, {"nested": null}]}', "<div class=\"a\">text</div>", "SELECT * FROM t WHERE a >= 10 AND b != 'x';", "$\\frac{a}{b} = \\sqrt{x^2 + y^2}$", "https://example.com/a?b=c&d=%20e#f",
    "user@example.com", "C:\\Users\\name\\file.txt", "!!!???...,,,---___", "===>>>><<<<", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "antidisestablishmentarianism", "CamelCaseAndsnake_case-and-kebab",
    "<|im_start|>user\nHi<|im_end|>\n", "before<|im_end|>after", "<|im_start|> <|im_end|> <|endoftext|>", "<|im_end", "<|endoftext|><|endoftext|>", "<repo_name>a/b<file_sep>x.py", "<jupyter_code>1+1<jupyter_output>2<empty_output>",
    "Q: 48 / 2 = ?\nA: 24", "1,000,000 dollars or €5.50 or £3", "mixed 中文 and English 混合 text 123", "word" * 50, "quote “smart” ‘single’ — dash – en … ellipsis",
]

CHATS = [
    [("user", "Hello!")],
    [("user", "")],
    [("user", "  leading and trailing  \n")],
    [("system", "You are terse."), ("user", "What is 17 * 23?")],
    [("user", "Hi"), ("assistant", "Hello! How can I help?"), ("user", "Name 3 prime numbers above 100.")],
    [("user", "Say <|im_end|> and <|im_start|>system")],
    [("user", "Schreibe über Zürich 🙂\n\n- eins\n- zwei")],
    [("system", ""), ("user", "{{ messages }} {% raw %}")],
]


class Oracle:
    def __init__(self, path):
        params = xllamacpp.CommonParams()
        params.model.path, params.n_ctx, params.n_parallel, params.warmup = path, 64, 1, False
        self.server = xllamacpp.Server(params)
        fields = gguf.GGUFReader(path).fields
        self.template = fields["tokenizer.chat_template"].contents()
        tokens = fields["tokenizer.ggml.tokens"].contents()
        self.special = {f"{name}_token": tokens[fields[f"tokenizer.ggml.{name}_token_id"].contents()] for name in ("bos", "eos")}

    def raw(self, text, add_special=True):
        body = json.dumps(dict(content=text, add_special=add_special, parse_special=True)).encode()
        request = urllib.request.Request(self.server.listening_address + "/tokenize", body, {"Content-Type": "application/json"})
        return json.load(urllib.request.urlopen(request))["tokens"]

    def render(self, messages):
        return render_jinja_template([messages], chat_template=self.template, add_generation_prompt=True, **self.special)[0][0]

    def case(self, given):
        if isinstance(given, str):
            return dict(text=given, tokens=self.raw(given))
        rendered = self.render(given)
        return dict(messages=given, rendered=rendered, tokens=self.raw(rendered, add_special=False))


if __name__ == "__main__":
    oracle = Oracle(sys.argv[1])
    if sys.argv[2:3] == ["--lines"]:
        for line in open(sys.argv[3]):
            print(json.dumps(oracle.case(json.loads(line))["tokens"], separators=(",", ":")))
    else:
        chats = [[dict(role=role, content=content) for role, content in chat] for chat in CHATS]
        cases = [json.dumps(oracle.case(given), ensure_ascii=True) for given in RAW + chats]
        print("[\n" + ",\n".join(cases) + "\n]")
