"""Six labelled sets of different sizes and kinds, from texts at hand: each a folder with train, dev and test.tsv.

    python label_sets.py DATA FOLDER

DATA holds sst2/{train,dev,test}.tsv, banking77/{train,test}.csv and corpora/{shakespeare,alice}.txt. Test and training texts never
overlap: where the source has a test set it is that, else texts that are equal count once. The same rows every time.

- sst2-500, sst2-2000: the sentiment of sentences about films, 500 and 2,000 of them.
- intents: banking77, 77 intents with ten questions each.
- topics: the same questions under nine topics that the intents' names speak of (card_arrival: cards).
- authors: a line of Shakespeare or of Lewis Carroll, of at least five words.
- sections: one-line descriptions of Debian's packages, ten of its sections (apt-cache dumpavail, which `apt-get update` renews: so
  the rows move with it).
"""
import csv
import os
import random
import re
import subprocess
import sys

# The first that an intent's name holds.
TOPICS = [
    ("top-ups", "top_up|topping_up"), ("identity", "identity|source_of_funds|personal_details|age_limit|terminate"),
    ("cash", "cash|atm|cheque|swallowed"), ("exchange", "exchange|fiat|currenc"),
    ("transfers", "transfer|beneficiary|receiving_money|direct_debit"), ("security", "pin|passcode|compromised|lost_or_stolen"),
    ("payments", "payment|refund|charged|statement|apple_pay"), ("special cards", "virtual|disposable|spare|visa|contactless"),
    ("cards", "")]
SECTIONS = ["games", "science", "sound", "graphics", "fonts", "mail", "math", "database", "editors", "localization"]


def sst2(data, part):
    with open(os.path.join(data, "sst2", f"{part}.tsv"), encoding="utf-8", newline="") as file:
        return [(row["sentence"], row["label"]) for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]


def banking(data, part, label=lambda intent: intent):
    with open(os.path.join(data, "banking77", f"{part}.csv"), encoding="utf-8", newline="") as file:
        return [(" ".join(row["text"].split()), label(row["category"])) for row in csv.DictReader(file)]


def topic(intent):
    return next(name for name, pattern in TOPICS if re.search(pattern, intent.lower()))


def lines(data, author):
    with open(os.path.join(data, "corpora", f"{author}.txt"), encoding="utf-8") as file:
        return [(line.strip(), author) for line in file if len(line.split()) >= 5]


def packages():
    found = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True, check=True).stdout
    for entry in found.split("\n\n"):
        section = re.search(r"^Section: (?:\S+/)?(\S+)$", entry, re.M)
        text = re.search(r"^Description(?:-en)?: (.+)$", entry, re.M)
        if section and text and section[1] in SECTIONS:
            yield text[1].strip(), section[1]


def drawn(rows, count, seed, per_class=None):
    """So many of the rows, or so many of each class, each text once, in a random order."""
    rows = list(dict(rows).items())
    random.Random(seed).shuffle(rows)
    if per_class is None:
        return rows[:count]
    taken = {}
    return [row for row in rows if taken.setdefault(row[1], []).append(row) or len(taken[row[1]]) <= per_class]


def split(rows, train, dev=300, test=1000, seed=0):
    rows = drawn(rows, train + dev + test, seed)
    return rows[:train], rows[train:train + dev], rows[train + dev:]


def sets(data):
    dev, test = drawn(sst2(data, "dev"), 300, 1), drawn(sst2(data, "test"), 1000, 1)
    for count in [500, 2000]:
        yield f"sst2-{count}", drawn(sst2(data, "train"), count, 2), dev, test
    train = drawn(banking(data, "train"), None, 3, per_class=10)
    left = [row for row in banking(data, "train") if row not in set(train)]
    yield "intents", train, drawn(left, 300, 4), drawn(banking(data, "test"), 1000, 4)
    rows = banking(data, "train", topic)
    train, dev, _ = split(rows, 1000, test=0, seed=5)
    yield "topics", train, dev, drawn(banking(data, "test", topic), 1000, 5)
    carroll = drawn(lines(data, "alice"), 950, 6)
    yield "authors", *split(carroll + drawn(lines(data, "shakespeare"), 950, 6), 600, seed=6)
    rows = drawn(sorted(packages()), None, 7, per_class=250)
    yield "sections", *split(rows, 1200, seed=7)


def write(data, folder):
    """- Returns: the names of the sets."""
    names = []
    for name, *parts in sets(data):
        os.makedirs(os.path.join(folder, name), exist_ok=True)
        for part, rows in zip(["train", "dev", "test"], parts):
            with open(os.path.join(folder, name, f"{part}.tsv"), "w", encoding="utf-8") as file:
                file.write("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows))
        names.append(name)
        print(f"{name}: {', '.join(str(len(rows)) for rows in parts)} rows, {len({label for _, label in parts[0]})} labels")
    return names


if __name__ == "__main__":
    write(*sys.argv[1:])
