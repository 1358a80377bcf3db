"""The accuracy that `lora` reaches beside PyTorch with peft: the same model, data and settings, over several seeds.

    python accuracy.py LORA MODEL DATA [--tasks sst2 banking77] [--seeds 0 1 2]
        [--sides lora peft peft-dropout lora-full torch-full]

MODEL is all-MiniLM-L6-v2; DATA holds sst2/{train,test}.tsv and banking77/{train,test}.csv. Each run trains on the whole training
set for a fixed number of epochs, chooses nothing by the test set, and counts the right answers on it. `peft` trains with the dropout
of the base model off, as `lora` does; `peft-dropout` leaves it on (0.1 in MiniLM), as transformers does unless told otherwise. One run
a processor, each on one thread. Prints a line a run, and at the end the mean and range of each side.
"""
import argparse
import concurrent.futures
import csv
import json
import os
import queue
import statistics
import subprocess
import sys
import tempfile
import time

# AdamW; the learning rate rises, then falls linearly to zero; gradients are clipped to norm 1.
TASKS = {
    "sst2": dict(
        train="sst2/train.tsv", test="sst2/test.tsv", text="sentence", label="label", length=64, batch=32, decay=0.01, warm_up=0.06,
        adapter=dict(rate=1e-3, epochs=2), full=dict(rate=5e-5, epochs=2)),
    "banking77": dict(
        train="banking77/train.csv", test="banking77/test.csv", text="text", label="category", length=64, batch=32, decay=0.01,
        warm_up=0.06, adapter=dict(rate=2e-3, epochs=5), full=dict(rate=2e-4, epochs=5)),
}
RANK, ALPHA, DROPOUT = 8, 16, 0.1
SIDES = ["lora", "peft", "peft-dropout", "lora-full", "torch-full"]


def read(path, task):
    with open(path, newline="", encoding="utf-8") as file:
        if path.endswith(".tsv"):
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
        else:
            rows = list(csv.DictReader(file))
    return [row[task["text"]] for row in rows], [row[task["label"]] for row in rows]


def python_side(model_folder, data, task, seed, full, drops):
    """Trains with PyTorch, on one thread; prints the accuracy."""
    import torch
    import transformers
    from peft import LoraConfig, get_peft_model
    torch.set_num_threads(1)
    transformers.set_seed(seed)
    texts, names = read(os.path.join(data, task["train"]), task)
    classes = sorted(set(names))
    labels = torch.tensor([classes.index(name) for name in names])
    tokenizer = transformers.AutoTokenizer.from_pretrained(model_folder)
    dropout = {} if drops else {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    model = transformers.AutoModelForSequenceClassification.from_pretrained(model_folder, num_labels=len(classes), **dropout)
    if not full:
        model = get_peft_model(model, LoraConfig(
            r=RANK, lora_alpha=ALPHA, lora_dropout=DROPOUT, target_modules=["query", "value"], task_type="SEQ_CLS"))
    plan = task["full" if full else "adapter"]
    batches = (len(texts) + task["batch"] - 1) // task["batch"]
    steps = plan["epochs"] * batches
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=plan["rate"], weight_decay=task["decay"])
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, int(task["warm_up"] * steps), steps)

    def encoded(texts):
        return tokenizer(texts, padding=True, truncation=True, max_length=task["length"], return_tensors="pt")

    start = time.perf_counter()
    model.train()
    for _ in range(plan["epochs"]):
        order = torch.randperm(len(texts)).tolist()
        for first in range(0, len(order), task["batch"]):
            indices = order[first:first + task["batch"]]
            loss = model(**encoded([texts[index] for index in indices]), labels=labels[indices]).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    seconds = time.perf_counter() - start
    texts, names = read(os.path.join(data, task["test"]), task)
    right = 0
    model.eval()
    with torch.no_grad():
        for first in range(0, len(texts), 64):
            answers = model(**encoded(texts[first:first + 64])).logits.argmax(-1).tolist()
            right += sum(classes[answer] == name for answer, name in zip(answers, names[first:first + 64]))
    print(json.dumps({"accuracy": right / len(texts), "seconds": seconds}))


def lora_side(lora, model_folder, data, task, seed, full, run):
    plan = task["full" if full else "adapter"]
    columns = ["--text-column", task["text"], "--label-column", task["label"]]
    with tempfile.TemporaryDirectory() as folder:
        output = os.path.join(folder, "trained")
        command = [
            lora, "train", "classify", "--model", model_folder, "--data", os.path.join(data, task["train"]), *columns,
            "--length", str(task["length"]), "--batch-size", str(task["batch"]), "--epochs", str(plan["epochs"]),
            "--learning-rate", str(plan["rate"]), "--weight-decay", str(task["decay"]), "--warm-up", str(task["warm_up"]),
            "--seed", str(seed), "-o", output, "--quiet", "--json", os.path.join(folder, "train.json")]
        command += ["--full"] if full else ["--rank", str(RANK), "--alpha", str(ALPHA), "--dropout", str(DROPOUT)]
        run(command)
        trained = ["--model", output] if full else ["--model", model_folder, "--adapter", output]
        run([lora, "evaluate", *trained, "--data", os.path.join(data, task["test"]), *columns, "--length", str(task["length"]),
             "--quiet", "--json", os.path.join(folder, "test.json")])
        with open(os.path.join(folder, "train.json")) as train, open(os.path.join(folder, "test.json")) as test:
            return {"accuracy": json.load(test)["accuracy"], "seconds": json.load(train)["seconds"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lora")
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=["lora", "peft", "lora-full"])
    parser.add_argument("--python-run", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.python_run:
        side, task, seed = json.loads(options.python_run)
        return python_side(options.model, options.data, TASKS[task], seed, full=side.endswith("-full"), drops=side == "peft-dropout")

    processors = queue.SimpleQueue()
    for processor in os.sched_getaffinity(0):
        processors.put(processor)

    def work(job):
        side, task, seed = job
        processor = processors.get()

        def run(command):
            result = subprocess.run(
                command, capture_output=True, text=True, env=dict(os.environ, OMP_NUM_THREADS="1"),
                preexec_fn=lambda: os.sched_setaffinity(0, {processor}))
            if result.returncode:
                raise RuntimeError(f"{' '.join(command)} failed:\n{result.stderr}")
            return result.stdout

        try:
            if side.startswith("lora"):
                result = lora_side(options.lora, options.model, options.data, TASKS[task], seed, side.endswith("-full"), run)
            else:
                result = json.loads(run([
                    sys.executable, __file__, options.lora, options.model, options.data, "--python-run", json.dumps(job)]))
        finally:
            processors.put(processor)
        print(f"{task:<10} {side:<12} seed {seed}: {100 * result['accuracy']:.2f}%, {result['seconds']:.0f} s", flush=True)
        return result["accuracy"]

    jobs = [(side, task, seed) for task in options.tasks for side in options.sides for seed in options.seeds]
    with concurrent.futures.ThreadPoolExecutor(processors.qsize()) as pool:
        accuracies = list(pool.map(work, jobs))
    print()
    for task in options.tasks:
        for side in options.sides:
            found = [100 * accuracy for job, accuracy in zip(jobs, accuracies) if job[:2] == (side, task)]
            print(f"{task:<10} {side:<12} mean {statistics.mean(found):.2f}% of {len(found)} seeds, {min(found):.2f} to {max(found):.2f}")


if __name__ == "__main__":
    main()
