"""Adapters and models that `lora train` writes, loaded in Python peft and transformers: the logits must be those of `lora logits`.

    python trained.py LORA        # needs torch, peft, transformers, safetensors
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

here = os.path.dirname(os.path.abspath(__file__))
fixtures = os.path.join(here, "..", "Fixtures", "models")
lora = sys.argv[1]
failures = 0


def base(name, tokenizer, folder):
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        shutil.copytree(os.path.join(fixtures, name), path)
        shutil.copy(os.path.join(fixtures, f"tokenizer-{tokenizer}.json"), os.path.join(path, "tokenizer.json"))
    return path


def run(*arguments):
    subprocess.run([lora, *arguments], check=True, stdout=subprocess.DEVNULL)


def compare(title, model, adapter, folder, load):
    global failures
    ids = [3, 41, 120, 77, 9, 200]
    output = os.path.join(folder, "logits.json")
    options = ["--adapter", adapter] if adapter else []
    run("logits", model, *options, "--ids", ",".join(map(str, ids)), "--json", output)
    ours = json.load(open(output))["logits"]
    with torch.no_grad():
        theirs = load()(torch.tensor([ids])).logits
    theirs = (theirs[0, -1] if theirs.dim() == 3 else theirs[0]).tolist()
    difference = max(abs(a - b) for a, b in zip(ours, theirs))
    good = len(ours) == len(theirs) and difference < 1e-4
    failures += not good
    print(f"{'ok  ' if good else 'FAIL'} {title}: largest difference {difference:.1e}")


with tempfile.TemporaryDirectory() as folder:
    data = os.path.join(folder, "data.tsv")
    with open(data, "w") as file:
        file.write("text\tlabel\n" + "".join(
            f"the {animal} and the {word}\t{animal}\n" for animal in ["fox", "dog"] for word in ["word", "reader", "quick", "lazy"]))
    text = os.path.join(folder, "text.txt")
    with open(text, "w") as file:
        file.write("the quick brown fox jumps over the lazy dog, " * 20)
    common = ["--steps", "6", "--rank", "4", "--alpha", "6", "--learning-rate", "2e-2", "--quiet"]
    variants = [["--method", method] for method in ["lora", "rslora", "dora", "pissa", "olora"]]
    variants += [["--targets", "all-linear", "--bias", "lora_only"], ["--bias", "all"], ["--full"]]
    for number, variant in enumerate(variants):
        full = variant == ["--full"]
        kept = common if not full else ["--steps", "6", "--quiet"]
        out = os.path.join(folder, f"encoder-{number}")
        encoder = base("small-encoder", "wordpiece", folder)
        run("train", "classify", "--model", encoder, "--data", data, "-o", out, *kept, *variant)
        compare(
            f"classifier {' '.join(variant)}", out if full else encoder, None if full else out, folder,
            lambda: AutoModelForSequenceClassification.from_pretrained(out).eval() if full else PeftModel.from_pretrained(
                AutoModelForSequenceClassification.from_pretrained(encoder, num_labels=2), out).eval())
        out = os.path.join(folder, f"decoder-{number}")
        decoder = base("small-decoder", "metaspace", folder)
        run("train", "lm", "--model", decoder, "--data", text, "--length", "24", "-o", out, *kept, *variant)
        compare(
            f"decoder {' '.join(variant)}", out if full else decoder, None if full else out, folder,
            lambda: AutoModelForCausalLM.from_pretrained(out).eval() if full else PeftModel.from_pretrained(
                AutoModelForCausalLM.from_pretrained(decoder), out).eval())
sys.exit(1 if failures else 0)
