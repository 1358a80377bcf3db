"""Chats as Python's transformers and jinja2 write them: python make_chats.py [templates.jsonl output.json]

Without arguments: chats.json, of the templates beside this file (each written anew, in the form that the named models
take), and snippets.json, of small expressions. With arguments: the cases of other templates, a JSON object with "name" and
"template" a line.
"""
import hashlib
import json
import pathlib
import sys

from transformers.utils.chat_template_utils import _compile_jinja_template, render_jinja_template

here = pathlib.Path(__file__).parent

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Says what the weather is like — “now”.",
            "parameters": {
                "type": "object",
                "properties": {
                    "place": {"type": "string", "description": "A city <b>&'s</b> name"},
                    "unit": {"type": "string", "enum": ["C", "F"]},
                    "days": {"type": "integer", "default": 1.5},
                },
                "required": ["place"],
            },
            "return": {"type": "string"},
        },
    },
    {
        "type": "function",
        "function": {
            "name": "list_all",
            "description": "Without parameters.",
            "parameters": {"type": "object", "properties": {}},
        },
    },
]


def message(role, content, **more):
    return {"role": role, "content": content, **more}


CALL = {"type": "function", "id": "abcdef123", "function": {"name": "weather", "arguments": {"place": "Köln", "days": 2}}}
CHATS = {
    "question": [message("user", "Hi, who are you?")],
    "system": [message("system", "You are kind."), message("user", "Hello there")],
    "two turns": [
        message("system", " Answer  briefly.\n"), message("user", "What is 1 < 2 & 3?\n\n"),
        message("assistant", "  It is true.  "), message("user", "It’s \"so\" 'nice' 🙂 漢字\té"),
    ],
    "ends with an answer": [
        message("user", "a"), message("assistant", "b"), message("user", "c"), message("assistant", "d\n"),
    ],
    "thinking": [
        message("user", "2+2?"), message("assistant", "<think>\nEasy.\n</think>\n\n4"), message("user", "3+3?"),
        message("assistant", "<think>\nEasy too.\n</think>\n\n6"),
    ],
    "reasoning content": [
        message("user", "2+2?"), message("assistant", "4", reasoning_content="Easy."), message("user", "And 3+3?"),
    ],
    "tool call": [
        message("user", "Weather in Köln?"), message("assistant", "", tool_calls=[CALL]),
        message("tool", "{\"sky\": \"rain\"}", name="weather", tool_call_id="abcdef123"),
    ],
    "tool call, answered": [
        message("system", "Use tools."), message("user", "Weather in Köln?"),
        message("assistant", "Let me see.", tool_calls=[CALL]),
        message("tool", "rain", name="weather", tool_call_id="abcdef123"), message("assistant", "It rains."),
        message("user", "Thanks!"),
    ],
    "parts": [message("user", [{"type": "text", "text": "Hello"}, {"type": "text", "text": " you"}])],
    "no content": [message("user", "x"), message("assistant", None, tool_calls=[CALL])],
    "two users": [message("user", "one"), message("user", "two")],
    "assistant first": [message("assistant", "Hello!"), message("user", "Hi")],
    "unknown role": [message("user", "a"), message("critic", "b")],
    "empty texts": [message("system", ""), message("user", ""), message("assistant", "")],
}
TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}


def variants(name):
    yield {"add_generation_prompt": True}
    yield {"add_generation_prompt": False}
    if "tool" in name or name in ("question", "system"):
        yield {"add_generation_prompt": True, "tools": True}
    if name in ("question", "thinking", "two turns"):
        yield {"add_generation_prompt": True, "enable_thinking": False}


def render(template, chat, options):
    options = {**TOKENS, **options, **({"tools": TOOLS} if "tools" in options else {})}
    normal = [{key: value for key, value in m.items() if value is not None} for m in chat]
    try:
        texts, spans = render_jinja_template(
            [normal], chat_template=template, return_assistant_tokens_mask=True, **options)
        return {"text": texts[0], "generations": [list(span) for span in spans[0]]}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def cases(templates):
    result = []
    for name, template in templates.items():
        for chat in CHATS:
            for options in variants(chat):
                outcome = render(template, CHATS[chat], options)
                if not outcome.get("generations"):
                    outcome.pop("generations", None)
                result.append({"template": name, "chat": chat, "options": options, **outcome})
    return {"templates": templates, "chats": CHATS, "tokens": TOKENS, "tools": TOOLS, "cases": result}


VALUES = {
    "s": "Hello wörld, it's a \"test\"\n second", "sp": "  \t x y \n", "n": 7, "m": -3, "f": 2.5, "big": 1e16, "small": 1e-5,
    "third": 1 / 3, "t": True, "no": False, "nil": None, "l": [3, 1, 2], "e": [], "d": {"b": 1, "a": [1, "x", None]},
    "users": [{"name": "Ann", "age": 30, "tags": ["x"]}, {"name": "bob", "age": 25}, {"name": "Cid", "age": 30}],
    "nested": {"a": {"b": {"c": [10, 20]}}}, "uni": "漢字🙂é e\u0301 ½ ß Å", "quote": "it's", "both": "it's \"x\"",
    "items": {"items": 1, "keys": 2},
}

SNIPPETS = r"""
{{ s }}|{{ n }}|{{ f }}|{{ t }}|{{ nil }}|{{ l }}|{{ d }}|{{ e }}
{{ big }} {{ small }} {{ third }} {{ 1e22 }} {{ 123456789.123 }} {{ 1.0 }} {{ 100000.0 }} {{ 1e15 }} {{ 0.1 + 0.2 }} {{ -0.0 }} {{ 5e-324 }}
{{ [quote, both, uni, "\n\t\\", "\x00\x7f"] }}
{{ (1,) }} {{ () }} {{ (1, 2) }} {{ {1: 2, 'a': none} }} {{ [true, none, 1.5] }}
{{ 7 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ -2 ** 2 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }}
{{ 1 + 2 * 3 - 4 }} {{ (1 + 2) * 3 }} {{ 2 ~ 3 ~ 'x' ~ none ~ 1.5 }} {{ 'a' 'b' }} {{ 'ab' * 3 }} {{ [1] * 2 + [3] }} {{ true + 1 }}
{{ 1 < 2 < 3 }} {{ 1 < 2 > 3 }} {{ 1 == 1.0 }} {{ true == 1 }} {{ 'a' == 1 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ none == none }} {{ [1] == (1,) }}
{{ 'ell' in 'hello' }} {{ 3 in l }} {{ 4 not in l }} {{ 'a' in d }} {{ not 1 in l }} {{ '' in 'x' }} {{ 1 in missing }}
{{ 'yes' if n > 3 else 'no' }} {{ 'x' if false }}| {{ (missing or 'd') }} {{ 0 or '' or 'z' }} {{ 1 and 2 }} {{ not '' }} {{ n and none }}
{{ l[0] }} {{ l[-1] }} {{ l[5] }}| {{ l[1:] }} {{ l[:-1] }} {{ l[::-1] }} {{ l[::2] }} {{ l[5:] }} {{ l[-2:9] }} {{ s[0] }} {{ s[-1] }} {{ s[:5] }} {{ s[::-2] }} {{ uni[2] }} {{ (1,2,3)[1:] }}
{{ d.b }} {{ d['a'] }} {{ d.missing }}| {{ d['x'] is defined }} {{ nested.a.b.c[1] }} {{ nested['a'].b['c'].0 }} {{ d.get('b') }} {{ d.get('q', 'dflt') }} {{ d.get('q') }}
{{ d.items() | list }} {{ d.keys() | list }} {{ d.values() | list }} {{ items.items() | list }} {{ items['items'] }}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}
{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }} {% endfor %}
{% for x in l if x > 1 %}{{ loop.index }}:{{ x }}{{ ',' if not loop.last }}{% else %}none{% endfor %}{% for x in e %}{% else %}empty{% endfor %}
{% for x in 'héy' %}{{ x }}-{% endfor %}{% for x in d %}{{ x }}{% endfor %}{% for x in missing %}x{% endfor %}
{% for a, (b, c) in [(1, (2, 3)), (4, (5, 6))] %}{{ a }}{{ b }}{{ c }} {% endfor %}
{% for x in range(5) %}{% if x == 1 %}{% continue %}{% endif %}{% if x == 3 %}{% break %}{% endif %}{{ x }}{% endfor %}
{% for x in [1,[2,[3]]] recursive %}{% if x is sequence %}({{ loop(x) }}){% else %}{{ x }}@{{ loop.depth }}{% endif %}{% endfor %}
{% for x in l %}{{ loop.cycle('a', 'b') }}{{ loop.changed(x > 1) }}{% endfor %}
{% set x = 1 %}{% for i in l %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}
{% set ns = namespace(x=1, y='q') %}{% for i in l %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}{{ ns.y }}{{ ns.z is defined }}
{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set c = 1, 2 %}{{ c }}{% if true %}{% set q = 5 %}{% endif %}{{ q }}
{% set block %}  in {{ n }} {% endset %}[{{ block }}]{% set up | upper | trim %} abc {% endset %}[{{ up }}]
{% macro m(a, b='x', c=none) %}<{{ a }}{{ b }}{{ c }}{{ varargs }}{{ kwargs }}>{% endmacro %}{{ m(1) }}{{ m(1, 2, 3, 4) }}{{ m(b=2, a=1, z=3) }}{{ m() }}
{% macro inner(x) %}{% if x > 0 %}{{ x }}{{ inner(x - 1) }}{% endif %}{% endmacro %}{{ inner(3) }}{{ inner.name }}
{% set z = 5 %}{% macro g() %}{{ z }}{% endmacro %}{% set z = 6 %}{{ g() }}{% for i in [1] %}{% set z = 7 %}{{ g() }}{% endfor %}
{% macro w(t) %}[{{ t }}:{{ caller('v') }}]{% endmacro %}{% call(p) w('q') %}body {{ p }}{{ n }}{% endcall %}
{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a is defined }}
{% filter upper %}abc {{ s }}{% endfilter %}
{% raw %}{{ not }} {% if %}{% endraw %}{# comment {{ x }} #}x
{{ '{{' }} {{ '%}' }} {{ {'a': {'b': 1}} }} {{ {'a': {'b': 1}}['a']['b'] }}
{{ s | upper }} {{ s | lower }} {{ s | title }} {{ s | capitalize }} {{ s.title() }} {{ s.capitalize() }} {{ s.upper() }} {{ s.swapcase() }} {{ uni.upper() }}
[{{ sp | trim }}][{{ sp.strip() }}][{{ sp.lstrip() }}][{{ sp.rstrip() }}][{{ 'xxaxx'.strip('x') }}][{{ 'xyaxy'.lstrip('yx') }}][{{ 'abc'.rstrip('c') }}][{{ 'xax' | trim('x') }}]
{{ s.split() }} {{ s.split(' ') }} {{ s.split(' ', 1) }} {{ 'a,b,,c'.split(',') }} {{ 'a,b,c'.rsplit(',', 1) }} {{ ' a  b '.split() }} {{ ' a  b c '.split(none, 1) }} {{ ' a  b c '.rsplit(none, 1) }} {{ 'abc'.split('x') }} {{ ''.split() }} {{ ''.split(',') }}
{{ 'a</think>b</think>c'.split('</think>')[-1].lstrip('\n') }} {{ 'a\nb\r\nc\n'.splitlines() }} {{ 'a\nb'.splitlines(true) }}
{{ s.startswith('Hell') }} {{ s.endswith('second') }} {{ s.startswith(('x', 'H')) }} {{ s.startswith('') }} {{ s.find('w') }} {{ s.rfind('s') }} {{ s.find('zz') }} {{ s.count('e') }} {{ 'abc'.index('c') }}
{{ s.replace('l', 'L') }} {{ s.replace('l', 'L', 1) }} {{ s | replace('o', '0') }} {{ 'aaa'.replace('', '-') }} {{ 'ab' | replace('a', 'b') | replace('b', 'c') }}
{{ ', '.join(['a', 'b']) }} {{ l | join('-') }} {{ l | join }} {{ users | join(', ', attribute='name') }} {{ [1, none, true] | join('|') }}
{{ 'abc'.zfill(5) }} {{ '-5'.zfill(4) }} {{ 'a'.ljust(3, '.') }} {{ 'a'.rjust(3) }} {{ 'ab'.center(5, '*') }} {{ 'abc'.removeprefix('a') }} {{ 'abc'.removesuffix('bc') }} {{ 'a=b=c'.partition('=') }} {{ 'a=b=c'.rpartition('=') }}
{{ '12'.isdigit() }} {{ 'a1'.isalnum() }} {{ 'ab'.isalpha() }} {{ ' '.isspace() }} {{ 'AB'.isupper() }} {{ 'ab'.islower() }} {{ ''.isdigit() }} {{ '½'.isnumeric() }} {{ '½'.isdigit() }}
{{ '{} {}'.format(1, 'x') }} {{ '{0}{1}{0}'.format('a', 'b') }} {{ '{a:>5}|{b:.2f}|{c:05d}|{d:,}'.format(a='x', b=2.345, c=42, d=1234567) }} {{ '{{}}'.format() }} {{ '{:^7}|{:<4}|{:x}'.format('mid', 'l', 255) }}
{{ '%s is %d and %.2f' % ('x', 5, 1.239) }} {{ '%5s|%-5s|%05d|%x|%%' % ('a', 'b', 42, 255) }} {{ '%s' % l }} {{ '%(a)s' % {'a': 3} }} {{ '%r' % quote }} {{ '%s and %s' | format('a', 2) }}
{{ l | length }} {{ s | length }} {{ uni | length }} {{ d | count }} {{ missing | length }} {{ e | length }}
{{ missing | default('x') }} {{ nil | default('x') }} {{ nil | default('x', true) }} {{ '' | d('y', boolean=true) }} {{ missing | default }}| {{ missing.x is defined if (missing is defined) else 'no' }}
{{ l | first }} {{ l | last }} {{ l | sort }} {{ l | sort(reverse=true) }} {{ l | reverse | list }} {{ 'abc' | reverse }} {{ l | max }} {{ l | min }} {{ l | sum }} {{ e | first is defined }} {{ ['b', 'A', 'c'] | sort }} {{ ['b', 'A', 'c'] | sort(case_sensitive=true) }}
{{ users | map(attribute='name') | list }} {{ users | map(attribute='tags', default='none') | list }} {{ l | map('string') | list }} {{ ['a', 'b'] | map('upper') | join(',') }} {{ users | sum(attribute='age') }} {{ [[1, 2], [3]] | map('length') | list }}
{{ users | selectattr('age', 'equalto', 30) | map(attribute='name') | list }} {{ users | selectattr('tags') | list | length }} {{ users | rejectattr('age', '>', 26) | list }} {{ users | selectattr('tags', 'defined') | list | length }}
{{ l | select('odd') | list }} {{ l | reject('odd') | list }} {{ [0, 1, '', 'a'] | select | list }} {{ ['x', 1] | select('string') | list }} {{ l | select('in', [1, 2]) | list }}
{{ users | sort(attribute='age') | map(attribute='name') | list }} {{ users | sort(attribute='age,name', reverse=true) | map(attribute='name') | list }} {{ users | groupby('age') | list }} {{ users | map(attribute='age') | unique | list }}
{{ d | dictsort }} {{ {'B': 1, 'a': 2} | dictsort }} {{ {'B': 1, 'a': 2} | dictsort(by='value', reverse=true) }} {{ {'B': 1, 'a': 2} | dictsort(true) }} {{ d | items | list }}
{{ [1, 2, 3, 4, 5] | batch(2) | list }} {{ [1, 2, 3, 4, 5] | batch(2, 'x') | list }} {{ [1, 2, 3, 4, 5] | slice(3) | list }} {{ [1, 2, 3, 4] | slice(3, 'x') | list }}
{{ '42' | int }} {{ '4.7' | int }} {{ 'x' | int }} {{ 'x' | int(9) }} {{ 3.9 | int }} {{ '2.5' | float }} {{ 'x' | float }} {{ -3 | abs }} {{ 2.567 | round(2) }} {{ 2.5 | round }} {{ 3.5 | round }} {{ 2.1 | round(0, 'ceil') }} {{ 7 | string }} {{ 7 | float }} {{ ' 8 ' | int }}
{{ s | indent }} {{ s | indent(2, true) }} {{ 'a\n\nb' | indent(3) }} {{ 'a\n\nb\n' | indent(1, blank=true) }} {{ 'a\nb' | indent('> ') }}
{{ d | tojson }} {{ uni | tojson }} {{ both | tojson }} {{ l | tojson(indent=2) }} {{ nested | tojson(indent=4) }} {{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }} {{ uni | tojson(ensure_ascii=true) }} {{ [1, 2] | tojson(separators=(',', ':')) }} {{ {} | tojson(indent=2) }}{{ [] | tojson(indent=2) }}
{{ {'x': 1.0, 'y': 1e20, 'z': none, 'w': true, 1: 2} | tojson }} {{ "</script>&'\"" | tojson }} {{ '\u2028\x1f\x7f' | tojson }}
{{ x is defined }} {{ n is defined }} {{ x is undefined }} {{ nil is none }} {{ t is true }} {{ no is false }} {{ t is boolean }} {{ s is string }} {{ n is number }} {{ f is number }} {{ t is number }} {{ n is integer }} {{ t is integer }} {{ f is float }} {{ d is mapping }} {{ l is mapping }} {{ l is iterable }} {{ s is iterable }} {{ n is iterable }} {{ l is sequence }} {{ d is sequence }} {{ s is sequence }} {{ n is sequence }} {{ x is iterable }} {{ x is sequence }} {{ nil is sequence }}
{{ n is odd }} {{ n is even }} {{ n is divisibleby 7 }} {{ n is divisibleby(2) }} {{ n is eq 7 }} {{ n is ne 7 }} {{ n is gt 3 }} {{ n is ge(7) }} {{ n is lt 3 }} {{ n is in [7] }} {{ 'abc' is lower }} {{ 'ABC' is upper }} {{ range is callable }} {{ n is not none }} {{ n is sameas 7 }} {{ 'upper' is filter }} {{ 'odd' is test }} {{ n is not defined }}
{{ range(3) | list }} {{ range(1, 4) | list }} {{ range(5, 0, -2) | list }} {{ dict(a=1, b=2) }} {{ dict([('x', 1)]) }} {{ dict({'q': 1}, r=2) }}
{{ 'a"b' }} {{ "a'b" }} {{ 'a\'b' }} {{ '\\n' }} {{ '\n' }} {{ '\u00e9\x41\101' }} {{ 'a\qb' }}
  {% if true %}  
    x
  {% endif %}  
 y
a {%- if true -%}   b   {%- endif -%} c
a
  {%- if true %}
  b
  {%+ endif %}
c {{- ' d ' -}} e
  {# note #}
line
    {{ n }}
  {%- for x in l -%}
    {{ x }}
  {%- endfor %}
end
{% if true +%}
x
{% endif %}
{{ 1 }}{% if n == 7 %}
seven
{%- elif n == 8 %}
eight
{%- else %}
other
{%- endif %}

{{ n.odd is defined }} {{ s.missing }}| {{ l.missing is defined }} {{ nil is not string and n is number }}
{{ missing ~ 'x' }} {{ [missing] }} {{ missing == other }} {{ missing | upper }}| {{ missing | trim }}|
{{ 0x1F }} {{ 1_000 }} {{ 1.5e3 }} {{ 0b101 }} {{ 12.0 }}
{{ "a" in ["a", "b"] and "c" not in "abd" }} {{ 'x' if not (1 == 2) else 'y' }} {{ (n == 7) | string }} {{ (1, 2) | length }} {{ -n | abs }} {{ -(n | abs) }}
{{ s | e }} {{ "<a href='x'>" | escape }} {{ 'a b/ü' | urlencode }} {{ s | safe }} {{ nil | map('upper') | list }}{{ nil | select | list }}
{{ users[0].name.upper()[0] }} {{ users[-1]['name'][::-1] }} {{ (users | first).name }} {{ users | map(attribute='name') | first }} {{ d.a[1] }} {{ d.a[-1] is none }}
{{ [1, 2, 3].index(2) }} {{ [1, 1].count(1) }} {{ (1, 2).count(3) }} {{ d.copy() }} {{ l == l[:] }} {{ d | length > 1 }}
{{ 1 if 0 else 3 if 2 else 4 }} {{ true and false or true }} {{ not true == false }} {{ 1 ~ 2 + 3 }} {{ 2 + 3 ~ 4 }} {{ '5' * 2 ~ 1 }} {{ 10 - 2 - 3 }} {{ 2 ** 3 ** 2 }} {{ 100 / 10 / 2 }}
"""


def snippets():
    import datetime

    result = []
    # Whitespace snippets go over several lines; all others have one.
    lines = SNIPPETS.strip("\n").split("\n")
    start = next(i for i, line in enumerate(lines) if line.startswith("  {% if true %}  "))
    end = next(i for i, line in enumerate(lines) if line.startswith("{{ n.odd is"))
    blocks = lines[:start] + ["\n".join(lines[start:end])] + lines[end:]
    errors = [
        "{{ missing.x }}", "{{ missing + 1 }}", "{{ 1 + 'a' }}", "{{ 1 < 'a' }}", "{{ 1 / 0 }}", "{{ raise_exception('no way') }}",
        "{{ l.append(1) }}", "{{ d.update({}) }}", "{{ x | nofilter }}", "{{ x is notest }}", "{{ missing() }}", "{{ 5() }}",
        "{% for x in 5 %}{% endfor %}", "{% set ns.x = 1 %}", "{% include 'x' %}", "{% if %}", "{{ 1 + }}", "{% for x in l %}",
        "{{ 'a", "{{ [1, }}", "{% unknown %}", "{% endfor %}", "{{ missing | tojson }}", "{{ range(1000000) }}", "{{ 'x' % (1, 2) }}",
        "{% break %}", "{# open", "{% for a, b in [(1, 2, 3)] %}{% endfor %}", "{{ n[0:1] }}", "{{ l | sort(attribute='x.y') }}",
        "{{ namespace(_x=1) }}", "{{ s[0:1:0] }}", "{{ 'a'.split('') }}", "{{ {}['x'].y }}",
    ]
    for text in blocks + errors:
        try:
            result.append({"template": text, "text": _compile_jinja_template(text).render(**VALUES)})
        except Exception as error:
            result.append({"template": text, "error": f"{type(error).__name__}: {error}"})
    moment = datetime.datetime(2024, 3, 5, 7, 8, 9)
    formats = ["%d %b %Y", "%Y-%m-%d", "%B %d, %Y", "%A %H:%M:%S", "%j %y %p %I", "%-d/%m", "", "%%"]
    return {
        "values": VALUES, "cases": result,
        "times": [{"format": text, "text": moment.strftime(text)} for text in formats],
    }


WRITTEN = {"two turns", "tool call, answered"}


def digested(value):
    """Texts of most cases as the first 16 digits of their SHA-256, so that the file stays small."""
    seen = set()
    for case in value["cases"]:
        key = (case["template"], case["chat"])
        if "text" in case and (case["chat"] not in WRITTEN or key in seen):
            case["digest"] = hashlib.sha256(case.pop("text").encode()).hexdigest()[:16]
        seen.add(key)
    return value


def write(path, value):
    pathlib.Path(path).write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace('},{"template"', '},\n{"template"') + "\n", encoding="utf-8")


if len(sys.argv) > 1:
    lines = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8").split("\n")
    read = [json.loads(line) for line in lines if line]
    write(sys.argv[2], cases({item["name"]: item["template"] for item in read}))
else:
    files = sorted((here / "templates").glob("*.jinja"))
    write(here / "chats.json", digested(cases({file.stem: file.read_text(encoding="utf-8") for file in files})))
    write(here / "snippets.json", snippets())
