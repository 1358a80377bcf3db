"""Two ranks of one thread each against one process of two threads: steps a second of LoRA training, on this machine.

    python ranks.py LORA [--shape NAME] [--steps N] [--rounds N]

LORA is built with MPI (`make build MPI=1`, then .build-mpi/release/lora). Python needs torch, transformers and tokenizers. Both sides
train the same LoRA (r 8 on queries and values) on the same batches, in turn, round by round; a check makes sure that both see the same
losses. Prints the median time of a step over all rounds but each run's first two steps, and the ratio of the speeds; beside it what
one thread alone takes, in two parts, so that a machine that is busy shows. Then what a model on paper makes of the times for more
machines (docs/ranks.md).
"""
import argparse
import json
import os
import statistics
import subprocess
import tempfile

from compare import SHAPES, make_data, make_model

OWN = dict(SHAPES)
OWN["llama-135m-2x256"] = dict(SHAPES["llama-135m-1x256"], batch=2)


def seconds(command, folder, environment):
    """By step, and the losses."""
    out = os.path.join(folder, "out")
    subprocess.run([*command, "-o", out, "--force", "--quiet"], check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    lines = [json.loads(line) for line in open(os.path.join(out, "metrics.jsonl"))]
    lines = [line for line in lines if "loss" in line]
    times = [b["seconds"] - a["seconds"] for a, b in zip(lines, lines[1:])]
    return times[1:], [line["loss"] for line in lines]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("lora")
    parser.add_argument("--shape", action="append", choices=OWN)
    parser.add_argument("--steps", type=int, default=14)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    for name in options.shape or ["minilm-16x64", "llama-135m-2x256"]:
        shape = OWN[name]
        with tempfile.TemporaryDirectory() as folder:
            make_model(shape, folder)
            data, _ = make_data(shape, folder)
            kind = "classify" if shape["kind"] == "bert" else "lm"
            train = [
                options.lora, "train", kind, "--model", folder, "--data", data, "--length", str(shape["length"]), "--steps",
                str(options.steps), "--batch-size", str(shape["batch"])]
            sides = {
                "one process, two threads": train + ["--threads", "2"],
                "two ranks, a thread each": ["mpirun", "--oversubscribe", "-np", "2", *train, "--threads", "1"],
                "one process, one thread": train + ["--threads", "1", "--accumulation", "2"],
            }
            times, losses = {side: [] for side in sides}, {}
            for _ in range(options.rounds):
                for side, command in sides.items():
                    taken, losses[side] = seconds(command, folder, environment)
                    times[side].append(statistics.median(taken))
            assert losses["two ranks, a thread each"] == losses["one process, one thread"], "other losses"
            first = losses["one process, two threads"]
            assert all(abs(a - b) < 1e-3 for a, b in zip(first, losses["two ranks, a thread each"])), "other losses"
            print(f"\n{name}: seconds a step, median (least) of {options.rounds} rounds")
            for side, found in times.items():
                print(f"  {side:26} {statistics.median(found):.4f} ({min(found):.4f})")
            both = [a / b for a, b in zip(times["one process, two threads"], times["two ranks, a thread each"])]
            print(f"  speed of the ranks against the threads: {statistics.median(both):.2f}, by round "
                  + " ".join(f"{ratio:.2f}" for ratio in both))


if __name__ == "__main__":
    main()
