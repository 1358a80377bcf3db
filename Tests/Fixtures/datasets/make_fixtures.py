#!/usr/bin/env python3
"""Makes the small IDX files beside it, independently of the library: 3 images of 2 by 4 pixels and 3 labels."""
import gzip
import struct
from pathlib import Path

folder = Path(__file__).parent
images = struct.pack(">IIII", 0x803, 3, 2, 4) + bytes(11 * i % 256 for i in range(24))
labels = struct.pack(">II", 0x801, 3) + bytes([7, 0, 9])


def compressed(content):
    return gzip.compress(content, mtime=0)


(folder / "images.idx").write_bytes(images)
(folder / "images.idx.gz").write_bytes(compressed(images))
(folder / "images-two-members.idx.gz").write_bytes(compressed(images[:20]) + compressed(images[20:]))
(folder / "labels.idx.gz").write_bytes(compressed(labels))
