"""NumPy's, PyTorch's and scikit-learn's singular value decompositions of one matrix, timed; svd-bench calls this.

    python svd_peers.py matrix.npy exact RUNS
    python svd_peers.py matrix.npy randomized RUNS RANK LEAST_RELATIVE_ERROR

Prints a JSON list of {"name", "seconds", "check"}. A library that is not installed is left out.
"""

import json
import os
import sys
import time

threads = os.environ.get("THREADS", "")
if threads:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = threads

import numpy as np  # noqa: E402  after the threads are set

try:
    import torch
except ImportError:
    torch = None
try:
    from sklearn.utils.extmath import randomized_svd
except ImportError:
    randomized_svd = None

matrix = np.load(sys.argv[1])
runs = int(sys.argv[3])
norm = np.linalg.norm(matrix.astype(np.float64))
lines = []


def measure(name, decompose, check):
    result = decompose()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        result = decompose()
        times.append(time.perf_counter() - start)
    u, s, vt = (np.asarray(part, dtype=np.float64) for part in result)
    error = np.linalg.norm((u * s) @ vt - matrix) / norm
    lines.append({"name": name, "seconds": sorted(times)[runs // 2], "check": check(error, u)})


def residual(error, u):
    departure = np.linalg.norm(u.T @ u - np.eye(u.shape[1])) / np.sqrt(u.shape[1])
    return f"residual {error:.1e}, orthogonality {departure:.1e}"


tensor = torch.from_numpy(matrix) if torch else None
if torch and threads:
    torch.set_num_threads(int(threads))

if sys.argv[2] == "exact":
    measure("numpy.linalg.svd", lambda: np.linalg.svd(matrix, full_matrices=False), residual)
    if torch:
        measure("torch.linalg.svd", lambda: torch.linalg.svd(tensor, full_matrices=False), residual)
else:
    rank, least = int(sys.argv[4]), float(sys.argv[5])

    def excess(error, _):
        return f"{100 * (error / least - 1):.4f}% above the least error"

    if torch:

        def lowrank():
            u, s, v = torch.svd_lowrank(tensor, q=rank + 8, niter=2)
            return u[:, :rank], s[:rank], v[:, :rank].T

        torch.manual_seed(0)
        measure("torch.svd_lowrank, rank + 8, 2 iterations", lowrank, excess)
    if randomized_svd:
        measure("sklearn randomized_svd", lambda: randomized_svd(matrix, rank, random_state=0), excess)

json.dump(lines, sys.stdout)
