"""Tiny models of every supported kind and what transformers computes with them, in float32.

    python make_models.py        # needs torch and transformers; writes folders beside itself

Each folder: config.json, the weights, reference.json. Weights are random and larger than at a usual start, so that every part of a
model shows in its output.
"""
import json
import os
import shutil

import torch
from transformers import (
    BertConfig, BertForSequenceClassification, BertModel, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM,
    MistralConfig, MistralForCausalLM, Qwen2Config, Qwen2ForCausalLM)

here = os.path.dirname(os.path.abspath(__file__))
IDS = [[3, 17, 5, 29, 8, 11, 2, 30, 7, 19, 4, 22], [1, 6, 6, 13], [9]]


def randomize(model, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            scale = 0.1 if parameter.dim() == 1 else 0.5 / parameter.shape[-1] ** 0.5 * 2
            noise = torch.randn(parameter.shape, generator=generator) * scale
            isGain = "norm" in name.lower() and name.endswith("weight") or ".ln_" in name and name.endswith("weight")
            parameter.copy_(noise + 1 if isGain else noise)
    return model.eval().float()


def save(name, model, reference, **options):
    folder = os.path.join(here, name)
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder, **options)
    for extra in ["generation_config.json"]:
        path = os.path.join(folder, extra)
        if os.path.exists(path):
            os.remove(path)
    with open(os.path.join(folder, "reference.json"), "w") as file:
        json.dump(reference, file, separators=(",", ":"))
        file.write("\n")


def rounded(tensor):
    return [round(value, 6) for value in tensor.flatten().tolist()]


def decoder(name, model, seed, dtype=None, **options):
    randomize(model, seed)
    if dtype:  # the reference is that of the rounded weights; buffers (the rotary frequencies) stay as they are
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(parameter.to(dtype).float())
    cases = []
    for ids in IDS:
        tensor = torch.tensor([ids])
        with torch.no_grad():
            output = model(tensor, labels=tensor if len(ids) > 1 else None)
            greedy = model.generate(tensor, max_new_tokens=6, do_sample=False, pad_token_id=0, eos_token_id=None)[0].tolist()
        cases.append({
            "ids": ids, "logits": rounded(output.logits[0]), "loss": output.loss.item() if len(ids) > 1 else None, "greedy": greedy})
    parameters = [name for name, _ in model.named_parameters()]
    save(name, model.to(dtype) if dtype else model, {"cases": cases, "parameters": parameters}, **options)


small = dict(vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=64)
decoder("tiny-llama", LlamaForCausalLM(LlamaConfig(
    **small, num_key_value_heads=2, rope_theta=500.0, tie_word_embeddings=False, attention_bias=True, mlp_bias=True)), 1,
    max_shard_size="6KB")
decoder("tiny-llama3", LlamaForCausalLM(LlamaConfig(
    **{**small, "head_dim": 8}, num_key_value_heads=1, tie_word_embeddings=True, rope_parameters=dict(
        rope_type="llama3", rope_theta=100.0, factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
        original_max_position_embeddings=16))), 2)
decoder("tiny-yarn", LlamaForCausalLM(LlamaConfig(
    **{**small, "head_dim": 8}, num_key_value_heads=2, tie_word_embeddings=True, rope_parameters=dict(
        rope_type="yarn", rope_theta=20.0, factor=4.0, original_max_position_embeddings=16, beta_fast=2.0, beta_slow=0.5,
        truncate=False, mscale=1.3, mscale_all_dim=0.6))), 9)
decoder("tiny-yarn-qwen2", Qwen2ForCausalLM(Qwen2Config(
    **small, num_key_value_heads=2, tie_word_embeddings=True, rope_parameters=dict(
        rope_type="yarn", rope_theta=50.0, factor=8.0, original_max_position_embeddings=16))), 10)
decoder("tiny-dynamic", LlamaForCausalLM(LlamaConfig(
    **{**small, "max_position_embeddings": 20}, num_key_value_heads=2, tie_word_embeddings=True, rope_parameters=dict(
        rope_type="dynamic", rope_theta=50.0, factor=4.0))), 11)
decoder("tiny-mistral", MistralForCausalLM(MistralConfig(**small, num_key_value_heads=2, sliding_window=32, tie_word_embeddings=False)), 3)
decoder("tiny-qwen2", Qwen2ForCausalLM(Qwen2Config(**small, num_key_value_heads=2, tie_word_embeddings=True)), 4, dtype=torch.bfloat16)
decoder("tiny-gpt2", GPT2LMHeadModel(GPT2Config(
    vocab_size=32, n_embd=16, n_layer=2, n_head=4, n_positions=64)), 5)

bert = dict(vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=20)
model = randomize(BertForSequenceClassification(BertConfig(
    **bert, hidden_act="gelu_new", id2label={0: "bad", 1: "fair", 2: "good"}, label2id={"bad": 0, "fair": 1, "good": 2})), 6)
cases = []
for ids in IDS:
    tensor = torch.tensor([ids])
    segments = torch.tensor([[0 if index < 2 else 1 for index in range(len(ids))]])
    with torch.no_grad():
        hidden = model.bert(tensor, token_type_ids=segments)
        cases.append({
            "ids": ids, "segments": segments[0].tolist(), "hidden": rounded(hidden.last_hidden_state[0]),
            "logits": rounded(model(tensor, token_type_ids=segments).logits[0])})
save("tiny-bert", model, {"cases": cases, "parameters": [name for name, _ in model.named_parameters()]})

# Bases for the commands: small models for the tokenizers of make_tokenizers.py, with weights only (no reference).
model = randomize(BertModel(BertConfig(
    vocab_size=300, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=40)), 7)
save("small-encoder", model, {})
model = randomize(LlamaForCausalLM(LlamaConfig(
    vocab_size=464, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    max_position_embeddings=48, tie_word_embeddings=True, bos_token_id=1, eos_token_id=2)), 8)
save("small-decoder", model, {})
for name in ["small-encoder", "small-decoder"]:
    os.remove(os.path.join(here, name, "reference.json"))
