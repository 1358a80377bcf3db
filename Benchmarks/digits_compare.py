"""Runs digits-bench and digits_peers.py in turn and prints ours over theirs.

    python digits_compare.py PATH-OF-digits-bench [ROUNDS, default 3, or 1 with SHORTEST in the environment]
"""
import collections
import os
import pathlib
import statistics
import subprocess
import sys

here = pathlib.Path(__file__).resolve().parent
rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 1 if "SHORTEST" in os.environ else 3
digits = here.parent / "Sources/Datasets/Resources"
commands = {"ours": [sys.argv[1]], "theirs": [sys.executable, here / "digits_peers.py", digits]}
figures = {side: collections.defaultdict(list) for side in commands}
for _ in range(rounds):
    for side, command in commands.items():
        for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
            name, value = line.split()
            figures[side][name].append(float(value))

print(f"medians of {rounds} runs in turn; steps a second, or milliseconds")
print(f"{'':38} {'ours':>9} {'theirs':>9}  ratio")
for name, values in figures["theirs"].items():
    ours, theirs = statistics.median(figures["ours"][name.split("/")[0]]), statistics.median(values)
    ratio = theirs / ours if "-ms" in name else ours / theirs
    label = name if "/" in name else name + "/fused Adam"
    print(f"{label:38} {ours:9.1f} {theirs:9.1f}  {ratio:.2f}×")
