"""Writes the synthetic models and adapters of the toolbox benchmark: a Llama-shaped pair in BF16 and adapters.

    python generate.py FOLDER [--small | --7b]

    base/, tuned/   hidden 1024, 24 layers, intermediate 2816, vocabulary 8192, BF16, about 0.63 GB each; tuned − base is
                    of rank 32 with a falling spectrum, plus noise, over every linear map; with --7b the shape of Llama 7B,
                    13.5 GB each, whose random numbers come again and again: drawing them all takes minutes
    adapter/        rank 16 on all linear maps, F32, as peft writes it
    adapter64/      rank 64 on 2048-wide modules
    loha/           LoHa of rank 4 on all linear maps; loha-part/: on those of one layer
"""
import json
import os
import sys

import torch
from safetensors.torch import save_file

folder = sys.argv[1]
small, large = "--small" in sys.argv, "--7b" in sys.argv
HIDDEN, LAYERS, MIDDLE, VOCABULARY = (
    (128, 2, 352, 512) if small else (4096, 32, 11008, 32000) if large else (1024, 24, 2816, 8192))
torch.manual_seed(0)


def llama():
    yield "model.embed_tokens.weight", (VOCABULARY, HIDDEN)
    for i in range(LAYERS):
        for name in "qkvo":
            yield f"model.layers.{i}.self_attn.{name}_proj.weight", (HIDDEN, HIDDEN)
        yield f"model.layers.{i}.mlp.gate_proj.weight", (MIDDLE, HIDDEN)
        yield f"model.layers.{i}.mlp.up_proj.weight", (MIDDLE, HIDDEN)
        yield f"model.layers.{i}.mlp.down_proj.weight", (HIDDEN, MIDDLE)
        yield f"model.layers.{i}.input_layernorm.weight", (HIDDEN,)
        yield f"model.layers.{i}.post_attention_layernorm.weight", (HIDDEN,)
    yield "model.norm.weight", (HIDDEN,)
    yield "lm_head.weight", (VOCABULARY, HIDDEN)


CONFIG = dict(
    architectures=["LlamaForCausalLM"], model_type="llama", vocab_size=VOCABULARY, hidden_size=HIDDEN,
    intermediate_size=MIDDLE, num_hidden_layers=LAYERS, num_attention_heads=HIDDEN // 64,
    num_key_value_heads=HIDDEN // 64, head_dim=64, hidden_act="silu", max_position_embeddings=2048, rms_norm_eps=1e-5,
    rope_theta=10000.0, tie_word_embeddings=False, torch_dtype="bfloat16", attention_bias=False, mlp_bias=False,
    bos_token_id=1, eos_token_id=2)
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def draws():
    """A function that draws normal numbers; of the large shape, from a pool, at a random place."""
    if not large:
        return torch.randn
    pool = torch.randn(1 << 28)

    def draw(*shape):
        count = torch.Size(shape).numel()
        start = int(torch.randint(len(pool) - count + 1, ()))
        return pool[start:start + count].view(shape)

    return draw


def models():
    """Writes both, tensor by tensor: the large ones don't fit into memory."""
    draw, falling = draws(), torch.logspace(0, -1.5, 32)
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in llama():
        size = 2 * torch.Size(shape).numel()
        header[name] = dict(dtype="BF16", shape=shape, data_offsets=[end, end + size])
        end += size
    header = json.dumps(header).encode()
    header += b" " * (-len(header) % 8)
    files = []
    for part in ["base", "tuned"]:
        os.makedirs(f"{folder}/{part}", exist_ok=True)
        json.dump(CONFIG, open(f"{folder}/{part}/config.json", "w"), indent=2)
        files.append(open(f"{folder}/{part}/model.safetensors", "wb"))
        files[-1].write(len(header).to_bytes(8, "little") + header)
    for name, shape in llama():
        weight = torch.ones(shape) if len(shape) == 1 else draw(*shape) * 0.02
        files[0].write(weight.bfloat16().view(torch.int16).numpy())
        if name.split(".")[-2] in LINEAR:
            left, right = torch.randn(shape[0], 32), torch.randn(32, shape[1])
            weight = weight + (left * falling) @ right * 0.0004 + draw(*shape) * 0.0002
        files[1].write(weight.bfloat16().view(torch.int16).numpy())
    for file in files:
        file.close()


def adapter(name, rank, shapes):
    tensors = {}
    for path, (rows, columns) in shapes:
        tensors[f"base_model.model.{path}.lora_A.weight"] = torch.randn(rank, columns) * 0.02
        tensors[f"base_model.model.{path}.lora_B.weight"] = torch.randn(rows, rank) * 0.02
    os.makedirs(f"{folder}/{name}", exist_ok=True)
    save_file(tensors, f"{folder}/{name}/adapter_model.safetensors", metadata={"format": "pt"})
    json.dump(
        dict(peft_type="LORA", r=rank, lora_alpha=2 * rank, target_modules=LINEAR, task_type="CAUSAL_LM"),
        open(f"{folder}/{name}/adapter_config.json", "w"))


models()
adapter("adapter", 16, [(n[:-7], s) for n, s in llama() if n.split(".")[-2] in LINEAR])
if large:
    sys.exit()
WIDE = 256 if small else 2048
adapter("adapter64", 64, [(f"model.layers.{i}.self_attn.{n}", (WIDE, WIDE)) for i in range(2 if small else 4) for n in ["q_proj", "v_proj"]])


def loha(name, rank, shapes, layers=None):
    tensors = {}
    for path, (rows, columns) in shapes:
        for half in ("w1", "w2"):
            tensors[f"base_model.model.{path}.hada_{half}_a"] = torch.randn(rows, rank) * 0.1
            tensors[f"base_model.model.{path}.hada_{half}_b"] = torch.randn(rank, columns) * 0.1
    os.makedirs(f"{folder}/{name}", exist_ok=True)
    save_file(tensors, f"{folder}/{name}/adapter_model.safetensors", metadata={"format": "pt"})
    json.dump(
        dict(peft_type="LOHA", r=rank, alpha=2 * rank, target_modules=LINEAR, layers_to_transform=layers, task_type="CAUSAL_LM"),
        open(f"{folder}/{name}/adapter_config.json", "w"))


MAPS = [(n[:-7], s) for n, s in llama() if n.split(".")[-2] in LINEAR]
loha("loha", 4, MAPS)
loha("loha-part", 4, [(path, s) for path, s in MAPS if ".layers.0." in path], layers=[0])
