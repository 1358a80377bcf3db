"""Which tokens transformers takes for the assistant's, by templates that mark them with {% generation %}: python make_masks.py

Writes masks.json: by template, tokenizer and conversation the ids of `apply_chat_template` and its `assistant_masks`, as runs
[first, end). Made with transformers 5.24.0.
"""
import json
import pathlib

from transformers import PreTrainedTokenizerFast

here = pathlib.Path(__file__).parent
models = here.parent / "models"


def marked(head, opening, ending, others):
    """A template that writes turns one after another, of the assistant's what it says and the token that ends it."""
    return (
        head + "{% for message in messages %}" + opening + "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] }}"
        + ending + "{% endgeneration %}{% else %}{{ message['content'] }}" + others + "{% endif %}{% endfor %}")


TEMPLATES = {
    "chatml-generation": (here / "templates/chatml-generation.jinja").read_text(),
    "phi marked": marked("<s>", "{{ '<|' + message['role'] + '|>' }}", "<|end|>", "<|end|>"),
    "zephyr marked": marked("", "{{ '<|' + message['role'] + '|>\\n' }}", "</s>{{ '\\n' }}", "</s>{{ '\\n' }}"),
    # Blank lines behind the header are tokens of their own, or a part of what is said, as the tokenizer has it.
    "llama 3 marked": marked(
        "<|begin_of_text|>", "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}", "<|eot_id|>", "<|eot_id|>"),
    # Nothing stands between the header and what is said, so that tokens may reach over the seam.
    "tight": marked("", "{{ message['role'] + ':' }}", "!", "; "),
}
CHATS = [
    [("system", "Be kind."), ("user", "One?"), ("assistant", "1 é"), ("user", "Two?"), ("assistant", "2")],
    [("user", "日本語 🙂"), ("assistant", "🙂🙂 naïve — ½")],
    [("user", "a"), ("assistant", " leading and trailing "), ("user", "\n\nb"), ("assistant", "\nline\n\nline ")],
    [("user", "a"), ("assistant", "one"), ("assistant", "and another")],
    [("user", "no answer yet")],
    [("user", "code"), ("assistant", "```python\nfor i in range(3):\n    print(i)\n```")],
]
cases = []
for tokenizer_name in ["smollm", "llama3", "gpt2", "qwen2", "metaspace"]:
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(models / f"tokenizer-{tokenizer_name}.json"))
    for name, template in TEMPLATES.items():
        for chat in CHATS:
            messages = [{"role": role, "content": content} for role, content in chat]
            found = tokenizer.apply_chat_template(
                messages, chat_template=template, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
            ids, mask = found["input_ids"], found["assistant_masks"]
            edges = [0] + mask + [0]
            starts = [i for i in range(len(mask) + 1) if edges[i] < edges[i + 1]]
            ends = [i for i in range(len(mask) + 1) if edges[i] > edges[i + 1]]
            cases.append({
                "template": name, "tokenizer": tokenizer_name, "chat": CHATS.index(chat), "ids": ids,
                "learnt": [list(pair) for pair in zip(starts, ends)]})
with open(here / "masks.json", "w") as file:
    json.dump({"templates": TEMPLATES, "chats": [[list(turn) for turn in chat] for chat in CHATS], "cases": cases}, file, separators=(",", ":"), ensure_ascii=False)
print(len(cases), "cases")
