"""Makes the fixtures of CheckpointsTests with Python: tiny random models, adapters as peft saves them, peft's own merges.

    pip install torch peft transformers safetensors
    python make_fixtures.py

Each case is a folder: base/ (a model directory), adapter/ (as save_pretrained writes it) and merged.safetensors, the
tensors that merging with peft changed, under the base's names. Those of convolutions also have outputs.safetensors: what
peft's model gives for an input.
"""

import json
import os
import shutil
import sys
import warnings

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (BertConfig, BertForSequenceClassification, GPT2Config, GPT2LMHeadModel, LlamaConfig,
                          LlamaForCausalLM)

here = os.path.dirname(os.path.abspath(__file__))
warnings.simplefilter("ignore")


def llama(**changes):
    options = dict(vocab_size=20, hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2,
                   num_key_value_heads=1, max_position_embeddings=16, tie_word_embeddings=False)
    options.update(changes)
    return LlamaForCausalLM(LlamaConfig(**options))


def gpt2():
    return GPT2LMHeadModel(GPT2Config(vocab_size=18, n_embd=8, n_layer=2, n_head=2, n_positions=12))


def bert():
    return BertForSequenceClassification(BertConfig(
        vocab_size=18, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=12,
        max_position_embeddings=12, num_labels=3))


class Convolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, (3, 2))
        self.second = nn.Conv2d(4, 5, 3)
        self.head = nn.Linear(5, 2)

    def forward(self, x):
        return self.head(self.second(torch.relu(self.first(x))).mean((2, 3)))


LLAMA = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
CASES = {
    "llama": (llama, dict(r=3, lora_alpha=5, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")),
    "llama-rslora-patterns": (llama, dict(
        r=3, lora_alpha=5, use_rslora=True, target_modules=LLAMA, task_type="CAUSAL_LM",
        rank_pattern={"down_proj": 2, r"layers\.1\..*q_proj": 4, "model.layers.0.mlp.up_proj": 1},
        alpha_pattern={"down_proj": 7, r"layers\.1\.self_attn\.v_proj": 2.5})),
    "llama-dora": (llama, dict(r=2, lora_alpha=3, use_dora=True, target_modules=LLAMA, task_type="CAUSAL_LM")),
    "llama-embedding": (llama, dict(
        r=2, lora_alpha=3, target_modules=["embed_tokens", "o_proj"], task_type="CAUSAL_LM")),
    "llama-embedding-dora": (llama, dict(
        r=2, lora_alpha=3, use_dora=True, target_modules=["embed_tokens", "q_proj"], task_type="CAUSAL_LM")),
    "llama-layers": (llama, dict(
        r=2, lora_alpha=3, target_modules=["q_proj", "up_proj"], layers_to_transform=[1], layers_pattern="layers",
        task_type="CAUSAL_LM")),
    "llama-excluded": (llama, dict(
        r=2, lora_alpha=3, target_modules=r".*\.(q_proj|down_proj)", exclude_modules=["layers.0.mlp.down_proj"],
        task_type="CAUSAL_LM")),
    "gpt2": (gpt2, dict(
        r=3, lora_alpha=5, target_modules=["c_attn", "c_proj", "c_fc"], fan_in_fan_out=True, task_type="CAUSAL_LM")),
    "gpt2-dora": (gpt2, dict(
        r=2, lora_alpha=5, use_dora=True, target_modules=["c_attn", "c_proj"], fan_in_fan_out=True,
        task_type="CAUSAL_LM")),
    "bert-head": (bert, dict(
        r=3, lora_alpha=6, target_modules=["query", "value"], bias="lora_only", task_type="SEQ_CLS")),
    "bert-biases": (bert, dict(
        r=2, lora_alpha=6, target_modules=r".*attention\.self\.(query|key)", bias="all", lora_bias=True,
        task_type="SEQ_CLS")),
    "convolutions": (Convolutions, dict(r=2, lora_alpha=3, target_modules=["first", "second", "head"])),
    "convolutions-dora": (Convolutions, dict(r=2, lora_alpha=3, use_dora=True, target_modules=["first", "second"])),
}


def make(name, build, options):
    folder = os.path.join(here, name)
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(len(name))
    base = build()
    with torch.no_grad():
        for parameter in base.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3 + (0.7 if parameter.ndim == 1 else 0))
    if hasattr(base, "save_pretrained"):
        base.save_pretrained(os.path.join(folder, "base"))
        os.path.exists(p := os.path.join(folder, "base", "generation_config.json")) and os.remove(p)
    else:
        os.makedirs(os.path.join(folder, "base"))
        save_file(base.state_dict(), os.path.join(folder, "base", "model.safetensors"), metadata={"format": "pt"})
    before = load_file(os.path.join(folder, "base", "model.safetensors"))
    model = get_peft_model(base, LoraConfig(**options))
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.4)
    model.base_model.model.name_or_path = ""
    model.peft_config["default"].base_model_name_or_path = "base"
    model.save_pretrained(os.path.join(folder, "adapter"))
    os.path.exists(p := os.path.join(folder, "adapter", "README.md")) and os.remove(p)
    merged = model.merge_and_unload().state_dict()
    changed = {key: merged[key].contiguous() for key, tensor in before.items() if not torch.equal(merged[key], tensor)}
    save_file(changed, os.path.join(folder, "merged.safetensors"))
    print(name, len(changed), "of", len(before), "tensors changed")


def record_outputs(name):
    folder = os.path.join(here, name)
    base = Convolutions()
    base.load_state_dict(load_file(os.path.join(folder, "base", "model.safetensors")))
    model = PeftModel.from_pretrained(base, os.path.join(folder, "adapter")).eval()
    x = torch.randn(2, 3, 7, 6, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        save_file({"input": x, "output": model(x)}, os.path.join(folder, "outputs.safetensors"))


if __name__ == "__main__":
    for name, (build, options) in CASES.items():
        if len(sys.argv) < 2 or name in sys.argv[1:]:
            make(name, build, options)
            if build is Convolutions:
                record_outputs(name)
