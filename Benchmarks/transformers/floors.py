"""How far decoders of two sizes are from what the machine allows, with bfloat16 weights: training and writing text.

    python floors.py LORA [--rounds N]

LORA is the release build's executable. Python needs torch, transformers and tokenizers. A step of training must multiply every weight
with every token twice (forward, and the gradient of the layer's input); a token that is written must read every weight once. Prints
both per second, for the 135M shape of Llama and for Qwen3-0.6B's with random weights, which should be about the same, and their ratio.
"""
import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

import compare

SHAPES = {name: {**compare.SHAPES, **compare.LARGER}[name] for name in ["llama-135m-1x256", "qwen3-0.6b-1x256"]}


def token(lora, folder):
    """Seconds a token: what 96 take more than 32."""
    def write(count):
        start = time.perf_counter()
        compare.run([lora, "generate", "--model", folder, "--prompt", "bcd", "--tokens", str(count), "--quiet"])
        return time.perf_counter() - start
    return (write(96) - write(32)) / 64


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("lora")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        found = {name: [] for name in SHAPES}
        for name in SHAPES:
            os.mkdir(os.path.join(place, name))
            subprocess.run(
                [sys.executable, compare.__file__, options.lora, "--shape", name, "--make", os.path.join(place, name)], check=True,
                capture_output=True)
        for _ in range(options.rounds):
            for name, shape in SHAPES.items():
                folder = os.path.join(place, name, "bf16")
                data, _ = compare.make_data(shape, folder)
                times = compare.lora_side(options.lora, folder, shape, data, 6)["times"]
                found[name].append((statistics.median(times[1:]), token(options.lora, folder)))
        rates = []
        print(f"{'':<18}{'s/step':>8}{'G products/s':>14}{'tokens/s':>10}{'GB/s':>7}")
        for name, shape in SHAPES.items():
            train, write = (statistics.median(run[i] for run in found[name]) for i in (0, 1))
            size = os.path.getsize(os.path.join(place, name, "bf16", "model.safetensors"))
            rates.append((size * shape["length"] / train / 1e9, size / write / 1e9))
            print(f"{name:<18}{train:>8.3f}{rates[-1][0]:>14.0f}{1 / write:>10.1f}{rates[-1][1]:>7.1f}")
    small, large = rates
    print(f"{'ratio':<26}{large[0] / small[0]:>14.2f}{'':>10}{large[1] / small[1]:>7.2f}")


if __name__ == "__main__":
    main()
