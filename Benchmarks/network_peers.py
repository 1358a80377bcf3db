"""PyTorch at what network-bench does: `name value` lines, the median of several runs.

    python network_peers.py        (needs torch)

Names with /channels-last are the same step in that memory format, which PyTorch's convolutions may prefer.
"""
import math
import os
import statistics
import time

import torch
from torch import nn

REPEATS = 1 if "SHORTEST" in os.environ else 15


def wave(shape, scale, phase):
    count = math.prod(shape)
    return torch.tensor([scale * math.sin(1.7 * i + phase) for i in range(count)]).reshape(shape)


def network():
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1568, 10))
    with torch.no_grad():
        for layer in (model[0], model[3]):
            layer.weight.copy_(wave(tuple(layer.weight.shape), 0.2, 0.3))
            layer.bias.copy_(wave(tuple(layer.bias.shape), 0.1, 0.7))
        model[7].weight.copy_(wave((10, 1568), 0.03, 0.1))
        model[7].bias.copy_(wave((10,), 0.1, 0.2))
    return model


def train(batch, steps, memory_format):
    model = network().to(memory_format=memory_format)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    images = wave((batch, 1, 28, 28), 1, 0.5).to(memory_format=memory_format)
    labels = torch.arange(batch) % 10
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        last = loss.item()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times[5:]), last


for threads in (1, 2):
    torch.set_num_threads(threads)
    for batch in (32, 128):
        for suffix, memory_format in (("", torch.contiguous_format), ("/channels-last", torch.channels_last)):
            milliseconds, loss = train(batch, 5 + REPEATS, memory_format)
            print(f"cnn-step-ms-batch-{batch}-threads-{threads}{suffix} {milliseconds:.5f}", flush=True)
            print(f"=cnn-loss-batch-{batch}-threads-{threads}{suffix} {loss:.5f}", flush=True)

torch.set_num_threads(1)
start, step = torch.tensor([1.0, 2, 3, 4]), torch.tensor([0.5] * 4)


def chain(x):
    for _ in range(1000):
        x = x + step
    return x


forward, both = [], []
for _ in range(REPEATS + 3):
    with torch.no_grad():
        begin = time.perf_counter()
        chain(start)
        forward.append(1000 * (time.perf_counter() - begin))
    begin = time.perf_counter()
    leaf = start.clone().requires_grad_()
    chain(leaf).sum().backward()
    both.append(1000 * (time.perf_counter() - begin))
print(f"add-us-forward {statistics.median(forward[3:]):.5f}", flush=True)
print(f"add-us-with-gradient {statistics.median(both[3:]):.5f}", flush=True)
