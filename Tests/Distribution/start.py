"""How long a program takes to start, in the median, and its processor time, which other work on the machine does not
stretch so much: start.py PROGRAM [BUDGET_MS]"""

import os
import statistics
import subprocess
import sys
import time

program, budget = sys.argv[1], float(sys.argv[2] if len(sys.argv) > 2 else 15)


def once():
    before, start = os.times(), time.perf_counter()
    subprocess.run([program, "--version"], stdout=subprocess.DEVNULL, check=True)
    elapsed, after = time.perf_counter() - start, os.times()
    return 1000 * elapsed, after.children_user + after.children_system - before.children_user - before.children_system


once()  # its pages are read
runs = [once() for _ in range(51)]
walls = [wall for wall, _ in runs]
busy = 1000 * sum(busy for _, busy in runs) / len(runs)
print(
    f"start: median {statistics.median(walls):.1f} ms, fastest {min(walls):.1f}, processor {busy:.1f}"
    f" (budget {budget:g})"
)
