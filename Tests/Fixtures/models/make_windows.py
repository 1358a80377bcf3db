"""Makes tokenizer-windows.json: long texts in overlapping windows, by Python `tokenizers` and the tokenizers beside it.

python make_windows.py"""
import json
import os

from tokenizers import Tokenizer

here = os.path.dirname(os.path.abspath(__file__))
texts = [
    "", "the fox", "the quick brown fox jumps over the lazy dog, and the word was with the reader",
    "and the dog didn't care " * 4, "日本語 🙂 the quick é fox",
]
cases = []
for name in ["llama3", "metaspace", "wordpiece", "gpt2"]:
    for length, stride in [(7, 0), (8, 3), (12, 5), (64, 20)]:
        tokenizer = Tokenizer.from_file(os.path.join(here, f"tokenizer-{name}.json"))
        tokenizer.enable_truncation(length, stride=stride)
        for text in texts:
            first = tokenizer.encode(text)
            windows = [first] + first.overflowing
            cases.append({
                "tokenizer": name, "text": text, "length": length, "overlap": stride,
                "windows": [window.ids for window in windows], "segments": [window.type_ids for window in windows]})
with open(os.path.join(here, "tokenizer-windows.json"), "w") as file:
    file.write("[\n" + ",\n".join(json.dumps(case, ensure_ascii=True) for case in cases) + "\n]\n")
