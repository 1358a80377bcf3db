"""How far decoders of several sizes are from what the machine allows: bfloat16 weights, training and writing text.

    python floors.py LORA [--rounds N]

LORA is the release build's executable. Python needs torch, transformers and tokenizers. A step of training must multiply every weight
with every token twice (forward, and the gradient of the layer's input); a token that is written must read every weight once. Prints
both per second, for the 135M shape of Llama and for Qwen3-0.6B's with random weights, which should be about the same, and their ratio.
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

from compare import SHAPES, TOKENIZER, make_data

LENGTH = 256


def llama(transformers):
    shape = SHAPES["llama-135m-1x256"]
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=shape["vocabulary"], hidden_size=shape["hidden"], num_hidden_layers=shape["layers"],
        num_attention_heads=shape["heads"], num_key_value_heads=shape["key_heads"], intermediate_size=shape["intermediate"],
        max_position_embeddings=2048, tie_word_embeddings=True))


def qwen(transformers):
    return transformers.Qwen3ForCausalLM(transformers.Qwen3Config(
        vocab_size=151936, hidden_size=1024, num_hidden_layers=28, num_attention_heads=16, num_key_value_heads=8, head_dim=128,
        intermediate_size=3072, max_position_embeddings=2048, tie_word_embeddings=True, rope_theta=1e6))


MODELS = {"llama-135m": llama, "qwen3-0.6b": qwen}


def make(name, folder):
    """In a process of its own, since torch keeps its memory. Returns how many weights are multiplied with."""
    code = (
        f"import torch, transformers, floors; torch.manual_seed(1); torch.set_default_dtype(torch.bfloat16)\n"
        f"model = floors.MODELS[{name!r}](transformers); model.save_pretrained({folder!r})\n"
        f"print(sum(p.numel() for p in model.parameters() if p.dim() == 2))")
    text = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True,
        text=True, cwd=os.path.dirname(os.path.abspath(__file__))).stdout
    shutil.copy(TOKENIZER, os.path.join(folder, "tokenizer.json"))
    return int(text.split()[-1])


def step(lora, folder, data):
    out = os.path.join(folder, "adapter")
    subprocess.run(
        [lora, "train", "lm", "--model", folder, "--data", data, "--length", str(LENGTH), "--batch-size", "1", "--steps", "6", "-o", out,
         "--quiet", "--force"], check=True, capture_output=True)
    ends = [json.loads(line)["seconds"] for line in open(os.path.join(out, "metrics.jsonl")) if "loss" in line]
    return statistics.median(b - a for a, b in zip(ends[1:], ends[2:]))


def token(lora, folder):
    """Seconds a token: what 96 take more than 32."""
    def write(count):
        start = time.perf_counter()
        subprocess.run(
            [lora, "generate", "--model", folder, "--prompt", "bcd", "--tokens", str(count), "--quiet"], check=True, capture_output=True)
        return time.perf_counter() - start
    return (write(96) - write(32)) / 64


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("lora")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    lora = os.path.abspath(options.lora)
    rates = {}
    with tempfile.TemporaryDirectory() as place:
        models = {}
        for name in MODELS:
            folder = os.path.join(place, name)
            os.mkdir(folder)
            models[name] = (folder, make(name, folder), make_data(dict(kind="llama", batch=1, length=LENGTH), folder)[0])
        found = {name: [] for name in models}
        for _ in range(options.rounds):
            for name, (folder, weights, data) in models.items():
                found[name].append((step(lora, folder, data), token(lora, folder)))
        print(f"{'':<14}{'s/step':>8}{'G products/s':>14}{'tokens/s':>10}{'GB/s':>7}")
        for name, (_, weights, _) in models.items():
            train, write = (statistics.median(run[i] for run in found[name]) for i in (0, 1))
            rates[name] = (2 * weights * LENGTH / train / 1e9, 2 * weights / write / 1e9)
            print(f"{name:<14}{train:>8.3f}{rates[name][0]:>14.0f}{1 / write:>10.1f}{rates[name][1]:>7.1f}")
    small, large = rates.values()
    print(f"{'ratio':<22}{large[0] / small[0]:>14.2f}{'':>10}{large[1] / small[1]:>7.2f}")


if __name__ == "__main__":
    main()
