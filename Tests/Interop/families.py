"""Fourteen architectures, each with the adapters that people train on it: what `lora` makes of them is what peft makes.

    python Tests/Interop/families.py .build/release/lora [--only REGEX]

Tiny models with random weights are made by transformers, adapters by peft. For each: `check` says that it fits; the
merge has the tensors that peft merges, to 1e-6 of a tensor's largest value, under names that transformers loads without
a missing key; `extract` from base and merge gives an adapter with which peft computes what the merged model computes;
other methods become a plain LoRA that computes the same.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import warnings

import torch
import transformers
from peft import AdaLoraConfig, IA3Config, LoHaConfig, LoKrConfig, LoraConfig, VeraConfig, get_peft_model

import judges
from judges import Wrong, difference, distance

t = transformers
TEXT = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, vocab_size=61)
KV = dict(TEXT, num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=False)
VISION = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, image_size=16, patch_size=8)


def qwen2vl():
    rope = {"type": "mrope", "rope_type": "default", "mrope_section": [1, 1, 2]}
    text = dict(KV, rope_scaling=rope, rope_parameters=dict(rope, rope_theta=10000.0))
    vision = dict(depth=2, embed_dim=32, hidden_size=32, num_heads=4, mlp_ratio=2, patch_size=4, spatial_merge_size=2, temporal_patch_size=2)
    return t.Qwen2VLForConditionalGeneration(t.Qwen2VLConfig(text_config=text, vision_config=vision, image_token_id=60, video_token_id=59, vision_start_token_id=58, vision_end_token_id=57, tie_word_embeddings=False))


def gemma3():
    text = t.Gemma3TextConfig(**dict(KV, head_dim=8, sliding_window=16, layer_types=["full_attention"] * 2, tie_word_embeddings=True))
    vision = t.SiglipVisionConfig(**VISION)
    return t.Gemma3ForConditionalGeneration(t.Gemma3Config(text_config=text.to_dict(), vision_config=vision.to_dict(), mm_tokens_per_image=4, image_token_index=60, boi_token_index=59, eoi_token_index=58))


def llava():
    vision = t.CLIPVisionConfig(**VISION, projection_dim=16)
    return t.LlavaForConditionalGeneration(t.LlavaConfig(vision_config=vision, text_config=t.LlamaConfig(**KV), image_token_id=60, image_token_index=60, vision_feature_layer=-1))


MODELS = {
    "llama": lambda: t.LlamaForCausalLM(t.LlamaConfig(**KV)),
    "qwen2-moe": lambda: t.Qwen2MoeForCausalLM(t.Qwen2MoeConfig(**KV, moe_intermediate_size=16, shared_expert_intermediate_size=24, num_experts=4, num_experts_per_tok=2)),
    "gpt2": lambda: t.GPT2LMHeadModel(t.GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=61, n_positions=64)),
    "bert": lambda: t.BertForSequenceClassification(t.BertConfig(**TEXT, num_labels=3)),
    "roberta": lambda: t.RobertaForSequenceClassification(t.RobertaConfig(**TEXT, num_labels=3)),
    "distilbert": lambda: t.DistilBertForSequenceClassification(t.DistilBertConfig(dim=32, n_layers=2, n_heads=4, hidden_dim=48, vocab_size=61, num_labels=3)),
    "vit": lambda: t.ViTForImageClassification(t.ViTConfig(**VISION, num_labels=3)),
    "whisper": lambda: t.WhisperForConditionalGeneration(t.WhisperConfig(d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48, vocab_size=61, num_mel_bins=8, max_source_positions=12, max_target_positions=16, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=3, suppress_tokens=None, begin_suppress_tokens=None)),
    "t5": lambda: t.T5ForConditionalGeneration(t.T5Config(d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, vocab_size=61, decoder_start_token_id=0)),
    "clip": lambda: t.CLIPModel(t.CLIPConfig(text_config=dict(TEXT, projection_dim=16, max_position_embeddings=16, eos_token_id=60, bos_token_id=1), vision_config=dict(VISION, projection_dim=16), projection_dim=16)),
    "llava": llava,
    "gemma3": gemma3,
    "qwen2-vl": qwen2vl,
    "mixtral": lambda: t.MixtralForCausalLM(t.MixtralConfig(**KV, num_local_experts=4, num_experts_per_tok=2)),
}

ATTENTION = {"gpt2": ["c_attn"], "bert": ["query", "value"], "roberta": ["query", "value"], "distilbert": ["q_lin", "v_lin"], "vit": ["q_proj", "v_proj"], "t5": ["q", "v"]}
MLP = {"gpt2": ["c_fc"], "bert": ["intermediate.dense"], "roberta": ["intermediate.dense"], "distilbert": ["lin1"], "vit": ["fc1"], "whisper": ["fc1"], "t5": ["wi"], "clip": ["fc1"], "qwen2-moe": ["shared_expert.up_proj"], "mixtral": ["o_proj"], "llava": ["fc1"], "gemma3": ["fc1"], "qwen2-vl": ["up_proj"]}
HEAD = {"bert": "SEQ_CLS", "roberta": "SEQ_CLS", "distilbert": "SEQ_CLS"}
EMBEDDING = {"llama": "embed_tokens", "bert": "word_embeddings", "qwen2-moe": "embed_tokens", "distilbert": "word_embeddings"}


def adapters(name):
    """Names of variants and peft's configurations."""
    attention, mlp = ATTENTION.get(name, ["q_proj", "v_proj"]), MLP.get(name, ["up_proj"])
    both, fan = attention + mlp, {"fan_in_fan_out": True} if name == "gpt2" else {}
    base = dict(r=3, lora_alpha=5, target_modules=attention, init_lora_weights=False, **fan)
    yield "lora", LoraConfig(**base)
    yield "rslora and patterns", LoraConfig(**dict(base, target_modules=both, use_rslora=True, rank_pattern={mlp[0]: 2}, alpha_pattern={attention[0]: 7}))
    yield "dora", LoraConfig(**dict(base, use_dora=True))
    if name in HEAD:
        yield "head", LoraConfig(**base, task_type=HEAD[name])
        yield "biases", LoraConfig(**base, bias="lora_only")
        yield "B's bias", LoraConfig(**base, lora_bias=True)
    if name == "vit":
        yield "head and convolution", LoraConfig(**dict(base, target_modules=attention + ["projection"]), modules_to_save=["classifier"])
    if name in EMBEDDING:
        yield "embedding", LoraConfig(**dict(base, target_modules=attention + [EMBEDDING[name]]))
    if name == "llama":
        yield "saved head", LoraConfig(**base, modules_to_save=["lm_head"])
        yield "trainable tokens", LoraConfig(**base, trainable_token_indices=[3, 17])
    if name in ("llama", "bert", "gpt2", "clip"):
        yield "loha", LoHaConfig(r=2, alpha=3, target_modules=attention) if name != "gpt2" else None
        yield "lokr", LoKrConfig(r=2, alpha=3, target_modules=attention) if name != "gpt2" else None
        yield "vera", VeraConfig(r=4, target_modules=attention[:1], **fan)
        yield "adalora", AdaLoraConfig(init_r=4, target_r=2, total_step=9, lora_alpha=6, target_modules=attention, **fan)
        yield "ia3", IA3Config(target_modules=attention, feedforward_modules=attention[1:], **fan)


def stir(model, size=0.1):
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * size)


class Family:
    def __init__(self, program, name, work):
        self.program, self.name, self.work = program, name, work
        torch.manual_seed(11)
        model = MODELS[name]().float().eval()
        stir(model)
        self.base = f"{work}/base"
        model.save_pretrained(self.base)

    def lora(self, *arguments):
        run = subprocess.run([self.program, *map(str, arguments), "--quiet"], capture_output=True, text=True)
        if run.returncode:
            raise Wrong(f"lora {arguments[0]}: exit status {run.returncode}: {' '.join((run.stdout + run.stderr).split())[-400:]}")
        return run.stdout

    def run(self, index, configuration):
        torch.manual_seed(index)
        adapter, merged = f"{self.work}/a{index}", f"{self.work}/m{index}"
        model = get_peft_model(judges.model(self.base), configuration)
        stir(model)
        model.save_pretrained(adapter)
        model = judges.adapted(self.base, adapter)
        expected = judges.outputs(model)
        self.lora("check", adapter, "--base", self.base)
        self.lora("inspect", adapter)
        self.lora("merge", self.base, adapter, "-o", merged)
        wrong = difference(judges.tensors(merged), judges.saved(model.merge_and_unload()), tolerance=1e-6)
        self.expect(not wrong, f"merged: {wrong}")
        off = distance(judges.outputs(judges.model(merged)), expected)
        self.expect(off <= 2e-5, f"the merged model's outputs are off by {off:.1e}")
        self.lora("diff", self.base, merged)
        if self.name in ("llama", "gpt2"):
            self.lora("logits", self.base, "--adapter", adapter, "--ids", "1,5,9", "--json", f"{self.work}/l.json")
            with torch.no_grad():
                right = judges.adapted(self.base, adapter)(torch.tensor([[1, 5, 9]])).logits[0, -1].numpy()
            off = distance(judges.configuration(self.work, "l.json")["logits"], right)
            self.expect(off <= 2e-6, f"logits with the adapter attached are off by {off:.1e}")
        if isinstance(configuration, LoraConfig) and not isinstance(configuration, AdaLoraConfig):
            self.extract(index, merged, expected)
        else:
            self.convert(index, adapter, expected, isinstance(configuration, IA3Config))

    def extract(self, index, merged, expected):
        extracted = f"{self.work}/x{index}"
        self.lora("extract", self.base, merged, "--rank", "32", "--keep-vectors", "-o", extracted)
        off = distance(judges.outputs(judges.adapted(self.base, extracted)), expected)
        self.expect(off <= 2e-4, f"extracted, the outputs in peft are off by {off:.1e}")

    def convert(self, index, adapter, expected, is_approximate):
        plain = f"{self.work}/l{index}"
        rank = ["--rank", "96"] if is_approximate else []
        self.lora("convert", adapter, "--to", "lora", "--base", self.base, *rank, "-o", plain)
        self.lora("check", plain, "--base", self.base)
        off = distance(judges.outputs(judges.adapted(self.base, plain)), expected)
        self.expect(off <= (2e-4 if is_approximate else 2e-5), f"as a plain LoRA, the outputs in peft are off by {off:.1e}")

    @staticmethod
    def expect(condition, text):
        if not condition:
            raise Wrong(text)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    passed = failed = 0
    for name in MODELS:
        with tempfile.TemporaryDirectory() as work:
            family = None
            for index, (variant, configuration) in enumerate(adapters(name)):
                if configuration is None or not re.search(arguments.only, f"{name}: {variant}"):
                    continue
                try:
                    family = family or Family(os.path.abspath(arguments.program), name, work)
                    family.run(index, configuration)
                    print(f"ok   {name}: {variant}", flush=True)
                    passed += 1
                except Exception as error:
                    print(f"FAIL {name}: {variant}: {type(error).__name__ if not isinstance(error, Wrong) else ''} {' '.join(str(error).split())[:500]}", flush=True)
                    failed += 1
    print(f"\n{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
