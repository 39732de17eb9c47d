"""Conversations through chat templates of the usual shapes, rendered by transformers: templates.json.

    pip install transformers jinja2; python3 make_templates.py > templates.json
"""
import json
from transformers.utils.chat_template_utils import render_jinja_template

TEMPLATES = dict(
    chatml="{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    llama2="{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}",
    llama3="""{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined and false %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("This model only supports single tool-calls at once!") }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
""",
    zephyr="""{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}""",
    python="""{%- set ns = namespace(users=0, last=none) -%}
{%- for message in messages -%}
  {%- if message.role == 'system' -%}{%- continue -%}{%- endif -%}
  {%- if message.role == 'user' -%}{%- set ns.users = ns.users + 1 -%}{%- endif -%}
  {%- set ns.last = message['content'].split('\n')[-1].upper().lstrip() -%}
  {{ loop.index }}:{{ message.get('name', 'nobody') }}:{{ message | tojson }}:{{ message.items() | list | length }}
{% endfor %}
{{ ns.users }} {{ ns.last }} {{ none }} {{ true }} {{ messages | tojson(indent=2) }} {{ messages[::-1][0].content }} {{ '<&>' | tojson }}
{% generation %}x{% endgeneration %}
  {%- generation -%}  y  {%- endgeneration -%}
{% for i in range(9) %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}
{{ "%s-%d" | format("a", 3) }} {{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | join('|') }}
{% macro twice(x) %}{{ x }}{{ x }}{% endmacro %}{{ twice(bos_token) }} {{ 'a' ~ 1 ~ none }} {{ 7 // 2 }} {{ 2 ** 5 }} {{ -7 % 3 }} {{ 'in' if 'x' in 'axb' else 'out' }}

""",
)
CHATS = [
    [("user", "Hello!")],
    [("user", "  Two\n lines <b>&</b> \n")],
    [("system", "Be brief. "), ("user", "Why?"), ("assistant", " Because. "), ("user", "Grüße 🙂")],
]
rows = []
for name, template in TEMPLATES.items():
    for chat in CHATS:
        messages = [dict(role=role, content=content) for role, content in chat]
        for prompt in (True, False):
            text = render_jinja_template([messages], chat_template=template, add_generation_prompt=prompt, bos_token="<s>", eos_token="</s>")[0][0]
            rows.append(json.dumps(dict(name=name, template=template, messages=messages, add_generation_prompt=prompt, rendered=text)))
print("[\n" + ",\n".join(rows) + "\n]")
