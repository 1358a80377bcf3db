"""Weights as torch.save writes them, and the same tensors as safetensors: python make.py (made with torch 2.13)."""
import collections
import torch
from safetensors.torch import save_file

torch.manual_seed(5)
big = torch.randn(10, 4)
tensors = collections.OrderedDict(
    a=torch.randn(3, 5), b=torch.randn(4, 6).t(), c=torch.arange(5), h=torch.randn(2, 3).half(),
    bf=torch.randn(7).bfloat16(), p=torch.nn.Parameter(torch.randn(2, 2)), s=torch.tensor(3.0), e=torch.zeros(0, 4),
    v=big[2:5], w=big[:, 1:3], f8=torch.randn(4).to(torch.float8_e4m3fn), bo=torch.tensor([True, False]))
torch.save(tensors, "new.bin")
torch.save(tensors, "old.bin", _use_new_zipfile_serialization=False)
torch.save({"state_dict": tensors, "epoch": 3, "optimizer": {"lr": 0.1}}, "ckpt.pt")
torch.save(torch.nn.Linear(2, 2), "module.bin")
save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, "reference.safetensors")
