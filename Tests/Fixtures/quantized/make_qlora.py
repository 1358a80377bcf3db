"""The losses of ten steps of peft on a base that bitsandbytes keeps in NF4, on the CPU: qlora.json.

    python make_qlora.py SHARED    # needs torch, transformers, peft and bitsandbytes; SHARED holds data/models, data/adapters

Batches, start and optimizer are those of data/adapters/train-parity-stories260k-lora."""
import json
import os
import sys

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

here = os.path.dirname(os.path.abspath(__file__))
parity = os.path.join(sys.argv[1], "data/adapters/train-parity-stories260k-lora")
run = json.load(open(os.path.join(parity, "train.json")))
model = AutoModelForCausalLM.from_pretrained(
    os.path.join(sys.argv[1], "data/models/stories260K"), dtype=torch.float32,
    quantization_config=BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32))
fields = json.load(open(os.path.join(parity, "adapter_config.json")))
model = get_peft_model(
    model, LoraConfig(r=fields["r"], lora_alpha=fields["lora_alpha"], target_modules=fields["target_modules"], lora_dropout=0.0))
start = load_file(os.path.join(parity, "adapter_init.safetensors"))
missing = set(start)
with torch.no_grad():
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            key = name.replace(".default", "")
            parameter.copy_(start[key])
            missing.discard(key)
assert not missing, missing
optimizer = torch.optim.AdamW(
    [p for p in model.parameters() if p.requires_grad], lr=run["optimizer"]["lr"],
    weight_decay=run["optimizer"]["weight_decay"])
losses = []
model.train()
for batch in run["batches"]:
    ids = torch.tensor(batch)
    loss = model(ids, labels=ids).loss
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(round(loss.item(), 6))
json.dump({"losses": losses}, open(os.path.join(here, "qlora.json"), "w"))
print(losses, run["losses"][:3])
