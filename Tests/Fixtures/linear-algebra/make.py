"""Makes decompositions.json, small matrices with what NumPy says of them, computed in float64, and the array files
*.npy, which all hold the 3 x 4 matrix of the numbers 0.5, 1.5, ... 11.5 row by row.

    python make.py        # needs numpy
"""

import json
from pathlib import Path

import numpy as np

rng = np.random.default_rng(20140801)


def case(name, matrix):
    matrix = np.asarray(matrix, dtype=np.float32)
    wide = matrix.astype(np.float64)
    tolerance = np.finfo(np.float32).eps
    q, r = np.linalg.qr(wide)
    signs = np.where(np.diagonal(r) < 0, -1.0, 1.0)
    return {
        "name": name,
        "shape": list(matrix.shape),
        "elements": matrix.ravel().tolist(),
        "singular_values": np.linalg.svd(wide, compute_uv=False).tolist(),
        "rank": int(np.linalg.matrix_rank(matrix)),
        "pseudo_inverse": np.linalg.pinv(wide, rcond=max(matrix.shape) * tolerance).ravel().tolist(),
        "r": (signs[:, None] * r).ravel().tolist(),
    }


def orthonormal(rows, columns):
    return np.linalg.qr(rng.standard_normal((rows, columns)))[0]


cases = [
    case("tall", rng.standard_normal((7, 3))),
    case("wide", rng.standard_normal((3, 7))),
    case("square", rng.standard_normal((6, 6))),
    case("one row", rng.standard_normal((1, 5))),
    case("one column", rng.standard_normal((5, 1))),
    case("one element", [[-2.5]]),
    case("rank two", rng.integers(-3, 4, (6, 2)) @ rng.integers(-3, 4, (2, 5))),
    case("graded", orthonormal(8, 8) * 10.0 ** -np.arange(8) @ orthonormal(8, 8).T),
    case("small", 1e-20 * rng.standard_normal((4, 5))),
    case("large", 1e20 * rng.standard_normal((5, 4))),
]
with open(Path(__file__).parent / "decompositions.json", "w") as file:
    json.dump(cases, file, indent=1)
    file.write("\n")

ramp = (np.arange(12) + 0.5).reshape(3, 4)
for name, dtype, order, version in [
    ("float32", "<f4", "C", (1, 0)),
    ("float64-fortran", "<f8", "F", (2, 0)),
    ("float64", "<f8", "C", (3, 0)),
    ("float32-big-endian", ">f4", "C", (1, 0)),
    ("float16-fortran", "<f2", "F", (1, 0)),
]:
    with open(Path(__file__).parent / f"{name}.npy", "wb") as file:
        np.lib.format.write_array(file, np.asarray(ramp, dtype=dtype, order=order), version=version)
