"""Ids by Python `tokenizers`: python tokenizer_ids.py tokenizer.json < lines > ids

Prints the ids of each line as one line, and on standard error the seconds that encoding took."""
import sys
import time

from tokenizers import Tokenizer

tokenizer = Tokenizer.from_file(sys.argv[1])
tokenizer.no_truncation()
tokenizer.no_padding()
lines = sys.stdin.buffer.read().decode("utf-8").split("\n")
start = time.perf_counter()
encodings = tokenizer.encode_batch(lines)
print(time.perf_counter() - start, file=sys.stderr)
sys.stdout.write("".join(" ".join(map(str, encoding.ids)) + "\n" for encoding in encodings))
