"""Numbers and several labels a text: what `lora train classify` has learnt, loaded in peft, and what `lora evaluate` says of it beside
transformers' loss, scipy's correlations and scikit-learn's F1.

    python targets.py LORA        # needs torch, peft, transformers, scipy, scikit-learn
"""
import json
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile

import numpy
import scipy.stats
import sklearn.metrics
import torch
import transformers
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
fixtures = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "Fixtures", "models")
lora = os.path.abspath(sys.argv[1])
failures = 0
WORDS = "the quick brown fox jumps over lazy dog and word reader they said so it did".split()
LABELS = ["dog", "fox", "word"]


def check(title, good, detail=""):
    global failures
    failures += not good
    print(f"{'ok  ' if good else 'FAIL'} {title}{detail}")


def near(title, ours, theirs, tolerance=1e-4):
    """Undefined is null here, NaN or 0 there."""
    difference = abs((ours or 0) - (0 if math.isnan(theirs) else theirs))
    check(title, difference < tolerance, f": {ours} and {theirs}")


def run(*arguments):
    subprocess.run([lora, *arguments], check=True, stdout=subprocess.DEVNULL)


def text():
    return " ".join(random.choice(WORDS) for _ in range(random.randint(2, 14)))


with tempfile.TemporaryDirectory() as folder:
    encoder = os.path.join(folder, "encoder")
    shutil.copytree(os.path.join(fixtures, "small-encoder"), encoder)
    shutil.copy(os.path.join(fixtures, "tokenizer-wordpiece.json"), os.path.join(encoder, "tokenizer.json"))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=os.path.join(encoder, "tokenizer.json"), pad_token="[PAD]", model_max_length=40)
    random.seed(3)
    texts = [text() for _ in range(60)]
    # Rounded, so that some are equal: Spearman's ranks have ties.
    scores = [1.5 * t.count("fox") - t.count("dog") + round(random.random(), 1) for t in texts]
    labels = [[label for label in LABELS if label in t.split()] for t in texts]
    flags = numpy.array([[label in own for label in LABELS] for own in labels])

    def write(name, key, values):
        path = os.path.join(folder, name)
        with open(path, "w") as file:
            file.writelines(json.dumps({"text": t, key: value}) + "\n" for t, value in zip(texts, values))
        return path

    data = {"regression": write("scores.jsonl", "score", scores), "multi_label_classification": write("labels.jsonl", "labels", labels)}
    targets = {"regression": torch.tensor(scores)[:, None], "multi_label_classification": torch.tensor(flags, dtype=torch.float32)}

    for problem, path in data.items():
        count = targets[problem].shape[1]
        for steps, rate in [(12, "1e-2"), (24, "1e-2")]:
            out = os.path.join(folder, f"{problem}-{steps}")
            run("train", "classify", "--model", encoder, "--data", path, "--steps", str(steps), "--learning-rate", rate, "--targets",
                "all-linear", "--rank", "4", "--alpha", "6", "--batch-size", "60", "--problem-type", problem, "--quiet", "-o", out)
            run("evaluate", "--model", encoder, "--adapter", out, "--data", path, "--quiet", "--json", os.path.join(out, "found.json"))
            found = json.load(open(os.path.join(out, "found.json")))
            base = AutoModelForSequenceClassification.from_pretrained(encoder, num_labels=count, problem_type=problem)
            model = PeftModel.from_pretrained(base, out).eval()
            encoded = tokenizer(texts, padding=True, truncation=True, max_length=40, return_tensors="pt")
            with torch.no_grad():
                answer = model(**encoded, labels=targets[problem])
            logits, title = answer.logits.numpy(), f"{problem}, {steps} steps"
            near(f"{title}: loss", found["loss"], answer.loss.item())
            written = json.load(open(os.path.join(out, "labels.json")))
            check(f"{title}: labels.json", written["problem_type"] == problem and len(written["id2label"]) == count)
            if problem == "regression":
                near(f"{title}: Pearson", found["pearson"], scipy.stats.pearsonr(logits[:, 0], scores).statistic)
                near(f"{title}: Spearman", found["spearman"], scipy.stats.spearmanr(logits[:, 0], scores).statistic)
                near(f"{title}: mean absolute error", found["mean_absolute_error"], sklearn.metrics.mean_absolute_error(scores, logits[:, 0]))
            else:
                answers = logits > 0
                for mean in ["micro", "macro"]:
                    near(f"{title}: {mean} F1", found[f"{mean}_f1"], sklearn.metrics.f1_score(flags, answers, average=mean, zero_division=0))
                near(f"{title}: exact", found["exact"], sklearn.metrics.accuracy_score(flags, answers))
                own = sklearn.metrics.f1_score(flags, answers, average=None, zero_division=0)
                for label, ours, theirs in zip(LABELS, found["classes"], own):
                    near(f"{title}: F1 of {label}", ours["f1"], theirs)
        with open(os.path.join(folder, f"{problem}-24", "metrics.jsonl")) as lines:
            losses = [json.loads(line)["loss"] for line in lines if "loss" in json.loads(line)]
        check(f"{problem}: learnt", losses[-1] < 0.9 * losses[0], f": {losses[0]:.3f} to {losses[-1]:.3f}")

sys.exit(1 if failures else 0)
