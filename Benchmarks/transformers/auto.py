"""What `lora train classify --auto` reaches beside five runs that a person would try, on six labelled sets (label_sets.py).

    python auto.py LORA MODEL DATA [--sets NAME …] [--folder FOLDER] [--seed 0] [--precision f32]

MODEL is all-MiniLM-L6-v2; DATA is as for label_sets.py. Every run has the same training texts and keeps the best adapter of its
epochs by the development texts. Of the five, a person takes the one that is best on those; "oracle" is the one that is best on the test
texts, which nobody can know. Time is the processor's, on one thread. Results are appended to FOLDER/results.jsonl, and what stands there is
not run again. SHORTEST=1 runs one set of a few texts for a few steps.
"""
import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile

import label_sets

# Batches of 16; some 5,000 texts seen, or three epochs.
HAND = [
    ["--rank", "8", "--learning-rate", "1e-3"],
    ["--rank", "8", "--learning-rate", "2e-3"],
    ["--rank", "8", "--learning-rate", "5e-4", "--targets", "all-linear"],
    ["--rank", "16", "--learning-rate", "1e-3", "--targets", "all-linear"],
    ["--rank", "16", "--learning-rate", "2e-3", "--targets", "all-linear"]]
COLUMNS = ["--text-column", "text", "--label-column", "label", "--length", "32"]


def measured(options, folder, name, settings, seed):
    data = os.path.join(folder, name)
    common = ["--model", options.model, *COLUMNS, "--threads", "1", "--quiet", "--precision", options.precision]
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    with tempfile.TemporaryDirectory() as out:
        adapter, report = os.path.join(out, "adapter"), os.path.join(out, "report.json")
        subprocess.run(
            [options.lora, "train", "classify", *common, "--data", f"{data}/train.tsv", "--eval", f"{data}/dev.tsv", "--seed", str(seed),
             *settings, "-o", adapter, "--json", report], check=True, stdout=subprocess.DEVNULL)
        seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
        trained = json.load(open(report))
        subprocess.run(
            [options.lora, "evaluate", *common, "--adapter", adapter, "--data", f"{data}/test.tsv", "--json", report],
            check=True, stdout=subprocess.DEVNULL)
        return dict(
            dev=trained["accuracy"], dev_loss=trained["loss"], test=json.load(open(report))["accuracy"], seconds=seconds,
            chosen={row["setting"]: row["value"] for row in trained.get("chosen", [])}, rates=trained.get("rates"), ranks=trained.get("ranks"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lora")
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--sets", nargs="+")
    parser.add_argument("--folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", default="f32")
    options = parser.parse_args()
    folder = options.folder or tempfile.mkdtemp()
    names = label_sets.write(options.data, folder)
    shortest = os.environ.get("SHORTEST")
    names = names[2:3] if shortest else options.sets or names
    results = os.path.join(folder, "results.jsonl")
    known = {}
    if os.path.exists(results):
        known = {(r["set"], r["run"], r["seed"]): r for r in map(json.loads, open(results))}
    rows = []
    for name in names:
        count = sum(1 for _ in open(os.path.join(folder, name, "train.tsv"), encoding="utf-8")) - 1
        length = ["--steps", "6"] if shortest else ["--epochs", str(max(3, round(5000 / count)))]
        runs = [("auto", ["--auto"] + (length if shortest else []))]
        runs += [(" ".join(hand), ["--batch-size", "16", *length, *hand]) for hand in (HAND[:1] if shortest else HAND)]
        found = []
        for run, settings in runs:
            result = known.get((name, run, options.seed))
            if result is None:
                result = dict(set=name, run=run, seed=options.seed, **measured(options, folder, name, settings, options.seed))
                with open(results, "a") as file:
                    file.write(json.dumps(result) + "\n")
            found.append(result)
            print(f"{name:<10} {run:<52} dev {100 * result['dev']:.2f}%, test {100 * result['test']:.2f}%, {result['seconds']:.0f} s", flush=True)
        auto, hand = found[0], found[1:]
        print(f"{'':<10} chosen: {auto['chosen']}", flush=True)
        # The lower loss where the accuracy is the same, as a person would.
        best = max(hand, key=lambda run: (run["dev"], -run["dev_loss"]))
        oracle = max(run["test"] for run in hand)
        mean = sum(run["seconds"] for run in hand) / len(hand)
        rows.append((name, 100 * auto["test"], 100 * best["test"], 100 * oracle, best["run"], auto["seconds"] / mean, auto["seconds"] / best["seconds"]))
    print(f"\n| set | --auto | best of five | oracle of five | --auto − best | time, of the mean run | of the best run |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, auto, best, oracle, run, mean, own in rows:
        print(f"| {name} | {auto:.1f}% | {best:.1f}% ({run}) | {oracle:.1f}% | {auto - best:+.1f} | {mean:.2f} | {own:.2f} |")
    if rows:
        print(f"| mean | {sum(r[1] for r in rows) / len(rows):.1f}% | {sum(r[2] for r in rows) / len(rows):.1f}% | "
              f"{sum(r[3] for r in rows) / len(rows):.1f}% | {sum(r[1] - r[2] for r in rows) / len(rows):+.1f} | "
              f"{sum(r[5] for r in rows) / len(rows):.2f} | {sum(r[6] for r in rows) / len(rows):.2f} |")


if __name__ == "__main__":
    sys.exit(main())
