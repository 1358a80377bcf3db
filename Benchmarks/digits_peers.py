"""PyTorch and peft at what digits-bench does, on the same images: `name value` lines, the median of several runs.

    python digits_peers.py FOLDER-OF-IDX-FILES        (needs torch and peft)
"""
import gzip
import os
import pathlib
import statistics
import sys
import time

import numpy
import torch
from torch import nn
from torch.nn.utils import parametrize

folder = pathlib.Path(sys.argv[1])
torch.set_num_threads(torch.get_num_threads() if len(sys.argv) < 3 else int(sys.argv[2]))
images = numpy.frombuffer(gzip.open(folder / "train-images-idx3-ubyte.gz").read()[16:], numpy.uint8).reshape(-1, 784)
labels = torch.tensor(numpy.frombuffer(gzip.open(folder / "train-labels-idx1-ubyte.gz").read()[8:], numpy.uint8).copy()).long()
inputs = (torch.tensor(images.copy()).float() / 255 - 0.1307) / 0.3081
REPEATS = 1 if "SHORTEST" in os.environ else 5


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden1, self.hidden2, self.output = nn.Linear(784, 1000), nn.Linear(1000, 2000), nn.Linear(2000, 10)

    def forward(self, x):
        return self.output(torch.relu(self.hidden2(torch.relu(self.hidden1(x)))))


class LoRA(nn.Module):
    """The notebooks' parametrization: it forms W + s B A."""

    def __init__(self, outputs, inputs, rank, alpha):
        super().__init__()
        self.a = nn.Parameter(torch.randn(rank, inputs))
        self.b = nn.Parameter(torch.zeros(outputs, rank))
        self.scale = alpha / rank

    def forward(self, weight):
        return weight + torch.matmul(self.b, self.a).view(weight.shape) * self.scale


def steps_per_second(model, batch, steps):
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-3, fused=True)
    loss_of = nn.CrossEntropyLoss()

    def run(count):
        order = torch.randperm(len(labels))
        for i in range(count):
            index = order[(i * batch) % (len(order) - batch):][:batch]
            optimizer.zero_grad()
            loss_of(model(inputs[index]), labels[index]).backward()
            optimizer.step()

    run(10)
    rates = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run(steps)
        rates.append(steps / (time.perf_counter() - start))
    return statistics.median(rates)


def parametrized():
    model = Classifier()
    for p in model.parameters():
        p.requires_grad_(False)
    for layer in (model.hidden1, model.hidden2, model.output):
        parametrize.register_parametrization(layer, "weight", LoRA(*layer.weight.shape, 1, 1))
    return model


def with_peft():
    import peft

    config = peft.LoraConfig(r=1, lora_alpha=1, target_modules=["hidden1", "hidden2", "output"])
    return peft.get_peft_model(Classifier(), config)


for batch in (10, 64):
    print(f"base-batch-{batch} {steps_per_second(Classifier(), batch, 60):.4f}", flush=True)
for batch in (10, 64):
    print(f"lora-batch-{batch}/parametrize {steps_per_second(parametrized(), batch, 50):.4f}", flush=True)
    print(f"lora-batch-{batch}/peft {steps_per_second(with_peft(), batch, 100):.4f}", flush=True)

model = Classifier().eval()
many = inputs[torch.arange(10_000) % len(inputs)]
for name, size in (("whole", 10_000), ("by-500", 500)):
    times = []
    with torch.no_grad():
        for repeat in range(REPEATS + 1):
            start = time.perf_counter()
            for part in many.split(size):
                model(part).argmax(1)
            times.append(1000 * (time.perf_counter() - start))
    print(f"evaluate-10000-ms/{name} {statistics.median(times[1:]):.4f}", flush=True)
