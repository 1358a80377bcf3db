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
from transformers import (
    AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM)

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


def made(name, model, folder):
    """A base with random weights and the tokenizer of the small decoder."""
    path = os.path.join(folder, name)
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.15)
            elif (parameter == 0).all():
                parameter.normal_(0, 0.1)
    model.save_pretrained(path)
    shutil.copy(os.path.join(fixtures, "tokenizer-metaspace.json"), os.path.join(path, "tokenizer.json"))
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

    shape = dict(vocab_size=464, bos_token_id=1, eos_token_id=2)
    decoders = [
        base("small-decoder", "metaspace", folder),  # tied embeddings
        made("untied", LlamaForCausalLM(LlamaConfig(
            **shape, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            max_position_embeddings=48, tie_word_embeddings=False, attention_bias=True, mlp_bias=True)), folder),
        made("gpt2", GPT2LMHeadModel(GPT2Config(**shape, n_embd=32, n_layer=2, n_head=4, n_positions=48)), folder)]
    for decoder in decoders:
        name = os.path.basename(decoder)
        table = "wte" if name == "gpt2" else "embed_tokens"
        more = [["--targets", table], ["--targets", table, "--method", "dora"], ["--targets", r".*\.[01]\.mlp\..*"]]
        if name == "untied":
            more.append(["--targets", "lm_head,q_proj", "--method", "rslora"])
        for number, variant in enumerate(variants + more):
            if "--bias" in variant and name == "small-decoder":  # it has none
                continue
            full = variant == ["--full"]
            kept = common if not full else ["--steps", "6", "--quiet"]
            out = os.path.join(folder, f"{name}-{number}")
            run("train", "lm", "--model", decoder, "--data", text, "--length", "24", "-o", out, *kept, *variant)
            compare(
                f"{name} {' '.join(variant)}", out if full else decoder, None if full else out, folder,
                lambda: AutoModelForCausalLM.from_pretrained(out).eval() if full else PeftModel.from_pretrained(
                    AutoModelForCausalLM.from_pretrained(decoder), out).eval())
            if full:
                whole = AutoModelForCausalLM.from_pretrained(out)
                tied = whole.get_input_embeddings().weight is whole.get_output_embeddings().weight
                same = AutoTokenizer.from_pretrained(out)("the fox").input_ids == AutoTokenizer.from_pretrained(decoder)("the fox").input_ids
                good = tied == (name != "untied") and same
                failures += not good
                print(f"{'ok  ' if good else 'FAIL'} {name} --full: embeddings tied as before, the tokenizer is there")
sys.exit(1 if failures else 0)
