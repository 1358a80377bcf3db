"""What training in bfloat16 costs in accuracy, beside the same training in float32.

    python precision.py LORA MODEL DATA [--seeds 3] [--steps 200] [--threads 1] [--folder FOLDER]

MODEL is all-MiniLM-L6-v2; DATA holds sst2, banking77 and corpora. For each set and seed both precisions train the same adapter on the
same batches (one epoch of SST-2, two of banking77), and the test texts' accuracy is compared; a decoder of the 135M shape with random
weights learns a text for so many steps, and its losses are. Needs torch and transformers to write that decoder. Results are appended to
FOLDER/precision.jsonl, and what stands there is not run again.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

import compare

SETS = {
    "sst2": ["--data", "sst2/train.tsv", "--eval", "sst2/test.tsv", "--epochs", "1"],
    "banking77": ["--data", "banking77/train.csv", "--eval", "banking77/test.csv", "--epochs", "2"],
}
LIMITS = {"points": 0.3, "percent": 0.5}


def train(options, kind, precision, seed, *settings):
    with tempfile.TemporaryDirectory() as out:
        adapter = os.path.join(out, "adapter")
        subprocess.run(
            [options.lora, "train", kind, "--seed", str(seed), "--precision", precision, "--threads", str(options.threads), "--quiet",
             "-o", adapter, *settings, "--json", os.path.join(out, "report.json")], check=True, stdout=subprocess.DEVNULL)
        rows = [json.loads(line) for line in open(os.path.join(adapter, "metrics.jsonl"))]
        return json.load(open(os.path.join(out, "report.json"))), [row["loss"] for row in rows if "loss" in row]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("lora")
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", default=".")
    options = parser.parse_args()
    path = os.path.join(options.folder, "precision.jsonl")
    known = {}
    if os.path.exists(path):
        for line in open(path):
            row = json.loads(line)
            known[row["set"], row["seed"], row["precision"]] = row["value"]

    def value(name, seed, precision, make):
        key = name, seed, precision
        if key not in known:
            known[key] = make()
            with open(path, "a") as file:
                file.write(json.dumps({"set": name, "seed": seed, "precision": precision, "value": known[key]}) + "\n")
        return known[key]

    print(f"{'':<14}{'f32':>9}{'bf16':>9}{'difference':>12}")
    for name, settings in SETS.items():
        settings = [os.path.join(options.data, word) if "/" in word else word for word in settings]
        if name == "banking77":
            settings += ["--rank", "16", "--learning-rate", "2e-3", "--targets", "all-linear"]
        accuracy = {
            precision: [100 * value(name, seed, precision, lambda: train(
                options, "classify", precision, seed, "--model", options.model, "--length", "64", *settings)[0]["accuracy"])
                for seed in range(options.seeds)]
            for precision in ["f32", "bf16"]}
        means = {precision: statistics.mean(each) for precision, each in accuracy.items()}
        print(f"{name:<14}{means['f32']:>8.2f}%{means['bf16']:>8.2f}%{means['bf16'] - means['f32']:>+12.2f}  each seed: " + ", ".join(
            f"{b - a:+.2f}" for a, b in zip(accuracy["f32"], accuracy["bf16"])), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        shape = "llama-135m-1x256"
        subprocess.run([sys.executable, compare.__file__, options.lora, "--shape", shape, "--make", folder], check=True)
        losses = {
            precision: value(f"{options.steps} steps", 0, precision, lambda: train(
                options, "lm", precision, 0, "--model", folder, "--data", os.path.join(options.data, "corpora", "alice.txt"), "--length",
                "256", "--batch-size", "1", "--steps", str(options.steps))[1])
            for precision in ["f32", "bf16"]}
    worst = max(abs(b / a - 1) for a, b in zip(losses["f32"], losses["bf16"]))
    last = {precision: statistics.mean(each[-20:]) for precision, each in losses.items()}
    print(f"{'135M, loss':<14}{last['f32']:>9.4f}{last['bf16']:>9.4f}{100 * (last['bf16'] / last['f32'] - 1):>+11.3f}%  the last 20 of "
          f"{options.steps}; worst of all: {100 * worst:.3f}%")


if __name__ == "__main__":
    main()
