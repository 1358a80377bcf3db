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

gather_index = torch.tensor([[2, 0, 2], [1, 1, 0]])
case("pow", [(3, 4)], lambda x: x.abs().pow(1.7))
case("powTensor", [(3, 4), (4,)], lambda x, y: x.abs().pow(y))
case("sin", [(4, 5)], torch.sin, 4)
case("cos", [(4, 5)], torch.cos, 4)
case("softplus", [(4, 5)], F.softplus, 4)
case("minimum", [(3, 4), (4,)], torch.minimum)
case("clamp", [(4, 5)], lambda x: x.clamp(-0.5, 0.75))
case("where", [(3, 4), (4,)], lambda x, y: torch.where(x > y, x, y * 2))
case("gather", [(2, 3)], lambda x: x.gather(1, gather_index))
case("gatherFirst", [(3, 2)], lambda x: x.gather(0, gather_index.T[:2]))
case("stack", [(2, 3), (2, 3)], lambda x, y: torch.stack([x, y], 1))
case("variance", [(3, 5)], lambda x: x.var(1))
case("variancePopulation", [(3, 5)], lambda x: x.var(correction=0))
case("conv2d", [(2, 3, 6, 5), (4, 3, 3, 2), (4,)], F.conv2d)
case("conv2dStrided", [(2, 3, 7, 6), (5, 3, 3, 3), (5,)], lambda x, w, b: F.conv2d(x, w, b, 2, 1))
case("conv2dDilated", [(1, 2, 9, 8), (3, 2, 3, 3)], lambda x, w: F.conv2d(x, w, None, 3, 2, 2))
case("conv2dGroups", [(2, 4, 5, 5), (6, 2, 3, 3), (6,)], lambda x, w, b: F.conv2d(x, w, b, 1, 1, 1, 2))
case("maxPool2d", [(2, 2, 5, 6)], lambda x: F.max_pool2d(x, 2))
case("maxPool2dOverlapping", [(1, 2, 7, 6)], lambda x: F.max_pool2d(x, 3, 2, 1))
case("averagePool2d", [(2, 2, 5, 6)], lambda x: F.avg_pool2d(x, 2))
case("averagePool2dOverlapping", [(1, 2, 7, 6)], lambda x: F.avg_pool2d(x, 3, 2, 1))
case("groupNorm", [(2, 6, 3, 2), (6,), (6,)], lambda x, w, b: F.group_norm(x, 3, w, b))
case("meanSquaredError", [(3, 4), (3, 4)], F.mse_loss)
case("meanAbsoluteError", [(3, 4), (3, 4)], F.l1_loss)
case("binaryCrossEntropy", [(3, 4), (3, 4)],
     lambda x, t: F.binary_cross_entropy_with_logits(x, torch.sigmoid(t)), 3)
case("klDivergence", [(3, 4), (3, 4)],
     lambda x, t: F.kl_div(x.log_softmax(-1), t.softmax(-1), reduction="batchmean"), 2)
case("crossEntropyWeighted", [(5, 4)], lambda x: F.cross_entropy(
    x, torch.tensor([2, -100, 0, 2, 3]), torch.tensor([0.3, 5.0, 1.7, 0.9]), ignore_index=-100), 2)

path = pathlib.Path(__file__).with_name("operations.json")
path.write_text(json.dumps(cases) + "\n")
