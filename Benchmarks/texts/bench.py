"""Text data larger than memory ought to be: rows found and read, a classifier and a decoder trained and measured, lines
classified and embedded, with the most memory that each took, beside Python's csv and json on the same files.

    python bench.py PATH-OF-text-bench PATH-OF-lora [MEGABYTES, default 1000, or 2 with SHORTEST in the environment]
"""
import csv
import gzip
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

bench, lora = sys.argv[1:3]
megabytes = int(sys.argv[3]) if len(sys.argv) > 3 else 2 if "SHORTEST" in os.environ else 1000
fixtures = pathlib.Path(__file__).resolve().parents[2] / "Tests/Fixtures/models"
words = "the quick brown fox jumps over a lazy dog and then it didn't care, or so they said of it".split()


def run(command):
    """Output, seconds and peak memory in MB."""
    start = time.time()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen([str(part) for part in command], stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        output.seek(0)
        assert status == 0, command
        return output.read(), time.time() - start, usage.ru_maxrss / 1024


def write(path, rows, row):
    """Rows until the file has its size: a thousand drawn ones, over and over."""
    drawn = [row(index) for index in range(1000)]
    block = "".join(drawn).encode()
    with open(path, "wb") as file:
        file.write(rows)
        for _ in range(max(1, megabytes * 10**6 // len(block))):
            file.write(block)


def text(count):
    return " ".join(random.choices(words, k=count))


def peer(path):
    """Python reading the same rows, in a process of its own."""
    if path.suffix == ".jsonl":
        loop = "n = sum(1 for line in file if json.loads(line)['text'] is not None)"
    else:
        quoting = "csv.QUOTE_NONE" if path.suffix == ".tsv" else "csv.QUOTE_MINIMAL"
        loop = f"n = sum(1 for row in csv.reader(file, delimiter={chr(9) if path.suffix == '.tsv' else ','!r}, quoting={quoting}) if row)"
    return run([sys.executable, "-c", f"import csv, json\nwith open({str(path)!r}, newline='') as file: {loop}"])


random.seed(1)
folder = pathlib.Path(tempfile.mkdtemp(prefix="text-bench-"))
try:
    files = {
        "short.tsv": (b"text\tlabel\n", lambda i: f"{text(3)}\t{i % 2}\n"),
        "long.csv": (b"text,label\n", lambda i: f'"{text(800)}, ""so"" they\nsaid",{i % 3}\n'),
        "short.jsonl": (b"", lambda i: json.dumps({"text": text(3), "label": i % 2}) + "\n"),
    }
    for name, (header, row) in files.items():
        write(folder / name, header, row)
    write(folder / "lines.txt", b"", lambda i: text(800) + "\n")
    write(folder / "book.txt", b"", lambda i: text(12) + ".\n" + ("\n" if i % 7 == 0 else ""))

    print(f"{megabytes} MB a file")
    print(f"{'':14} {'rows':>10} {'find':>7} {'pass':>7} {'batch of 32':>12} {'peak':>8}   {'Python':>8}")
    for name in files:
        output, _, peak = run([bench, folder / name])
        found = json.loads(output)
        _, theirs, _ = peer(folder / name)
        print(f"{name:14} {found['rows']:10} {found['finding']:6.1f}s {found['passing']:6.1f}s "
              f"{1000 * found['batch']:10.2f}ms {peak:6.0f}MB   {theirs:6.1f}s", flush=True)
        assert peak < 500, peak

    encoder, decoder = folder / "encoder", folder / "decoder"
    for model, kind, tokenizer in [(encoder, "small-encoder", "wordpiece"), (decoder, "small-decoder", "metaspace")]:
        shutil.copytree(fixtures / kind, model)
        shutil.copy(fixtures / f"tokenizer-{tokenizer}.json", model / "tokenizer.json")
    with open(folder / "short.tsv", "rb") as source, gzip.open(folder / "packed.tsv.gz", "wb", 1) as packed:
        shutil.copyfileobj(source, packed)
    print()
    tasks = {
        "train classify": ["train", "classify", "--model", encoder, "--data", folder / "short.tsv", "--length", 16],
        "… from gzip": ["train", "classify", "--model", encoder, "--data", folder / "packed.tsv.gz", "--length", 16],
        "… of long rows": ["train", "classify", "--model", encoder, "--data", folder / "long.csv", "--length", 32],
        "train lm": ["train", "lm", "--model", decoder, "--data", folder / "book.txt", "--length", 32],
        "evaluate": ["evaluate", "--model", encoder, "--adapter", folder / "0", "--data", folder / "short.tsv"],
        "… long rows": ["evaluate", "--model", encoder, "--adapter", folder / "2", "--data", folder / "long.csv"],
        "classify": ["classify", "--model", encoder, "--adapter", folder / "2", "--file", folder / "lines.txt",
                     "--json", folder / "classes.json"],
        "embed": ["embed", "--model", encoder, "--file", folder / "lines.txt", "--json", folder / "vectors.json"],
    }
    for index, (name, command) in enumerate(tasks.items()):
        if command[0] == "train":
            command += ["--steps", 50, "--checkpoint", folder / "state", "-o", folder / str(index)]
        _, seconds, peak = run([lora, *command, "--quiet"])
        print(f"{name:14} {seconds:8.1f}s {peak:6.0f}MB", flush=True)
        assert peak < 500, peak
finally:
    shutil.rmtree(folder)
