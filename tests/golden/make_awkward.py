"""Small templates for what chat templates seldom use, rendered by transformers: awkward.json.

Each line of TEMPLATES is a template, with Python's escapes; null stands where transformers refuses it.

    pip install transformers jinja2; python3 make_awkward.py > awkward.json
"""
import json

from transformers.utils.chat_template_utils import render_jinja_template

TEMPLATES = r'''
{{ "%s" % "x" }}
{{ "%(a)s-%(b)d" % {"a": 1, "b": 2} }}
{{ 7 % 3 }}
{{ -7 % 3 }}
{{ 2 * 7 % 4 }}
{{ 2 * "%s" % 3 }}
{{ "a%sb" % 1 ~ "c" }}
{{ "%s" % none }}
{{ "%s" % [1,2] }}
{{ "%s" % true }}
{{ "%s %s" % (1,) }}
{{ "%d" % "x" }}
{% if loop_index % 2 == 0 %}even{% endif %}
{{ "a,b,c".rsplit(",", 1) }}
{{ "a b  c".rsplit() }}
{{ "a,b,c".partition(",") }}
{{ "abc".partition(",") }}
{{ "a,b,c".rpartition(",") }}
{{ "abc".rpartition(",") }}
{{ "<think>x".removeprefix("<think>") }}
{{ "x.py".removesuffix(".py") }}
{{ "x".removesuffix("") }}
{{ "7".zfill(3) }}
{{ "-7".zfill(4) }}
{{ "x".center(5, "*") }}|
{{ "x".ljust(4) }}|
{{ "x".rjust(4, ".") }}|{{ "xy".center(5) }}|
{{ "aB".swapcase() }}
{{ "12".isdecimal() }}
{{ "a1".isalnum() }}
{{ "a_b".isidentifier() }}
{{ "Ab".istitle() }}
{{ " ".isspace() }}
{{ "a\\tb".expandtabs(4) }}|
{{ "abc".index("c") }}
{{ "abcabc".rindex("c") }}
{{ "abcabc".find("b", 2) }}
{{ "abcabc".rfind("b", 0, 3) }}
{{ "aXbX".count("X", 2) }}
{{ "abc".startswith("b", 1) }}
{{ "abc".endswith("b", 0, 2) }}
{{ "abc".index("z") }}
{{ "a-b".split("-", maxsplit=1) }}
{{ "a-b-c".split("-", 1) }}
{{ " a  b ".split() }}
{{ "".split() }}
{{ "a b c d".split(None, 1) }}
{{ "a,b".split(sep=",") }}
{{ "a\\nb\\r\\nc".splitlines() }}
{{ "a\\nb\\n".splitlines(true) }}
{{ "a\\x0bb".splitlines() }}
{{ "hello world".title() }}
{{ "hello WORLD".capitalize() }}
{{ "they're".title() }}
{{ "{} {1} {a}".format(1, 2, a=3) }}
{{ "{} {}".format(1, "x") }}
{{ "{:>5}|{:<5}|{:^5}|{:05d}|{:.2f}|{:,}".format("a", "b", "c", 42, 3.14159, 1234567) }}
{{ "{0[a]} {1[0]}".format({"a": 1}, [2]) }}
{{ "xxhixx".strip("x") }}
{{ "xxhi".lstrip("x") }}
{{ "hixx".rstrip("x") }}
{{ " hi ".strip(none) }}|
{{ "aaa".replace("a", "b", 2) }}
{{ "aaa".replace("a", "b", -1) }}
{{ "ab".replace("", "-") }}
{{ ",".join(["a", "b"]) }}
{{ ",".join("abc") }}
{{ ",".join([1, 2]) }}
{{ "a".nosuch() }}
{{ "abc".upper(1) }}
{{ [1,2,3].index(2) }}
{{ [1,2,1].count(1) }}
{{ (1,2,1).count(1) }}
{{ (1,2).index(2) }}
{{ [1].append(2) }}
{{ [1].copy() }}
{{ {"a": 1}.get("a") }}
{{ {"a": 1}.get("b") }}
{{ {"a": 1}.get("b", 7) }}
{{ {"a": 1}.keys() | list }}
{{ {"a": 1}.values() | list }}
{{ {"a": 1}.items() | list }}
{{ {"a": 1}.copy() }}
{{ {"a": 1}.pop("a") }}
{{ {"a": 1}.update({"b": 2}) }}
{{ {"a": 1}.setdefault("b", 1) }}
{{ dict(a=1, b="x") }}
{{ dict({"a": 1}, b=2) }}
{{ {"a": [1, "b", none, true, 1.0, 1e16, 1e-7, "it's", 'q"q', "\\n"]} | tojson }}
{{ {"b": 1, "a": {"c": []}} | tojson(indent=2) }}
{{ {"b": 1, "a": {"c": [1]}} | tojson(indent=0) }}
{{ {"b": 1, "a": {"c": [1]}} | tojson(indent="--") }}
{{ {"b": 1, "a": 2} | tojson(sort_keys=true) }}
{{ "\xe9\\u2028\U0001f642" | tojson }}
{{ "\xe9\U0001f642" | tojson(ensure_ascii=true) }}
{{ [1,{"a":2}] | tojson(separators=(",", ":")) }}
{{ [1] | tojson(separators=[",", ":"], indent=1) }}
{{ [1] | tojson(none) }}
{{ "\xe9" | tojson(true) }}
{{ [1] | tojson(false, 2) }}
{{ [1] | tojson(nosuch=1) }}
{{ {1: "a", none: 2, true: 3, 1.5: 4} | tojson }}
{{ nosuch | tojson }}
{{ (1, 2) | tojson }}
{{ range(3) | list | tojson }}
{{ "\\u007f\\u0001\\"\\\\/" | tojson }}
{{ range(3) | tojson }}
{{ namespace(a=1) | tojson }}
{{ {"a":1}.items() | tojson }}
{{ "xxhixx" | trim("x") }}
{{ " hi " | trim }}|{{ "xhi" | trim(chars="x") }}
{{ [{"a": 1}, {"a": 2}] | join(",", attribute="a") }}
{{ [1, 2] | join(d="-") }}
{{ [1,2]|join }}
{{ nosuch | default("d") }}
{{ "" | default("d") }}|
{{ "" | default("d", true) }}
{{ "" | default("d", boolean=true) }}
{{ none | default("x") }}
{{ nosuch | default(default_value="e") }}
{{ nosuch | d("f") }}
{{ [{"a": 1, "b": {"c": 5}}, {"a": 2}] | selectattr("a", "equalto", 1) | list }}
{{ [{"a": 1}, {"b": 2}] | selectattr("a") | list }}
{{ [{"a": 1}, {"b": 2}] | rejectattr("a", "defined") | list }}
{{ [{"a":{"b":1}}] | map(attribute="a.b") | list }}
{{ [{"a":1},{}] | map(attribute="a", default=9) | list }}
{{ ["a", "B"] | map("upper") | list }}
{{ [" a "] | map("trim") | join }}
{{ ["a","b"] | map("replace", "a", "x") | list }}
{{ [1,2,3,4] | select("even") | list }}
{{ [1,2] | reject("odd") | list }}
{{ [0,1] | select | list }}
{{ [3,1,2] | sort }}
{{ [3,1,2] | sort(reverse=true) }}
{{ ["b","A","c"] | sort }}
{{ ["b","A"] | sort(case_sensitive=true) }}
{{ [{"a":2},{"a":1}] | sort(attribute="a") }}
{{ [3,1,2] | sort(nosuch=1) }}
{{ [1,2,3] | first }}
{{ [1,2,3] | last }}
{{ [] | first }}|
{{ "abc" | first }}
{{ [1,2,3] | length }}
{{ "abc" | count }}
{{ [1,2] | sum }}
{{ [{"a":1},{"a":3}] | sum(attribute="a") }}
{{ [1,2]|sum(start=5) }}
{{ [1,2,2,1] | unique | list }}
{{ ["a","A"] | unique | list }}
{{ ["a","A"] | unique(case_sensitive=true) | list }}
{{ [3,1] | min }}
{{ [3,1] | max }}
{{ [{"a":3},{"a":1}] | max(attribute="a") }}
{{ [1,2,3] | batch(2) | list }}
{{ [1,2,3] | batch(2, 0) | list }}
{{ [1,2,3,4,5] | slice(2) | list }}
{{ "a\\nb" | indent }}|
{{ "a\\nb" | indent(2) }}|
{{ "a\\nb" | indent(2, true) }}|
{{ "a\\n\\nb" | indent(width=2, first=true, blank=true) }}|
{{ {"b":1,"a":2} | dictsort }}
{{ {"b":1,"a":2} | dictsort(by="value") }}
{{ {"b":1,"a":2} | dictsort(reverse=true) }}
{{ {"b":1,"a":2} | items | list }}
{{ "abc" | reverse }}
{{ [1,2] | reverse | list }}
{{ "abc" | list }}
{{ 5 | string }}
{{ "5" | int + 1 }}
{{ "x" | int(7) }}
{{ "x" | int(default=8) }}
{{ "0x1f" | int(base=16) }}
{{ "1.5" | float }}
{{ "x" | float(2.5) }}
{{ 3.7 | int }}
{{ 2.567 | round(2) }}
{{ 2.5 | round }}
{{ 2.1 | round(method="ceil") }}
{{ 2.56 | round(1, "floor") }}
{{ -3 | abs }}
{{ 42.0 | round }}
{{ 1234.5 | round(-2) }}
{{ "a b" | title }}
{{ "<b>" | escape }}
{{ "<b>" | e }}
{{ "<b>" | safe }}
{{ [{"a":1,"b":2},{"a":1,"b":3}] | groupby("a") | list }} {% for k, v in [{"a":1},{"a":2}] | groupby("a") %}{{ k }}={{ v }};{% endfor %} {% for g in [{"a":1}] | groupby(attribute="a") %}{{ g.grouper }}{{ g.list }}{% endfor %}
{{ "x" | upper }}
{{ "X" | lower }}
{{ "xY" | capitalize }}
{{ "aXb" | replace("X", "y") }}
{{ "XXX" | replace("X", "y", 2) }}
{{ "XX" | replace("X","y",count=1) }}
{{ "%s-%s" | format(1, 2) }}
{{ "%(a)s" | format(a=1) }}
{{ "a" | nosuchfilter }}
{{ "a" | upper(1) }}
{{ "a" | length(1) }}
{{ [1,2] | list(1) }}
{{ "a" | trim(nosuch="x") }}
{{ [1] | first(5) }}
{{ [1] | join(",", nosuch=1) }}
{{ 1 is defined }}
{{ nosuch is defined }}
{{ nosuch is undefined }}
{{ none is none }}
{{ 1 is number }}
{{ true is number }}
{{ 1 is integer }}
{{ 1.0 is float }}
{{ true is integer }}
{{ true is boolean }}
{{ "a" is string }}
{{ [1] is sequence }}
{{ "a" is sequence }}
{{ {} is sequence }}
{{ {} is mapping }}
{{ "a" is iterable }}
{{ 1 is iterable }}
{{ 1 is odd }}
{{ 2 is even }}
{{ 4 is divisibleby 2 }}
{{ 4 is divisibleby(3) }}
{{ 1 is eq 1 }}
{{ 1 is equalto(1) }}
{{ 1 is ne 2 }}
{{ 1 is lt 2 }}
{{ 1 is ge 2 }}
{{ 1 is in [1] }}
{{ 1 is not in [1] }}
{{ none is sameas none }}
{{ true is true }}
{{ 1 is true }}
{{ false is false }}
{{ "a" is lower }}
{{ "A" is upper }}
{{ "upper" is filter }}
{{ "odd" is test }}
{{ "a" is escaped }}
{{ 1 is nosuchtest }}
{{ nosuch }}|
{{ messages.nosuch }}|
{{ messages[99] }}|
{{ "abc"[1] }}
{{ "abc"[-1] }}
{{ "abc"[1:] }}
{{ "abc"[::-1] }}
{{ [1,2,3,4][1:3] }}
{{ [1,2,3,4][::2] }}
{{ [1,2,3,4][-2:] }}
{{ [1,2,3][:-1] }}
{{ (1,2,3)[1:] }}
{{ "abc"[9]  }}|
{{ "a\xf1b"[1] }}
{{ nosuch.foo }}
{{ nosuch["foo"] }}
{{ nosuch() }}
{{ nosuch + "a" }}
{{ nosuch ~ "a" }}
{{ nosuch == 1 }}
{{ nosuch == nosuch2 }}
{{ not nosuch }}
{{ nosuch or "x" }}
{{ nosuch is none }}
{{ none ~ true }}
{% for x in nosuch %}x{% endfor %}|{% for x in [] %}y{% else %}empty{% endfor %} {{ nosuch | length }} {{ nosuch | list }} {{ nosuch | upper }}| {{ nosuch | join }}|
{% for x in none %}x{% endfor %}
{{ "a" in nosuch }}
{{ "a" + 1 }}
{{ [1] + [2] }}
{{ (1,) + (2,) }}
{{ "a" * 3 }}
{{ [1] * 2 }}
{{ 7 / 2 }}
{{ 6 / 2 }}
{{ 7 // 2 }}
{{ -7 // 2 }}
{{ 2 ** 10 }}
{{ 2 ** -1 }}
{{ 1.0 }}
{{ 1e15 }}
{{ 0.1 + 0.2 }}
{{ 1_000 }}
{{ 0x1f }}
{{ 1.5e3 }}
{{ 10000000000000000000000 }}
{{ 3.0 * 2 }}
{{ 1 == 1.0 }}
{{ true + 1 }}
{{ -2 ** 2 }}
{{ 1 / 0 }}
{{ 1 < 2 < 3 }}
{{ 1 < 2 > 3 }}
{{ 1 == 1 == 1 }}
{{ not 1 == 2 }}
{{ "a" < "b" }}
{{ [1,2] < [1,3] }}
{{ "a" not in "abc" }}
{{ "k" in {"k": 1} }}
{{ 1 in [1.0] }}
{{ (1,2) == [1,2] }}
{{ true == 1 }}
{{ "1" == 1 }}
{{ none == false }}
{{ 'a' 'b' "c" }}
{{ "\\x41\\u00e9\\U0001F642\\101\\t|" }}
{{ "\\'" }}
{{ '\\\\n' }}
{{ "\\q" }}
{{ "a\\
b" }}
{{ "\\a\\b\\f\\v\\0" | tojson }}
{{ true }}
{{ True }}
{{ none }}
{{ None }}
{{ false }}
{{ [1, "a", 'it''s', none, {"a": 'x"y'}] }}
{{ (1,) }}
{{ () }}
{{ {} }}
{{ [] }}
{{ "\xe9\\n" }}
{{ ["\xe9\\n\\t\\\\\\x00"] }}
{{ {"a": 1, "b": [1, (2, 3)], 3: none, none: 4} }}
{% set x = 1 %}{% for i in [1,2] %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }} {% set a, b = 1, 2 %}{{ a }}{{ b }} {% set t = 1, 2 %}{{ t }} {% set y %}blk {{ x }}{% endset %}{{ y }} {% set z | upper %}low{% endset %}{{ z }}
{% set ns = namespace(a=1, b=[]) %}{% set ns.a = ns.a + 1 %}{% for i in range(3) %}{% set ns.b = ns.b + [i] %}{% endfor %}{{ ns.a }} {{ ns.b }} {{ ns.c }}| {{ ns["a"] }} {{ ns is defined }} {% set ns.d = 1, 2 %}{{ ns.d }} {% set ns.e %}x{{ ns.a }}{% endset %}{{ ns.e }} {% set ns.f = 1 if ns.a else 2 %}{{ ns.f }}
{% set ns = namespace(a=1) %}{{ ns }}
{% set ns = namespace({"a": 1}, b=2) %}{{ ns.a }}{{ ns.b }}
{% set ns = namespace() %}{% set ns._x = 1 %}
{% set ns = namespace(a=1) %}{% for k in ns %}{{ k }}{% endfor %}
{% set d = {} %}{% set d.x = 1 %}
{% for i in "abc" %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle("x","y") }}{{ loop.changed(i) }}{{ loop.depth }}{{ loop.depth0 }};{% endfor %}
{% for i in [1,2,3] if i != 2 %}{{ i }}{{ loop.length }}{{ loop.previtem is defined }}{{ loop.last }}{% else %}none{% endfor %}
{% for k, v in {"a": 1}.items() %}{{ k }}{{ v }}{% endfor %}{% for k in {"a": 1} %}{{ k }}{% endfor %}{% for k, v in {"a": 1} | dictsort %}{{ k }}{{ v }}{% endfor %}{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}
{% for i in [1,[2,[3]]] recursive %}{% if i is iterable %}({{ loop(i) }}){% else %}{{ i }}{% endif %}{% endfor %}
{% for i in range(5) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %} {{ range(2, 8, 3) | list }} {{ range(3)[1] }} {{ range(5)|length }}
{% macro m(a, b=2, *c) %}{{ a }}{% endmacro %}
{% macro outer() %}<{{ caller("x") }}>{% endmacro %}{% call(v) outer() %}in {{ v }}{% endcall %} {% filter upper %}abc{{ 1 }}{% endfilter %} {% filter replace("a", "b") | upper %}abc{% endfilter %}
{% macro m() %}a{% endmacro %}{{ m() + "b" }} {{ m() | upper }} {{ m() == "a" }} {{ m() is string }}
{% macro m() %}{{ x }}{% endmacro %}{% set x = 5 %}{{ m() }}
{% set x = 5 %}{% macro m() %}{{ x }}{{ messages | length }}{% endmacro %}{{ m() }}
{% with a = 1, b = 2 %}{{ a + b }}{% endwith %} {% if 1 %}a{% elif 2 %}b{% else %}c{% endif %} {{ "x" if false }}| {{ "x" if true else "y" }} {{ ("a" if false else "b") ~ "c" }}
{% raw %}{{ x }} {% y %}{% endraw %} {# comment {{ x }} #}{{ "{{ x }}" }} {{ "{% generation %}" }} {{ "}}" }} {{ "%}" }}
{{ dict is defined }}
{{ strftime_now is defined }}
{{ raise_exception is defined }}
{{ loop is defined }}
{{ caller is defined }}
{% include "x" %}
{% import "x" as y %}
{% extends "x" %}
{% block b %}in block{% endblock %}
{% do 1 %}
{% autoescape true %}{{ "<" }}{% endautoescape %}
{{ messages | map(attribute="role") | list }}
{{ messages[0].content.nosuch is defined }}
{{ messages[0]["role"] }}
{{ messages[0].role.upper() }}
{{ messages|length }}
{{ messages[-1].role }}
{{ messages[0] }}
{{ messages | map(attribute="content") | map("length") | sum }}
{% set first, *rest = [1,2,3] %}
{{ messages[0].items() | list }}
{{ messages[0].keys() | list }}
{{ "role" in messages[0] }}
{{ messages[0].get("name", "n") }}
{{ messages[0] | length }}
{{ messages[0] | list }}
{{ [1,2,3] | map("string") | join("") }}
{{ 5 | tojson }}
{{ "a" | tojson }}
{{ none | tojson }}
{{ 1.5 | tojson }}
{{ 3.0 | tojson }}
{{ bos_token }}{{ eos_token }}{{ add_generation_prompt }}{{ tools }}{{ documents }}{{ tools is none }}{{ tools is defined }}
{{ 5.0 // 2 }}
{{ 5 % 2.5 }}
{{ 10 ** 20 }}
{{ 1e3 | int }}
{{ "1e3" | float }}
{{ 1.0 | string }}
{{ 100000.0 * 10 }}
{{ 1/3 }}
{{ "a".upper().lower().strip() }}
{{ " x ".strip().split("x")[0] }}|
{{ "a</think>b".split("</think>")[-1].lstrip("\\n") }}
{{ "x".startswith(("a", "x")) }}
{{ "\\u00a0x\\u2003".strip() }}|
{{ "\\x1fx\\x1c".strip() | tojson }}
{{ "x\\u200b".strip() | tojson }}
{{ "\\x85x".strip() | tojson }}
{{ "\\x1fx" | trim | tojson }}
{{ "a\\x1cb".split() }}
{{ "\u0391\u03a3".lower() }}
{{ "\xdf".upper() }}
{{ "\ufb01".capitalize() }}
{{ "\u0130".lower() | length }}
{{ {"a": {"b": 1}}.a.b }}
{{ {"a": 1}.a }}
{{ {"get": 1}["get"] }}
{{ "x".__class__ }}|
{{ messages.__class__ }}|
{{ [].__len__() }}
{{ {"a": 1}["b"] is defined }}
{{ {"a": 1}.b is defined }}
{{ {"a": none}.a is defined }}
{{ {"a": none}.a is not none }}
{{ foo(1) }}
{{ 1(2) }}
{{ "a"|upper|lower }}
{{ -1|abs }}
{{ (-1)|abs }}
{{ "a" ~ 1 + 2 }}
{{ 1 + 2 ~ "a" }}
{{ 2 + 3 * 4 ** 2 }}
{{ not true or true }}
{{ 1 if 0 else 2 if 0 else 3 }}
{{ 1 in [1] and 2 in [2] }}
{{ "a" in ["a"] == true }}
{{ strftime_now("%Y") | length }}
{{ raise_exception("boom") }}
{{ [x for x in [1]] }}
{{ lambda: 1 }}
{% set x = "a" -%}   {{ x }}   {%- set y = 1 +%}
{{ {"a": 1, **{"b": 2}} }}
{{ [*[1], 2] }}
{{ m(*[1, 2]) if false }}|{% macro m(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ m(*[1, 2]) }} {{ m(**{"a": 3, "b": 4}) }}
{% if messages %}yes{% endif %} {% if "" %}no{% endif %} {% if [] %}no{% endif %} {% if 0.0 %}no{% endif %} {% if {} %}no{% endif %} {% if () %}no{% endif %} {% if " " %}sp{% endif %} {% if namespace() %}ns{% endif %} {% if range(0) %}no{% endif %}
{{ messages == messages }}
{{ messages[:1] == messages }}
{{ {"a": 1} == {"a": 1} }}
{{ [1, [2]] == [1, [2]] }}
{{ {"a": 1, "b": 2} == {"b": 2, "a": 1} }}
{{ "abc"|list|last }}
{{ [[1, 2], [3]] | sum(start=[]) }}
{{ [1,2,3]|sum / 3 }}
{{ "abc" | batch(2) | list }}
{{ "%.3f" % 0.5 }}
{{ "%5s" % "ab" }}|
{{ "%+d" % 3 }}
{{ "%e" % 12345.678 }}
{{ "%g" % 0.0001 }}
{{ "%c" % "x" }}
{{ "%o" % 8 }}
{{ "%X" % 255 }}
{{ "%#x" % 255 }}
{{ "%.2s" % "abc" }}
{{ "a %" % () }}
{{ "plain" % () }}
{{ "plain" % {} }}
{{ "plain" % 1 }}
a\r\nb\r\n
a\rb\r
{% if true %}\r\nx\r\n{% endif %}\r\ny
x\n\n
x\n
x\r\n\r\n
{{ 'a\r\nb' }}
{# c #}\r\nz
{% if true -%}\r\n  x  \r\n{%- endif %}
{{ 'a' 'b' }}
  {% if true %}  \n x\n  {% endif %}\ny
\t{%+ if true %}x{% endif +%}\ny
{%- if true -%}\n x \n{%- endif -%}\n z
{{- 1 -}}  \n  2 {#- c -#}  3
  {# c #}\n  x
{{ 1 }}\n{{ 2 }}\n
{{ 1 -}}\n\n{{ 2 }}
a {%- raw -%} {{ x }} {%- endraw -%} b
{% raw %}\n x\n{% endraw %}\ny
{% generation %}x{% endgeneration %}
{% for m in messages %}{% generation %}{{ m.content }}{% set q = 1 %}{% endgeneration %}{{ q }}|{% endfor %}
{%- generation -%}  y  {%- endgeneration -%}
{% generation %}\n  y\n{% endgeneration %}\nz
{%+ generation %}x{%+ endgeneration %}
{% set ns = namespace() %}{% generation %}{% set ns.x = 1 %}{% endgeneration %}{{ ns.x }}
{% for i in [1] %}{% generation %}{{ loop.index }}{% break %}{% endgeneration %}{% endfor %}
{{ 1\n+\n2 }}
{%\nif true\n%}x{%\nendif\n%}
{{1}}{{'a'}}
{% if true %}{# c #}{% endif %}\n\n\nx
x{%- set a = 1 %}\ny
x\n{%- set a = 1 %}\n\ny
{{ '' }}\nx
\n{% set a = 1 %}\n
  \n  {%- if true %} a {% endif -%}  \n  
{% set x = 1 %}  \n  {{ x }}
\ufeffx
x\u2028{% if true %}y{% endif %}
\xa0{% if true %}y{% endif %}
\x0b{% if true %}y{% endif %}
a\x0c {%- if true %}y{% endif %}
\xa0{%- if true %}y{% endif %}
\u200b{%- if true %}y{% endif %}
#{ x }
{{ '{' }}{ }
{ {x} }
{% if true %}a{% endif %}{% if true %}\nb{% endif %}
{%- set ns = namespace(x=false) -%}\n{%- for m in messages -%}\n    {%- if m.role == 'user' and not ns.x -%}\n        {%- set ns.x = true -%}\n    {%- endif -%}\n{%- endfor -%}\n{{- ns.x -}}
{# {% generation %} #}x
{% raw %}{% generation %}{% endraw %}
{{ '{% set ns.x = 1 %}' }}
{{ 1 | abs() }}
{{ 1 | abs(nosuch=1) }}
{{ [1] | batch(1) | list }}
{{ [1] | batch(1, nosuch=1) | list }}
{{ "a" | capitalize() }}
{{ "a" | capitalize(nosuch=1) }}
{{ [1] | count() }}
{{ [1] | count(nosuch=1) }}
{{ "a" | d() }}
{{ "a" | d(nosuch=1) }}
{{ "a" | default() }}
{{ "a" | default(nosuch=1) }}
{{ {"a":1} | dictsort() }}
{{ {"a":1} | dictsort(nosuch=1) }}
{{ "a" | e() }}
{{ "a" | e(nosuch=1) }}
{{ "a" | escape() }}
{{ "a" | escape(nosuch=1) }}
{{ [1] | first() }}
{{ [1] | first(nosuch=1) }}
{{ "5" | float() }}
{{ "5" | float(nosuch=1) }}
{{ "%s" | format(1) }}
{{ "%s" | format(1, nosuch=1) }}
{{ [{"a":1}] | groupby("a") | list }}
{{ [{"a":1}] | groupby("a", nosuch=1) | list }}
{{ "a" | indent() }}
{{ "a" | indent(nosuch=1) }}
{{ "5" | int() }}
{{ "5" | int(nosuch=1) }}
{{ {"a":1} | items() | list }}
{{ {"a":1} | items(nosuch=1) | list }}
{{ [1] | join() }}
{{ [1] | join(nosuch=1) }}
{{ [1] | last() }}
{{ [1] | last(nosuch=1) }}
{{ [1] | length() }}
{{ [1] | length(nosuch=1) }}
{{ [1] | list() }}
{{ [1] | list(nosuch=1) }}
{{ "a" | lower() }}
{{ "a" | lower(nosuch=1) }}
{{ ["a"] | map("upper") | list }}
{{ ["a"] | map("upper", nosuch=1) | list }}
{{ [1] | max() }}
{{ [1] | max(nosuch=1) }}
{{ [1] | min() }}
{{ [1] | min(nosuch=1) }}
{{ [1] | reject("odd") | list }}
{{ [1] | reject("odd", nosuch=1) | list }}
{{ [{"a":1}] | rejectattr("a") | list }}
{{ "a" | replace("a","b") }}
{{ "a" | replace("a","b", nosuch=1) }}
{{ "a" | reverse() }}
{{ "a" | reverse(nosuch=1) }}
{{ 1.5 | round() }}
{{ 1.5 | round(nosuch=1) }}
{{ "a" | safe() }}
{{ "a" | safe(nosuch=1) }}
{{ [1] | select("odd") | list }}
{{ [1] | select("odd", nosuch=1) | list }}
{{ [{"a":1}] | selectattr("a") | list }}
{{ [1] | slice(1) | list }}
{{ [1] | slice(1, nosuch=1) | list }}
{{ [1] | sort() }}
{{ [1] | sort(nosuch=1) }}
{{ "a" | string() }}
{{ "a" | string(nosuch=1) }}
{{ [1] | sum() }}
{{ [1] | sum(nosuch=1) }}
{{ "a" | title() }}
{{ "a" | title(nosuch=1) }}
{{ "a" | tojson() }}
{{ "a" | tojson(nosuch=1) }}
{{ "a" | trim() }}
{{ "a" | trim(nosuch=1) }}
{{ [1] | unique() | list }}
{{ [1] | unique(nosuch=1) | list }}
{{ "a" | upper() }}
{{ "a" | upper(nosuch=1) }}
{{ 1 is boolean() }}
{{ 1 is defined() }}
{{ (nosuch) is defined }}
{{ (none) is defined }}
{{ ("a") is defined }}
{{ ({}) is defined }}
{{ (()) is defined }}
{{ ([]) is defined }}
{{ (range(2)) is defined }}
{{ (namespace()) is defined }}
{{ (1.5) is defined }}
{{ (messages|map('string')) is defined }}
{{ (true) is defined }}
{{ ({}.items()) is defined }}
{{ 4 is divisibleby(2) }}
{{ 1 is eq(1) }}
{{ 1 is escaped() }}
{{ 1 is even() }}
{{ 1 is false() }}
{{ "upper" is filter() }}
{{ 1 is float() }}
{{ 1 is ge(1) }}
{{ 1 is greaterthan(1) }}
{{ 1 is gt(1) }}
{{ 1 is in([1]) }}
{{ 1 is integer() }}
{{ 1 is iterable() }}
{{ (nosuch) is iterable }}
{{ (none) is iterable }}
{{ ("a") is iterable }}
{{ ({}) is iterable }}
{{ (()) is iterable }}
{{ ([]) is iterable }}
{{ (range(2)) is iterable }}
{{ (namespace()) is iterable }}
{{ (1.5) is iterable }}
{{ (messages|map('string')) is iterable }}
{{ (true) is iterable }}
{{ ({}.items()) is iterable }}
{{ 1 is le(1) }}
{{ 1 is lessthan(1) }}
{{ "a" is lower() }}
{{ 1 is lt(1) }}
{{ 1 is mapping() }}
{{ (nosuch) is mapping }}
{{ (none) is mapping }}
{{ ("a") is mapping }}
{{ ({}) is mapping }}
{{ (()) is mapping }}
{{ ([]) is mapping }}
{{ (range(2)) is mapping }}
{{ (namespace()) is mapping }}
{{ (1.5) is mapping }}
{{ (messages|map('string')) is mapping }}
{{ (true) is mapping }}
{{ ({}.items()) is mapping }}
{{ 1 is ne(1) }}
{{ 1 is none() }}
{{ (nosuch) is none }}
{{ (none) is none }}
{{ ("a") is none }}
{{ ({}) is none }}
{{ (()) is none }}
{{ ([]) is none }}
{{ (range(2)) is none }}
{{ (namespace()) is none }}
{{ (1.5) is none }}
{{ (messages|map('string')) is none }}
{{ (true) is none }}
{{ ({}.items()) is none }}
{{ 1 is number() }}
{{ (nosuch) is number }}
{{ (none) is number }}
{{ ("a") is number }}
{{ ({}) is number }}
{{ (()) is number }}
{{ ([]) is number }}
{{ (range(2)) is number }}
{{ (namespace()) is number }}
{{ (1.5) is number }}
{{ (messages|map('string')) is number }}
{{ (true) is number }}
{{ ({}.items()) is number }}
{{ 1 is odd() }}
{{ 1 is sameas(1) }}
{{ 1 is sequence() }}
{{ (nosuch) is sequence }}
{{ (none) is sequence }}
{{ ("a") is sequence }}
{{ ({}) is sequence }}
{{ (()) is sequence }}
{{ ([]) is sequence }}
{{ (range(2)) is sequence }}
{{ (namespace()) is sequence }}
{{ (1.5) is sequence }}
{{ (true) is sequence }}
{{ 1 is string() }}
{{ (nosuch) is string }}
{{ (none) is string }}
{{ ("a") is string }}
{{ ({}) is string }}
{{ (()) is string }}
{{ ([]) is string }}
{{ (range(2)) is string }}
{{ (namespace()) is string }}
{{ (1.5) is string }}
{{ (true) is string }}
{{ "odd" is test() }}
{{ 1 is true() }}
{{ 1 is undefined() }}
{{ (nosuch) is undefined }}
{{ (none) is undefined }}
{{ ("a") is undefined }}
{{ ({}) is undefined }}
{{ (()) is undefined }}
{{ ([]) is undefined }}
{{ (range(2)) is undefined }}
{{ (namespace()) is undefined }}
{{ (1.5) is undefined }}
{{ (messages|map('string')) is undefined }}
{{ (true) is undefined }}
{{ ({}.items()) is undefined }}
{{ "a" is upper() }}
{{ "ab".strip(nosuch=1) }}
{{ "ab".strip(1,2,3,4,5) }}
{{ "ab".split(nosuch=1) }}
{{ "ab".split(1,2,3,4,5) }}
{{ "ab".upper(nosuch=1) }}
{{ "ab".upper(1,2,3,4,5) }}
{{ "ab".title(nosuch=1) }}
{{ "ab".title(1,2,3,4,5) }}
{{ "ab".replace(nosuch=1) }}
{{ "ab".replace(1,2,3,4,5) }}
{{ "ab".startswith(nosuch=1) }}
{{ "ab".startswith(1,2,3,4,5) }}
{{ "ab".join(nosuch=1) }}
{{ "ab".join(1,2,3,4,5) }}
{{ "ab".find(nosuch=1) }}
{{ "ab".find(1,2,3,4,5) }}
{{ "ab".count(nosuch=1) }}
{{ "ab".count(1,2,3,4,5) }}
{{ "ab".splitlines(nosuch=1) }}
{{ "ab".splitlines(1,2,3,4,5) }}
{{ range(1,2,3,4) }}
{{ range(nosuch=1) }}
{{ range() }}
{{ range(1.5) }}
{{ range("a") }}
{{ {}.get() }}
{{ {}.get(1,2,3) }}
{{ {}.get(nosuch=1) }}
{{ {}.items(1) }}
{{ raise_exception() }}
{{ strftime_now() }}
{{ strftime_now('%Y', 1) }}
{{ dict(1) }}
{{ namespace(1) }}
{% for x in 'abc' %}{{ loop.index }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.previtem }}{{ loop.nextitem }}|{{ x }};{% endfor %}
{{ ('abc') | last }}
{{ ('abc')[0] }}
{{ ('abc') is string }}{{ ('abc') is mapping }}{{ ('abc') is sequence }}{{ ('abc') is iterable }}
{% set x = 'abc' %}{% for a in x %}{{ a }}{% endfor %}{% for a in x %}{{ a }}{% endfor %}
{% for x in range(3) %}{{ loop.index }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.previtem }}{{ loop.nextitem }}|{{ x }};{% endfor %}
{{ (range(3)) | last }}
{{ (range(3))[0] }}
{{ 1 in (range(3)) }}
{{ (range(3)) is string }}{{ (range(3)) is mapping }}{{ (range(3)) is sequence }}{{ (range(3)) is iterable }}
{% set x = range(3) %}{% for a in x %}{{ a }}{% endfor %}{% for a in x %}{{ a }}{% endfor %}
{% for x in {'a':1,'b':2} %}{{ loop.index }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.previtem }}{{ loop.nextitem }}|{{ x }};{% endfor %}
{{ ({'a':1,'b':2}) | last }}
{{ ({'a':1,'b':2})[0] }}
{{ 1 in ({'a':1,'b':2}) }}
{{ ({'a':1,'b':2}) is string }}{{ ({'a':1,'b':2}) is mapping }}{{ ({'a':1,'b':2}) is sequence }}{{ ({'a':1,'b':2}) is iterable }}
{% set x = {'a':1,'b':2} %}{% for a in x %}{{ a }}{% endfor %}{% for a in x %}{{ a }}{% endfor %}
{% for x in {'a':1,'b':2}.items() %}{{ loop.index }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.previtem }}{{ loop.nextitem }}|{{ x }};{% endfor %}
{{ ({'a':1,'b':2}.items()) | last }}
{{ 1 in ({'a':1,'b':2}.items()) }}
{% set x = {'a':1,'b':2}.items() %}{% for a in x %}{{ a }}{% endfor %}{% for a in x %}{{ a }}{% endfor %}
{% for x in [1,2]|map('string') %}{{ loop.index }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.previtem }}{{ loop.nextitem }}|{{ x }};{% endfor %}
{{ 1 in ([1,2]|map('string')) }}
{% for x in [1,2]|reverse %}{{ loop.index }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.previtem }}{{ loop.nextitem }}|{{ x }};{% endfor %}
{{ 1 in ([1,2]|reverse) }}
{% for x in [1,2,3]|batch(2) %}{{ loop.index }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.previtem }}{{ loop.nextitem }}|{{ x }};{% endfor %}
{{ 1 in ([1,2,3]|batch(2)) }}
{% for x in [1,2]|select('odd') %}{{ loop.index }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.previtem }}{{ loop.nextitem }}|{{ x }};{% endfor %}
{{ 1 in ([1,2]|select('odd')) }}
{% for x in messages %}{{ loop.index }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.previtem }}{{ loop.nextitem }}|{{ x }};{% endfor %}
{{ (messages) | last }}
{{ (messages)[0] }}
{{ 1 in (messages) }}
{{ (messages) is string }}{{ (messages) is mapping }}{{ (messages) is sequence }}{{ (messages) is iterable }}
{% set x = messages %}{% for a in x %}{{ a }}{% endfor %}{% for a in x %}{{ a }}{% endfor %}
{% for x in messages[1:] %}{{ loop.index }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.previtem }}{{ loop.nextitem }}|{{ x }};{% endfor %}
{{ (messages[1:]) | last }}
{{ (messages[1:])[0] }}
{{ 1 in (messages[1:]) }}
{{ (messages[1:]) is string }}{{ (messages[1:]) is mapping }}{{ (messages[1:]) is sequence }}{{ (messages[1:]) is iterable }}
{% set x = messages[1:] %}{% for a in x %}{{ a }}{% endfor %}{% for a in x %}{{ a }}{% endfor %}
{% for x in (1,2) %}{{ loop.index }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.previtem }}{{ loop.nextitem }}|{{ x }};{% endfor %}
{{ ((1,2)) | last }}
{{ ((1,2))[0] }}
{{ 1 in ((1,2)) }}
{{ ((1,2)) is string }}{{ ((1,2)) is mapping }}{{ ((1,2)) is sequence }}{{ ((1,2)) is iterable }}
{% set x = (1,2) %}{% for a in x %}{{ a }}{% endfor %}{% for a in x %}{{ a }}{% endfor %}
{% for x in {'a':1}|dictsort %}{{ loop.index }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.previtem }}{{ loop.nextitem }}|{{ x }};{% endfor %}
{{ ({'a':1}|dictsort) | last }}
{{ ({'a':1}|dictsort)[0] }}
{{ 1 in ({'a':1}|dictsort) }}
{{ ({'a':1}|dictsort) is string }}{{ ({'a':1}|dictsort) is mapping }}{{ ({'a':1}|dictsort) is sequence }}{{ ({'a':1}|dictsort) is iterable }}
{% set x = {'a':1}|dictsort %}{% for a in x %}{{ a }}{% endfor %}{% for a in x %}{{ a }}{% endfor %}
{% for x in [1,2]|list %}{{ loop.index }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.previtem }}{{ loop.nextitem }}|{{ x }};{% endfor %}
{{ ([1,2]|list) | last }}
{{ ([1,2]|list)[0] }}
{{ 1 in ([1,2]|list) }}
{{ ([1,2]|list) is string }}{{ ([1,2]|list) is mapping }}{{ ([1,2]|list) is sequence }}{{ ([1,2]|list) is iterable }}
{% set x = [1,2]|list %}{% for a in x %}{{ a }}{% endfor %}{% for a in x %}{{ a }}{% endfor %}
{% for x in 'ab'|list %}{{ loop.index }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.previtem }}{{ loop.nextitem }}|{{ x }};{% endfor %}
{{ ('ab'|list) | last }}
{{ ('ab'|list)[0] }}
{{ ('ab'|list) is string }}{{ ('ab'|list) is mapping }}{{ ('ab'|list) is sequence }}{{ ('ab'|list) is iterable }}
{% set x = 'ab'|list %}{% for a in x %}{{ a }}{% endfor %}{% for a in x %}{{ a }}{% endfor %}
{% for x in 'a b'.split() %}{{ loop.index }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.previtem }}{{ loop.nextitem }}|{{ x }};{% endfor %}
{{ ('a b'.split()) | last }}
{{ ('a b'.split())[0] }}
{{ ('a b'.split()) is string }}{{ ('a b'.split()) is mapping }}{{ ('a b'.split()) is sequence }}{{ ('a b'.split()) is iterable }}
{% set x = 'a b'.split() %}{% for a in x %}{{ a }}{% endfor %}{% for a in x %}{{ a }}{% endfor %}
{% for x in messages|selectattr('role','equalto','user') %}{{ loop.index }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.previtem }}{{ loop.nextitem }}|{{ x }};{% endfor %}
{{ 1 in (messages|selectattr('role','equalto','user')) }}
{% for x in [1,1]|unique %}{{ loop.index }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.previtem }}{{ loop.nextitem }}|{{ x }};{% endfor %}
{{ 1 in ([1,1]|unique) }}
{% for x in {'a':1}.keys() %}{{ loop.index }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.previtem }}{{ loop.nextitem }}|{{ x }};{% endfor %}
{{ ({'a':1}.keys()) | last }}
{{ 1 in ({'a':1}.keys()) }}
{% set x = {'a':1}.keys() %}{% for a in x %}{{ a }}{% endfor %}{% for a in x %}{{ a }}{% endfor %}
{% for x in {'a':1}.values() %}{{ loop.index }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.previtem }}{{ loop.nextitem }}|{{ x }};{% endfor %}
{{ ({'a':1}.values()) | last }}
{{ 1 in ({'a':1}.values()) }}
{% set x = {'a':1}.values() %}{% for a in x %}{{ a }}{% endfor %}{% for a in x %}{{ a }}{% endfor %}
{% for x in [3,1]|sort %}{{ loop.index }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.previtem }}{{ loop.nextitem }}|{{ x }};{% endfor %}
{{ ([3,1]|sort) | last }}
{{ ([3,1]|sort)[0] }}
{{ 1 in ([3,1]|sort) }}
{{ ([3,1]|sort) is string }}{{ ([3,1]|sort) is mapping }}{{ ([3,1]|sort) is sequence }}{{ ([3,1]|sort) is iterable }}
{% set x = [3,1]|sort %}{% for a in x %}{{ a }}{% endfor %}{% for a in x %}{{ a }}{% endfor %}
{% for x in 'ab'|reverse %}{{ loop.index }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.previtem }}{{ loop.nextitem }}|{{ x }};{% endfor %}
{% for x in {'a':1}|items %}{{ loop.index }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.previtem }}{{ loop.nextitem }}|{{ x }};{% endfor %}
{{ 1 in ({'a':1}|items) }}
{% for x in [1,2,3][::-1] %}{{ loop.index }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.previtem }}{{ loop.nextitem }}|{{ x }};{% endfor %}
{{ ([1,2,3][::-1]) | last }}
{{ ([1,2,3][::-1])[0] }}
{{ 1 in ([1,2,3][::-1]) }}
{{ ([1,2,3][::-1]) is string }}{{ ([1,2,3][::-1]) is mapping }}{{ ([1,2,3][::-1]) is sequence }}{{ ([1,2,3][::-1]) is iterable }}
{% set x = [1,2,3][::-1] %}{% for a in x %}{{ a }}{% endfor %}{% for a in x %}{{ a }}{% endfor %}
{% for x in 'abc'[1:] %}{{ loop.index }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.previtem }}{{ loop.nextitem }}|{{ x }};{% endfor %}
{{ ('abc'[1:]) | last }}
{{ ('abc'[1:])[0] }}
{{ ('abc'[1:]) is string }}{{ ('abc'[1:]) is mapping }}{{ ('abc'[1:]) is sequence }}{{ ('abc'[1:]) is iterable }}
{% set x = 'abc'[1:] %}{% for a in x %}{{ a }}{% endfor %}{% for a in x %}{{ a }}{% endfor %}
{% for x in loop_list|default([1,2]) %}{{ loop.index }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.previtem }}{{ loop.nextitem }}|{{ x }};{% endfor %}
{{ (loop_list|default([1,2])) | last }}
{{ (loop_list|default([1,2]))[0] }}
{{ 1 in (loop_list|default([1,2])) }}
{{ (loop_list|default([1,2])) is string }}{{ (loop_list|default([1,2])) is mapping }}{{ (loop_list|default([1,2])) is sequence }}{{ (loop_list|default([1,2])) is iterable }}
{% set x = loop_list|default([1,2]) %}{% for a in x %}{{ a }}{% endfor %}{% for a in x %}{{ a }}{% endfor %}
'''
CHAT = [dict(role="system", content="Be."), dict(role="user", content="Hi"), dict(role="assistant", content="Yo</think>x")]


def rendered(template):
    try:
        return render_jinja_template([CHAT], chat_template=template, add_generation_prompt=True, bos_token="<s>", eos_token="</s>")[0][0]
    except Exception:
        return None


templates = [line.encode().decode("unicode_escape") for line in TEMPLATES.strip().split("\n")]
print("[" + ",\n".join(json.dumps([template, rendered(template)]) for template in templates) + "]")
