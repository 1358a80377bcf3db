"""Makes operations.json: inputs, outputs and gradients of the main operations, by PyTorch.

    python make.py        (needs torch)
"""
import json
import pathlib

import torch
import torch.nn.functional as F

torch.manual_seed(0)
cases = []


def case(name, shapes, function, scale=1.0):
    inputs = [(torch.randn(s) * scale).requires_grad_() for s in shapes]
    output = function(*inputs)
    upstream = torch.randn(output.shape)
    gradients = torch.autograd.grad(output, inputs, upstream)
    flat = lambda t: {"shape": list(t.shape), "scalars": [round(float(x), 9) for x in t.detach().flatten()]}
    cases.append({
        "name": name, "inputs": [flat(t) for t in inputs], "output": flat(output), "upstream": flat(upstream),
        "gradients": [flat(t) for t in gradients],
    })


case("gelu", [(4, 5)], F.gelu, 2)
case("geluTanh", [(4, 5)], lambda x: F.gelu(x, approximate="tanh"), 2)
case("silu", [(4, 5)], F.silu, 2)
case("erf", [(4, 5)], torch.erf)
case("softmax", [(3, 7)], lambda x: x.softmax(-1), 3)
case("logSoftmax", [(3, 7)], lambda x: x.log_softmax(-1), 3)
case("layerNorm", [(3, 8), (8,), (8,)], lambda x, w, b: F.layer_norm(x, (8,), w, b, 1e-5))
case("rmsNorm", [(3, 8), (8,)], lambda x, w: F.rms_norm(x, (8,), w, 1e-5))
case("linear", [(3, 4), (5, 4), (5,)], F.linear)
case("matmul", [(2, 3, 4), (2, 4, 5)], torch.matmul)
case("crossEntropy", [(4, 6)], lambda x: F.cross_entropy(x, torch.tensor([2, -100, 5, 0]), ignore_index=-100), 2)
case("rows", [(6, 3)], lambda w: F.embedding(torch.tensor([4, 1, 4, 0]), w))

path = pathlib.Path(__file__).with_name("operations.json")
path.write_text(json.dumps(cases) + "\n")
