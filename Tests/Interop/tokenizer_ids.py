"""Ids by Python `tokenizers`: python tokenizer_ids.py tokenizer.json [length stride] < lines > ids

Prints the ids of each line as one line, and on standard error the seconds that encoding took. With a length and a
stride a line is cut into windows, with " | " between them."""
import sys
import time

from tokenizers import Tokenizer

tokenizer = Tokenizer.from_file(sys.argv[1])
tokenizer.no_truncation()
if len(sys.argv) > 2:
    tokenizer.enable_truncation(int(sys.argv[2]), stride=int(sys.argv[3]))
tokenizer.no_padding()
lines = sys.stdin.buffer.read().decode("utf-8").split("\n")
start = time.perf_counter()
encodings = tokenizer.encode_batch(lines)
print(time.perf_counter() - start, file=sys.stderr)
for encoding in encodings:
    windows = [encoding] + encoding.overflowing
    sys.stdout.write(" | ".join(" ".join(map(str, window.ids)) for window in windows) + "\n")
