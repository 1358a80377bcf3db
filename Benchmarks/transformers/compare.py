"""Training and generation by `lora` against PyTorch with peft, on the same machine in the same run.

    python compare.py LORA [--shape NAME] [--steps N] [--rounds N] [--json PATH]

LORA is the release build's executable. Python needs torch, transformers, peft and tokenizers. Models with random weights of each
shape are written to a temporary folder; both sides train the same LoRA (r 8 on queries and values) on batches of the same size, and a
check makes sure that both see the same loss at the first step. All run in turn, round by round; prints medians over all rounds and peak
memory of peft in float32, under autocast to bfloat16 and with weights in bfloat16, and of `lora` in float32 and bfloat16; the ratio is to
the fastest of peft's. For decoders also `lora` with the base stored as bfloat16, and with layers computed again.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

here = os.path.dirname(os.path.abspath(__file__))
TOKENIZER = os.path.join(here, "..", "..", "Tests", "Fixtures", "models", "tokenizer-gpt2.json")

SHAPES = {
    "minilm-16x64": dict(kind="bert", batch=16, length=64),
    "minilm-16x128": dict(kind="bert", batch=16, length=128),
    "llama-15m-8x256": dict(kind="llama", batch=8, length=256, hidden=288, layers=6, heads=6, key_heads=6, intermediate=768, vocabulary=32000),
    "llama-135m-1x256": dict(kind="llama", batch=1, length=256, hidden=576, layers=30, heads=9, key_heads=3, intermediate=1536, vocabulary=49152),
}

# By name alone.
LARGER = {
    "qwen3-0.6b-1x256": dict(
        kind="qwen3", batch=1, length=256, hidden=1024, layers=28, heads=16, key_heads=8, intermediate=3072, vocabulary=151936,
        head_dim=128),
}


def make_model(shape, folder):
    """Writes a folder with random weights and a tokenizer; the text's tokens are all below 420."""
    import torch
    import transformers
    torch.manual_seed(1)
    if shape["kind"] == "bert":
        config = transformers.BertConfig(
            vocab_size=30522, hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536,
            hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        model = transformers.BertForSequenceClassification(config)
    else:
        settings = dict(
            vocab_size=shape["vocabulary"], hidden_size=shape["hidden"], num_hidden_layers=shape["layers"],
            num_attention_heads=shape["heads"], num_key_value_heads=shape["key_heads"], intermediate_size=shape["intermediate"],
            max_position_embeddings=2048, tie_word_embeddings=True)
        if shape["kind"] == "qwen3":
            model = transformers.Qwen3ForCausalLM(transformers.Qwen3Config(head_dim=shape["head_dim"], **settings))
        else:
            model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**settings))
    model.save_pretrained(folder)
    shutil.copy(TOKENIZER, os.path.join(folder, "tokenizer.json"))
    if shape["kind"] != "bert":
        half = os.path.join(folder, "bf16")
        model.to(torch.bfloat16).save_pretrained(half)
        shutil.copy(TOKENIZER, os.path.join(half, "tokenizer.json"))


def make_data(shape, folder):
    """One line of so many tokens, repeated: every batch is the same."""
    import random
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(TOKENIZER)
    random.seed(2)
    letters = "bcdfghjklmnpqrstvwxz"
    text = "".join(random.choice(letters) for _ in range(8 * shape["length"]))
    # A beginning that has exactly the wanted length.
    end = next(end for end in range(len(text)) if len(tokenizer.encode(text[:end]).ids) == shape["length"])
    line = text[:end]
    ids = tokenizer.encode(line).ids
    if shape["kind"] == "bert":
        path = os.path.join(folder, "data.tsv")
        with open(path, "w") as file:
            file.write("text\tlabel\n" + "".join(f"{line}\t{index % 2}\n" for index in range(shape["batch"])))
    else:
        path = os.path.join(folder, "data.jsonl")
        with open(path, "w") as file:
            file.write((json.dumps({"text": line}) + "\n") * shape["batch"])
    return path, ids


def peft_side(folder, shape, ids, steps, precision):
    """Runs in a process of its own, so that its peak memory is its own."""
    import resource
    import torch
    import transformers
    from peft import LoraConfig, get_peft_model
    torch.manual_seed(3)
    bare = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    batch = torch.tensor([ids] * shape["batch"])
    if shape["kind"] == "bert":
        model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
        config = LoraConfig(r=8, lora_alpha=16, target_modules=["query", "value"], task_type="SEQ_CLS")
        labels = torch.tensor([index % 2 for index in range(shape["batch"])])
    else:
        model = transformers.AutoModelForCausalLM.from_pretrained(folder)
        config = LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
        labels = batch
    model = get_peft_model(model, config)
    if precision == "weights":
        model.to(torch.bfloat16)
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    times, losses = [], []
    for _ in range(steps):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "autocast"):
            loss = model(input_ids=batch, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        times.append(time.perf_counter() - start)
    print(json.dumps({"times": times, "losses": losses, "bare": bare, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))


def run(command):
    """Runs a command and returns its output and its peak memory in KB."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    output, errors = process.stdout.read(), process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} failed:\n{errors}")
    return output, usage.ru_maxrss


PEERS = {"peft": "float32", "peft, autocast to BF16": "autocast", "peft, weights in BF16": "weights"}


def peft(itself, folder, ids, precision):
    request = json.dumps({"folder": folder, "ids": ids, "precision": precision})
    return lambda: json.loads(run(itself + ["--peft", request])[0].splitlines()[-1])


def own(options, folder, shape, data, *flags):
    return lambda: lora_side(options.lora, folder, shape, data, options.steps, *flags)


def lora_side(lora, folder, shape, data, steps, *options):
    output = os.path.join(folder, "adapter")
    kind = "classify" if shape["kind"] == "bert" else "lm"
    _, peak = run([
        lora, "train", kind, "--model", folder, "--data", data, "--length", str(shape["length"]), "--batch-size",
        str(shape["batch"]), "--steps", str(steps), "--clipping", "0", "--schedule", "constant", "--warm-up", "0", "-o", output,
        "--quiet", "--force", *options])
    rows = [json.loads(line) for line in open(os.path.join(output, "metrics.jsonl"))]
    ends = [0.0] + [row["seconds"] for row in rows]
    return {"times": [b - a for a, b in zip(ends, ends[1:])], "losses": [row["loss"] for row in rows], "peak": peak}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("lora")
    parser.add_argument("--shape", choices={**SHAPES, **LARGER})
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json")
    parser.add_argument("--peft", help=argparse.SUPPRESS)
    parser.add_argument("--make", help=argparse.SUPPRESS)
    options = parser.parse_args()
    shapes = {**SHAPES, **LARGER}
    # Work with torch is done by processes of their own: a process counts the peak of the one that started it as its own.
    if options.make:
        return make_model(shapes[options.shape], options.make)
    if options.peft:
        request = json.loads(options.peft)
        return peft_side(request["folder"], shapes[options.shape], request["ids"], options.steps, request["precision"])
    results = {}
    print(f"{'':<34}{'s/step':>9}{'ratio':>7}{'MB':>8}{'share':>7}")
    for name in [options.shape] if options.shape else SHAPES:
        shape = shapes[name]
        with tempfile.TemporaryDirectory() as folder:
            itself = [sys.executable, __file__, options.lora, "--shape", name, "--steps", str(options.steps)]
            run(itself + ["--make", folder])
            data, ids = make_data(shape, folder)
            sides = {title: peft(itself, folder, ids, precision) for title, precision in PEERS.items()}
            for precision in ["f32", "bf16"]:
                sides[f"lora --precision {precision}"] = own(options, folder, shape, data, "--precision", precision)
            if shape["kind"] != "bert":
                half = os.path.join(folder, "bf16")
                for title, flags in {"base stored as BF16": [], "and --recompute": ["--recompute"]}.items():
                    sides[f"  {title}"] = own(options, half, shape, data, *flags)
            found = {title: [] for title in sides}
            for _ in range(options.rounds):
                for title, side in sides.items():
                    found[title].append(side())
        # A decoder's first loss does not depend on what is drawn at the start; a classifier's new head does.
        first, limit = found["peft"][0]["losses"][0], {"lora --precision f32": 1e-3, "lora --precision bf16": 1e-2}
        for title in limit if shape["kind"] != "bert" else []:
            loss = found[title][0]["losses"][0]
            if abs(first - loss) > limit[title]:
                sys.exit(f"{name}: the first losses of peft and {title} differ: {first} and {loss}")
        seconds = {title: statistics.median(time for run in runs for time in run["times"][1:]) for title, runs in found.items()}
        peak = {title: statistics.median(run["peak"] for run in runs) for title, runs in found.items()}
        best, least = min(seconds[title] for title in PEERS), min(peak[title] for title in PEERS)
        print(name)
        for title in found:
            print(
                f"  {title:<32}{seconds[title]:>9.3f}{best / seconds[title]:>7.2f}{peak[title] / 1024:>8.0f}"
                f"{peak[title] / least:>7.2f}", flush=True)
            results[f"{name}, {title.strip()}"] = {"seconds": seconds[title], "mb": peak[title] / 1024}
    if options.json:
        with open(options.json, "w") as file:
            json.dump(results, file, indent=2)


if __name__ == "__main__":
    main()
