"""The peers that the toolbox is compared with, each in its own process: `seconds value` and `megabytes value` lines.

    python peers.py extract-svd_lowrank | extract-full_svd | merge-peft | merge-streaming | resize-full | convert-save_as_lora
        FOLDER OUT

The slow ones do a part: full SVDs of one layer of 24, resizing of one module of 8, conversion of one layer of 24. Imports are not timed. Memory is the peak resident set, mapped file pages included.
"""
import json
import os
import resource
import sys
import time

import torch
from safetensors import safe_open
from safetensors.torch import save_file

task, folder, out = sys.argv[1:4]
torch.set_num_threads(int(os.environ.get("THREADS", os.cpu_count())))
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
RANK = 16


def extract(decompose):
    os.makedirs(out, exist_ok=True)
    torch.manual_seed(0)
    tensors, change, residual = {}, 0.0, 0.0
    with safe_open(f"{folder}/base/model.safetensors", "pt") as base, safe_open(f"{folder}/tuned/model.safetensors", "pt") as tuned:
        for name in base.keys():
            if name.split(".")[-2] not in LINEAR or (task == "extract-full_svd" and ".layers.1." not in name):
                continue
            difference = tuned.get_tensor(name).float() - base.get_tensor(name).float()
            u, s, v = decompose(difference)
            root = s.sqrt()
            tensors[f"base_model.model.{name[:-7]}.lora_B.weight"] = (u * root).contiguous()
            tensors[f"base_model.model.{name[:-7]}.lora_A.weight"] = (v * root).T.contiguous()
            if "--measure" in sys.argv:
                change += float(difference.square().sum())
                residual += float((difference - (u * s) @ v.T).square().sum())
    save_file(tensors, f"{out}/adapter_model.safetensors", metadata={"format": "pt"})
    if "--measure" in sys.argv:
        print("residual", (residual / change) ** 0.5)


def lowrank(difference):
    return torch.svd_lowrank(difference, q=RANK + 8, niter=2) if "--oversample" in sys.argv else torch.svd_lowrank(difference, q=RANK, niter=2)


def full(difference):
    u, s, vh = torch.linalg.svd(difference, full_matrices=False)
    return u[:, :RANK], s[:RANK], vh[:RANK].T


def merge_peft():
    model = AutoModelForCausalLM.from_pretrained(f"{folder}/base", dtype=torch.bfloat16)
    PeftModel.from_pretrained(model, f"{folder}/adapter").merge_and_unload().save_pretrained(out)


def merge_streaming():
    os.makedirs(out, exist_ok=True)
    scale = 2.0
    result = {}
    with safe_open(f"{folder}/base/model.safetensors", "pt") as base, safe_open(f"{folder}/adapter/adapter_model.safetensors", "pt") as adapter:
        for name in base.keys():
            weight = base.get_tensor(name)
            key = f"base_model.model.{name[:-7]}"
            if name.split(".")[-2] in LINEAR:
                product = adapter.get_tensor(key + ".lora_B.weight") @ adapter.get_tensor(key + ".lora_A.weight")
                weight = torch.add(weight.float(), product, alpha=scale).bfloat16()
            result[name] = weight
    save_file(result, f"{out}/model.safetensors", metadata={"format": "pt"})


def resize_full():
    os.makedirs(out, exist_ok=True)
    result = {}
    with safe_open(f"{folder}/adapter64/adapter_model.safetensors", "pt") as adapter:
        for key in [k for k in adapter.keys() if ".lora_A." in k][:1]:
            product = adapter.get_tensor(key.replace("lora_A", "lora_B")) @ adapter.get_tensor(key)
            u, s, vh = torch.linalg.svd(product, full_matrices=False)
            root = s[:RANK].sqrt()
            result[key.replace("lora_A", "lora_B")] = (u[:, :RANK] * root).contiguous()
            result[key] = (root[:, None] * vh[:RANK]).contiguous()
    save_file(result, f"{out}/adapter_model.safetensors", metadata={"format": "pt"})


def convert():
    save_as_lora(out, converted, rank=16)


TASKS = {
    "extract-svd_lowrank": lambda: extract(lowrank), "extract-full_svd": lambda: extract(full), "merge-peft": merge_peft,
    "merge-streaming": merge_streaming, "resize-full": resize_full, "convert-save_as_lora": convert,
}
if task == "convert-save_as_lora":
    from peft import PeftModel, save_as_lora
    from transformers import AutoModelForCausalLM

    converted = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(f"{folder}/base", dtype=torch.float32), f"{folder}/loha-part")
if task == "merge-peft":
    from peft import PeftModel
    from transformers import AutoModelForCausalLM
start = time.perf_counter()
TASKS[task]()
print("seconds", time.perf_counter() - start)
print("megabytes", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
