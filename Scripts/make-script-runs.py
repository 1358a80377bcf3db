#!/usr/bin/env python3
"""The scripts of characters as Python's tokenizers knows them, as ScriptRuns.swift holds them: prints the base 64."""
import base64
from tokenizers import pre_tokenizers

scripts = pre_tokenizers.UnicodeScripts()


def same(a, b):
    return len(scripts.pre_tokenize_str(a + b)) == 1


points = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def any_script(c):
    """A character of any script belongs to what stands beside it, whatever that is."""
    return all(len(scripts.pre_tokenize_str(beside + c + beside)) == 1 for beside in "a\u0436")


kinds = []
runs = []
previous = None
for c in points:
    text = chr(c)
    if previous is not None and runs[-1][1] != 0 and c % 256 and same(previous, text) and not any_script(text):
        pass
    else:
        number = 0 if any_script(text) else next((i + 1 for i, k in enumerate(kinds) if same(k, text)), None)
        if number is None:
            kinds.append(text)
            number = len(kinds)
        if not runs or runs[-1][1] != number:
            runs.append((c, number))
    previous = text
out = bytearray()
last = 0
for start, number in runs:
    delta = start - last
    last = start
    while True:
        out.append(delta & 0x7F | (0x80 if delta > 0x7F else 0))
        delta >>= 7
        if not delta:
            break
    out.append(number)
text = base64.b64encode(bytes(out)).decode()
print(text)
