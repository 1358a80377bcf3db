"""What transformers makes of logits before it draws, and the loss that it finds on prompts with their completions.

    python make_generation.py        # needs torch, transformers and tokenizers; writes sampling.json and completions.json beside itself
"""
import itertools
import json
import os

import torch
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM
from transformers.generation.logits_process import (
    LogitsProcessorList, MinPLogitsWarper, RepetitionPenaltyLogitsProcessor, TemperatureLogitsWarper, TopKLogitsWarper,
    TopPLogitsWarper)

here = os.path.dirname(os.path.abspath(__file__))


def save(name, content):
    with open(os.path.join(here, name), "w") as file:
        json.dump(content, file, separators=(",", ":"))
        file.write("\n")


# The order is that of GenerationMixin._get_logits_processor.
generator = torch.Generator().manual_seed(1)
logits = [[round(value, 4) for value in (torch.randn(24, generator=generator) * 2).tolist()] for _ in range(2)]
after = [3, 7, 7, 0, 11, 20]
cases = []
for row, penalty, temperature, top_k, top_p, min_p in itertools.product(
        range(2), [1.0, 1.3, 0.8], [1.0, 0.6, 1.7], [None, 9], [None, 0.85], [None, 0.07]):
    processors = LogitsProcessorList()
    if penalty != 1:
        processors.append(RepetitionPenaltyLogitsProcessor(penalty))
    processors.append(TemperatureLogitsWarper(temperature))
    if top_k:
        processors.append(TopKLogitsWarper(top_k))
    if top_p:
        processors.append(TopPLogitsWarper(top_p))
    if min_p:
        processors.append(MinPLogitsWarper(min_p))
    scores = processors(torch.tensor([after]), torch.tensor([logits[row]]))
    probabilities = scores.softmax(dim=-1)[0].tolist()
    cases.append({
        "row": row, "repetitionPenalty": penalty, "temperature": temperature, "topK": top_k, "topP": top_p, "minP": min_p,
        "probabilities": {id: round(value, 7) for id, value in enumerate(probabilities) if value > 0}})
save("sampling.json", {"logits": logits, "after": after, "cases": cases})

# The completion is what the whole text's tokens add to the prompt's; where a token spans the seam, its own tokens. Of the
# template <s> A </s> the opening token alone is used, since the text goes on.
tokenizer = Tokenizer.from_file(os.path.join(here, "tokenizer-metaspace.json"))
model = LlamaForCausalLM.from_pretrained(os.path.join(here, "small-decoder"), attn_implementation="eager").eval()
BEGINNING, END, LENGTH = 1, 2, 24
examples = []
for prompt, completion in [
        ("the quick fox", " jumps over"), ("the dog:", "didn't care"), ("a word and t", "he dog"),
        ("", "a word and another word and the lazy dog, over and over")]:
    first = [BEGINNING] + tokenizer.encode(prompt, add_special_tokens=False).ids
    whole = [BEGINNING] + tokenizer.encode(prompt + completion, add_special_tokens=False).ids
    spans = whole[:len(first)] != first
    added = tokenizer.encode(completion, add_special_tokens=False).ids if spans else whole[len(first):]
    ids = (first + added + [END])[:LENGTH]
    labels = ([-100] * len(first) + added + [END])[:LENGTH]
    examples.append({
        "prompt": prompt, "completion": completion, "spans": spans, "ids": ids, "labels": labels,
        "removed": len(first + added) + 1 - len(ids)})
longest = max(len(example["ids"]) for example in examples)
batch = {"input_ids": [], "attention_mask": [], "labels": []}
for example in examples:
    padding = longest - len(example["ids"])
    batch["input_ids"].append(example["ids"] + [0] * padding)
    batch["attention_mask"].append([1] * len(example["ids"]) + [0] * padding)
    batch["labels"].append(example["labels"] + [-100] * padding)
with torch.no_grad():
    loss = model(**{name: torch.tensor(rows) for name, rows in batch.items()}).loss.item()
save("completions.json", {"end": END, "length": LENGTH, "loss": loss, "examples": examples})
