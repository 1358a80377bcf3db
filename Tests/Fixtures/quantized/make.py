"""Quantised weights in every format that is read, and what each format's own library makes of them.

    python make.py        # needs gguf, bitsandbytes, mlx[cpu], torch and safetensors; writes files beside itself

`expected.safetensors` holds the decoded numbers under FILE/TENSOR. GPTQ's and AWQ's are worked out here, from their layouts. The
tiny models are those of ../models, whose reference.json holds for them too.
"""
import json
import os

import bitsandbytes.functional as bnb
import gguf
import mlx.core as mx
import numpy as np
import torch
from gguf import quants
from safetensors.numpy import save_file
from safetensors.torch import load_file

here = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(7)
expected = {}


def blocks():
    """Random codes; scales of a usual size, some of them subnormal or negative."""
    writer = gguf.GGUFWriter(os.path.join(here, "blocks.gguf"), "llama")
    # Where a block's float16 lie.
    scales = {"Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q2_K": [80, 82], "Q3_K": [108],
              "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}
    for name, places in scales.items():
        kind = gguf.GGMLQuantizationType[name]
        count, size = gguf.GGML_QUANT_SIZES[kind]
        rows, columns = 3, 256 if count == 256 else 96
        raw = rng.integers(0, 256, (rows * columns // count, size), dtype=np.uint8)
        for place in places:
            values = rng.normal(0, 0.05, len(raw)).astype(np.float16)
            values[0] = 3e-6
            raw[:, place:place + 2] = values.view(np.uint8).reshape(-1, 2)
        raw = raw.reshape(rows, -1)
        writer.add_tensor(f"blk.0.{name}", raw, raw_dtype=kind)
        expected[f"blocks/{name}"] = quants.dequantize(raw, kind).astype(np.float32)
    for name, values in {"F16": rng.normal(0, 1, (3, 5)).astype(np.float16)}.items():
        writer.add_tensor(f"blk.0.{name}", values)
        expected[f"blocks/{name}"] = values.astype(np.float32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def encodings():
    """One row of numbers, and its blocks by gguf's own quantisation."""
    x = (rng.normal(0, 1, (5, 64)) * rng.uniform(1e-3, 2, (5, 1))).astype(np.float32)
    x[1, :32] = 0
    tensors = {"numbers": x}
    for name in ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"]:
        tensors[name] = quants.quantize(x, gguf.GGMLQuantizationType[name])
    save_file(tensors, os.path.join(here, "encodings.safetensors"))


def bitsandbytes():
    tensors = {}
    for name, kind, shape, block, nested in [
        ("nf4", "nf4", (6, 100), 64, False), ("nested", "nf4", (5, 96), 32, True), ("fp4", "fp4", (7, 41), 64, False)]:
        w = torch.tensor(rng.normal(0, 0.3, shape).astype(np.float32))
        codes, state = bnb.quantize_4bit(w, blocksize=block, quant_type=kind, compress_statistics=nested)
        tensors[f"{name}.weight"] = codes.numpy()
        for key, value in state.as_dict(packed=True).items():
            tensors[f"{name}.weight.{key}"] = value.numpy()
        expected[f"bitsandbytes/{name}"] = bnb.dequantize_4bit(codes, state).numpy()
    w = torch.tensor(rng.normal(0, 0.3, (6, 20)).astype(np.float16))
    codes, scales, _ = bnb.int8_vectorwise_quant(w)
    tensors["int8.weight"], tensors["int8.SCB"] = codes.numpy(), scales.float().numpy()
    tensors["int8.weight_format"] = np.array(0, dtype=np.uint8)
    expected["bitsandbytes/int8"] = bnb.int8_vectorwise_dequant(codes, scales.float()).float().numpy()
    save_file(tensors, os.path.join(here, "bitsandbytes.safetensors"))


def mlx():
    folder = os.path.join(here, "mlx")
    os.makedirs(folder, exist_ok=True)
    tensors, settings = {}, {"group_size": 32, "bits": 4}
    for name, bits, group, dtype in [("four", 4, 32, mx.float16), ("eight", 8, 64, mx.float32)]:
        w = mx.array(rng.normal(0, 0.3, (6, 128)).astype(np.float32)).astype(dtype)
        codes, scales, biases = mx.quantize(w, group_size=group, bits=bits)
        tensors |= {f"{name}.weight": np.array(codes), f"{name}.scales": np.array(scales), f"{name}.biases": np.array(biases)}
        if bits == 8:
            settings[name] = {"group_size": group, "bits": bits}
        # In float32, which the library's own float16 rounds.
        plain = [np.array(part).astype(np.float32) for part in (scales, biases)]
        expected[f"mlx/{name}"] = np.array(mx.dequantize(codes, *(mx.array(p) for p in plain), group_size=group, bits=bits))
    save_file(tensors, os.path.join(folder, "model.safetensors"))
    json.dump({"model_type": "llama", "quantization": settings}, open(os.path.join(folder, "config.json"), "w"))


def packed(name, version, order, awq=False):
    inputs, outputs, group = 32, 24, 8
    q = rng.integers(0, 16, (inputs, outputs))
    zeros = rng.integers(1 if version == "gptq" else 0, 16, (inputs // group, outputs))
    scales = rng.uniform(0.01, 0.1, (inputs // group, outputs)).astype(np.float16)
    groups = np.arange(inputs) // group
    if order:
        groups = rng.permutation(groups)

    def words(values, axis, places=range(8)):
        values = np.moveaxis(values, axis, -1).reshape(*np.moveaxis(values, axis, -1).shape[:-1], -1, 8).astype(np.uint32)
        packed = np.zeros(values.shape[:-1], dtype=np.uint32)
        for nibble, place in enumerate(places):
            packed |= values[..., place] << np.uint32(4 * nibble)
        return np.ascontiguousarray(np.moveaxis(packed, -1, axis)).view(np.int32)

    folder = os.path.join(here, name)
    os.makedirs(folder, exist_ok=True)
    if awq:
        places = [0, 2, 4, 6, 1, 3, 5, 7]
        tensors = {"l.qweight": words(q, 1, places), "l.qzeros": words(zeros, 1, places), "l.scales": scales}
        settings = {"quant_method": "awq", "bits": 4, "group_size": group, "version": "gemm"}
    else:
        stored = zeros - 1 if version == "gptq" else zeros
        tensors = {"l.qweight": words(q, 0), "l.qzeros": words(stored, 1), "l.scales": scales,
                   "l.g_idx": groups.astype(np.int32)}
        settings = {"quant_method": "gptq", "bits": 4, "group_size": group, "checkpoint_format": version}
    w = scales.astype(np.float32)[groups] * (q - zeros[groups]).astype(np.float32)
    expected[f"{name}/l"] = np.ascontiguousarray(w.T)
    save_file(tensors, os.path.join(folder, "model.safetensors"))
    json.dump({"model_type": "llama", "quantization_config": settings}, open(os.path.join(folder, "config.json"), "w"))


def tiny(name, architecture, table, layers, permuted=()):
    source = os.path.join(here, "../models", name)
    c = json.load(open(os.path.join(source, "config.json")))
    weights = {}
    for file in sorted(os.listdir(source)):
        if file.endswith(".safetensors"):
            weights |= {k: v.float().numpy() for k, v in load_file(os.path.join(source, file)).items()}
    w = gguf.GGUFWriter(os.path.join(here, name + ".gguf"), architecture)
    heads, keys = c.get("num_attention_heads", c.get("n_head")), c.get("num_key_value_heads")
    hidden = c.get("hidden_size", c.get("n_embd"))
    w.add_context_length(c.get("max_position_embeddings", c.get("n_positions")))
    w.add_embedding_length(hidden)
    w.add_block_count(c.get("num_hidden_layers", c.get("n_layer")))
    w.add_feed_forward_length(c.get("intermediate_size") or c.get("n_inner") or 4 * hidden)
    w.add_head_count(heads)
    if keys:
        w.add_head_count_kv(keys)
        w.add_layer_norm_rms_eps(c["rms_norm_eps"])
        w.add_rope_freq_base(c["rope_parameters"]["rope_theta"])
        if c.get("head_dim"):
            w.add_key_length(c["head_dim"])
    else:
        w.add_layer_norm_eps(c.get("layer_norm_epsilon", c.get("layer_norm_eps")))
    count = c["vocab_size"]
    tokens = ["<unk>", "<s>", "</s>", "\u2581"] + [chr(97 + i) for i in range(count - 5)] + ["\u2581a"]
    types = [2, 3, 3] + [1] * (count - 3)
    if architecture == "bert":
        tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"] + ["\u2581" + chr(97 + i) for i in range(count - 4)]
        types = [3] * 4 + [1] * (count - 4)
    kind = {"bert": "bert", "gpt2": "gpt2"}.get(architecture, "llama")
    w.add_tokenizer_model(kind)
    if kind == "gpt2":
        tokens = ["<|endoftext|>"] + [chr(97 + i) for i in range(count - 2)] + ["ab"]
        types = [3] + [1] * (count - 1)
        w.add_tokenizer_pre("gpt-2")
        w.add_token_merges(["a b"])
    if kind == "llama":
        w.add_token_scores([0.0] * (count - 1) + [-1.0])
        w.add_bos_token_id(1)
        w.add_eos_token_id(2)
    w.add_token_list(tokens)
    w.add_token_types(types)
    for key, value in weights.items():
        module, leaf = key.rsplit(".", 1)
        if module in ("lm_head",) and c.get("tie_word_embeddings") or "pooler" in module or key.endswith("position_ids"):
            continue
        for number in range(8):
            prefix = layers % number
            if module.startswith(prefix):
                module = f"blk.{number}." + table[module[len(prefix):]]
                break
        else:
            module = table[module]
        if architecture == "gpt2" and value.ndim == 2 and module.startswith("blk"):
            value = value.T
        for part, n in permuted:
            if module.endswith(part):
                n = c[n]
                value = value.reshape(n, 2, value.shape[0] // n // 2, *value.shape[1:]).swapaxes(1, 2).reshape(value.shape)
        w.add_tensor(f"{module}.{leaf}", np.ascontiguousarray(value.astype(np.float32)))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


blocks()
encodings()
bitsandbytes()
mlx()
packed("gptq", "gptq", order=False)
packed("gptq-v2", "gptq_v2", order=True)
packed("awq", "awq", order=False, awq=True)
save_file(expected, os.path.join(here, "expected.safetensors"))

llama = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output", "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm"}
tiny("tiny-llama", "llama", llama, "model.layers.%d.",
     [("attn_q", "num_attention_heads"), ("attn_k", "num_key_value_heads")])
tiny("tiny-qwen2", "qwen2", llama, "model.layers.%d.")
tiny("tiny-gpt2", "gpt2", {
    "transformer.wte": "token_embd", "transformer.wpe": "position_embd", "transformer.ln_f": "output_norm", "ln_1": "attn_norm",
    "ln_2": "ffn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down"}, "transformer.h.%d.")
