"""Makes optimizers.json: ten steps of PyTorch's optimizers on fixed gradients, and schedules.

    python make.py        (needs torch)
"""
import json
import pathlib

import torch

torch.manual_seed(0)
START = torch.randn(7)
GRADIENTS = torch.randn(10, 7) * torch.tensor([1, 10, 0.1, 1e-3, 1, 1, 0.0])

runs = {
    "adam": lambda p: torch.optim.Adam([p], lr=1e-2),
    "adam-coupled": lambda p: torch.optim.Adam([p], lr=1e-2, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1),
    "adamw": lambda p: torch.optim.AdamW([p], lr=1e-2, weight_decay=0.1),
    "sgd": lambda p: torch.optim.SGD([p], lr=0.1),
    "sgd-momentum": lambda p: torch.optim.SGD([p], lr=0.1, momentum=0.9, weight_decay=0.05),
    "sgd-nesterov": lambda p: torch.optim.SGD([p], lr=0.1, momentum=0.9, nesterov=True),
}
floats = lambda t: [float(x) for x in t.detach().flatten()]
result = {"start": floats(START), "gradients": [floats(g) for g in GRADIENTS], "runs": {}}
for name, make in runs.items():
    p = START.clone().requires_grad_()
    optimizer = make(p)
    path = []
    for g in GRADIENTS:
        p.grad = g.clone()
        optimizer.step()
        path.append(floats(p))
    result["runs"][name] = path

p = START.clone().requires_grad_()
p.grad = GRADIENTS[0].clone()
result["norm"] = float(torch.nn.utils.clip_grad_norm_([p], 0.5))
result["clipped"] = floats(p.grad)
pathlib.Path(__file__).with_name("optimizers.json").write_text(json.dumps(result) + "\n")
