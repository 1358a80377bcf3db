"""Runs a program of ours and a peer's script in turn and prints ours over theirs.

    python compare.py PROGRAM SCRIPT [ARGUMENTS OF THE SCRIPT …]

Both print `name value` lines; a script may have several for one of ours, as name/variant. Lines with -ms or -us are
times, others are rates, and those that begin with = are results, which must agree to a part in a thousand. ROUNDS in the
environment says how often; by default 3, or 1 with SHORTEST.
"""
import collections
import os
import pathlib
import statistics
import subprocess
import sys

here = pathlib.Path(__file__).resolve().parent
rounds = int(os.environ.get("ROUNDS", 1 if "SHORTEST" in os.environ else 3))
commands = {"ours": [sys.argv[1]], "theirs": [sys.executable, here / sys.argv[2], *sys.argv[3:]]}
figures = {side: collections.defaultdict(list) for side in commands}
for _ in range(rounds):
    for side, command in commands.items():
        for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
            name, value = line.split()
            figures[side][name].append(float(value))

print(f"medians of {rounds} runs in turn; steps a second, milliseconds (-ms) or microseconds (-us)")
print(f"{'':46} {'ours':>9} {'theirs':>9}  ratio")
for name, values in figures["theirs"].items():
    ours, theirs = statistics.median(figures["ours"][name.split("/")[0]]), statistics.median(values)
    if name.startswith("="):
        if abs(ours - theirs) > 1e-3 * abs(theirs):
            sys.exit(f"Wrong: {name[1:]} is {ours} with us, {theirs} with the peer")
        continue
    ratio = theirs / ours if "-ms" in name or "-us" in name else ours / theirs
    print(f"{name:46} {ours:9.3g} {theirs:9.3g}  {ratio:.2f}×")
