"""Greedy generation by transformers in the model's own number format, for generation-bench.

    python generation_peers.py FOLDER IDS TOKENS

A token is timed from one call of the streamer to the next, which leaves out the first, that reads the prompt. Prints JSON:
tokens a second by the median token, and the text.
"""
import json
import statistics
import sys
import time

import torch
import transformers

folder, prompt, tokens = sys.argv[1], [int(id) for id in sys.argv[2].split(",")], int(sys.argv[3])
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


class Clock:
    def __init__(self):
        self.times = []

    def put(self, _):
        self.times.append(time.perf_counter())

    def end(self):
        pass


model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
ids = torch.tensor([prompt])
gaps = []
for _ in range(3):
    clock = Clock()
    with torch.no_grad():
        text = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, min_new_tokens=tokens, max_new_tokens=tokens,
            pad_token_id=0, streamer=clock)
    # The first call gives the prompt, the second the first token.
    gaps += [b - a for a, b in zip(clock.times[1:], clock.times[2:])]
print(json.dumps({
    "name": f"transformers, {str(model.dtype).split('.')[1]}", "tokensPerSecond": 1 / statistics.median(gaps),
    "text": text[0, len(prompt):].tolist()}))
