"""A tiny model of every family that runs, in several forms, and what transformers and peft compute with it.

    python make_families.py [NAME...]      # needs torch, transformers and peft; writes folders into families

Each folder: config.json (in the layout of transformers 5, or in an older one), the weights, reference.json, and for one
model of each family three adapters as peft writes them. Sizes are odd and unlike each other, and weights, norms and biases
random, so that whatever is left out shows. The references are those of the model as read back from its folder.
"""
import json
import os
import shutil
import sys
import tempfile

import torch
import transformers as t
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

t.logging.set_verbosity_error()
here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "families")
IDS = [[3, 15, 5, 11, 8, 2, 13, 7, 4], [6, 1, 6, 9]]
LABELS = dict(id2label={0: "bad", 1: "fair", 2: "good"}, label2id={"bad": 0, "fair": 1, "good": 2})

# Sizes of Llama's kind, and of BERT's.
L = dict(vocab_size=17, hidden_size=12, intermediate_size=10, num_hidden_layers=2, num_attention_heads=3,
         num_key_value_heads=1, max_position_embeddings=48, bos_token_id=None, eos_token_id=None, pad_token_id=None)
B = dict(vocab_size=17, hidden_size=12, intermediate_size=10, num_hidden_layers=2, num_attention_heads=3,
         max_position_embeddings=20, pad_token_id=1, bos_token_id=None, eos_token_id=None)


def rope(kind="default", theta=100.0, **more):
    return dict(rope_type=kind, rope_theta=theta, **more)


SHORT, LONG = [1.0, 1.3], [2.0, 5.0]
DECODERS = {
    "llama": (t.LlamaConfig, dict(L, head_dim=8, attention_bias=True, mlp_bias=True, tie_word_embeddings=False,
                                  rope_parameters=rope(theta=50.0))),
    "llama-old": (t.LlamaConfig, dict(L, tie_word_embeddings=True, rope_parameters=rope("linear", factor=2.5))),
    "llama-llama3": (t.LlamaConfig, dict(L, num_key_value_heads=3, hidden_act="gelu", rope_parameters=rope(
        "llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16))),
    "llama-dynamic": (t.LlamaConfig, dict(L, max_position_embeddings=12, rope_parameters=rope("dynamic", factor=3.0))),
    "llama-longrope": (t.LlamaConfig, dict(L, rope_parameters=rope(
        "longrope", short_factor=SHORT, long_factor=LONG, original_max_position_embeddings=32, attention_factor=1.4))),
    "mistral": (t.MistralConfig, dict(L, head_dim=8, sliding_window=4, rope_parameters=rope())),
    "mistral-old": (t.MistralConfig, dict(L, sliding_window=None, rope_parameters=rope(theta=30.0))),
    "qwen2": (t.Qwen2Config, dict(L, tie_word_embeddings=True, sliding_window=3, rope_parameters=rope(
        "yarn", factor=4.0, original_max_position_embeddings=12))),
    "qwen2-window": (t.Qwen2Config, dict(L, use_sliding_window=True, sliding_window=5, max_window_layers=1)),
    "qwen2-old": (t.Qwen2Config, dict(L, num_hidden_layers=3, use_sliding_window=True, sliding_window=3, max_window_layers=2)),
    "qwen3": (t.Qwen3Config, dict(L, head_dim=6, tie_word_embeddings=True, rope_parameters=rope(theta=1000.0))),
    "qwen3-bias": (t.Qwen3Config, dict(L, num_attention_heads=4, num_key_value_heads=2, head_dim=6, attention_bias=True,
                                       use_sliding_window=True, sliding_window=4,
                                       layer_types=["sliding_attention", "full_attention"])),
    "gemma": (t.GemmaConfig, dict(L, head_dim=6)),
    "gemma2": (t.Gemma2Config, dict(L, head_dim=6, sliding_window=4, query_pre_attn_scalar=3, attn_logit_softcapping=2.0,
                                    final_logit_softcapping=1.5)),
    "gemma2-old": (t.Gemma2Config, dict(L, head_dim=4, sliding_window=3, query_pre_attn_scalar=7, attention_bias=True,
                                        attn_logit_softcapping=None, final_logit_softcapping=None,
                                        hidden_activation="silu", tie_word_embeddings=False)),
    "gemma3_text": (t.Gemma3TextConfig, dict(L, num_hidden_layers=3, head_dim=6, sliding_window=4, query_pre_attn_scalar=5,
                                             layer_types=["sliding_attention", "full_attention", "sliding_attention"])),
    "gemma3_text-old": (t.Gemma3TextConfig, dict(
        L, num_hidden_layers=3, head_dim=8, sliding_window=3, query_pre_attn_scalar=8, final_logit_softcapping=3.0,
        layer_types=["sliding_attention", "sliding_attention", "full_attention"], rope_parameters={
            "full_attention": rope("linear", theta=500.0, factor=2.0), "sliding_attention": rope(theta=20.0)})),
    "phi3": (t.Phi3Config, dict(L, rope_parameters=rope(theta=30.0))),
    "phi3-longrope": (t.Phi3Config, dict(
        L, num_attention_heads=2, num_key_value_heads=1, hidden_size=16, sliding_window=11, original_max_position_embeddings=12,
        tie_word_embeddings=True,
        rope_parameters=rope("longrope", short_factor=SHORT, long_factor=LONG, partial_rotary_factor=0.5))),
    "phi3-old": (t.Phi3Config, dict(
        L, num_attention_heads=2, num_key_value_heads=2, hidden_size=16, max_position_embeddings=40,
        original_max_position_embeddings=10, rope_parameters=rope(
            "longrope", theta=60.0, short_factor=SHORT, long_factor=LONG, partial_rotary_factor=0.5))),
    "smollm3": (t.SmolLM3Config, dict(L, num_hidden_layers=3, no_rope_layer_interval=2, rope_parameters=rope())),
    "smollm3-window": (t.SmolLM3Config, dict(L, no_rope_layers=[0, 1], use_sliding_window=True, sliding_window=4, mlp_bias=True,
                                             attention_bias=True, tie_word_embeddings=False)),
    "olmo2": (t.Olmo2Config, dict(L, rope_parameters=rope(), attention_bias=True)),
    "olmo2-old": (t.Olmo2Config, dict(L, num_key_value_heads=3, tie_word_embeddings=True)),
    "granite": (t.GraniteConfig, dict(L, embedding_multiplier=2.5, residual_multiplier=0.4, attention_multiplier=0.3,
                                      logits_scaling=1.7, mlp_bias=True, attention_bias=True, tie_word_embeddings=True)),
    "granite-old": (t.GraniteConfig, dict(L, embedding_multiplier=3, residual_multiplier=0.6, attention_multiplier=0.2,
                                          logits_scaling=2)),
    "gpt2": (t.GPT2Config, dict(vocab_size=17, n_embd=12, n_layer=2, n_head=3, n_positions=40, bos_token_id=None, eos_token_id=None)),
    "gpt2-other": (t.GPT2Config, dict(vocab_size=17, n_embd=12, n_layer=2, n_head=3, n_positions=40, n_inner=10,
                                      activation_function="quick_gelu", scale_attn_by_inverse_layer_idx=True,
                                      tie_word_embeddings=False, bos_token_id=None, eos_token_id=None)),
}
CLASSIFIERS = {
    "llama-score": (t.LlamaConfig, dict(L, head_dim=8, pad_token_id=0, **LABELS)),
    "qwen3-score": (t.Qwen3Config, dict(L, head_dim=6, pad_token_id=0, **LABELS)),
    "gemma2-score": (t.Gemma2Config, dict(L, head_dim=6, sliding_window=4, pad_token_id=0, attn_logit_softcapping=2.0, **LABELS)),
    "phi3-score": (t.Phi3Config, dict(L, pad_token_id=0, **LABELS)),
    "gpt2-score": (t.GPT2Config, dict(vocab_size=17, n_embd=12, n_layer=2, n_head=3, n_positions=40, pad_token_id=0,
                                      bos_token_id=None, eos_token_id=None, **LABELS)),
    "bert": (t.BertConfig, dict(B, pad_token_id=0, **LABELS)),
    "bert-one-label": (t.BertConfig, dict(B, hidden_act="relu", type_vocab_size=3, num_labels=1)),
    "roberta": (t.RobertaConfig, dict(B, type_vocab_size=1, layer_norm_eps=1e-5, **LABELS)),
    "xlm-roberta": (t.XLMRobertaConfig, dict(B, type_vocab_size=1, pad_token_id=2, **LABELS)),
    "camembert": (t.CamembertConfig, dict(B, type_vocab_size=1, num_labels=2)),
    "distilbert": (t.DistilBertConfig, dict(vocab_size=17, dim=12, hidden_dim=10, n_layers=2, n_heads=3, max_position_embeddings=20,
                                            sinusoidal_pos_embds=True, **LABELS)),
    "electra": (t.ElectraConfig, dict(B, embedding_size=8, **LABELS)),
    "electra-wide": (t.ElectraConfig, dict(B, embedding_size=12, num_labels=1, hidden_act="gelu_fast")),
    "mpnet": (t.MPNetConfig, dict(B, **LABELS)),
    "modernbert": (t.ModernBertConfig, dict(B, num_hidden_layers=4, local_attention=4, cls_token_id=None, sep_token_id=None, **LABELS)),
    "modernbert-old": (t.ModernBertConfig, dict(
        B, num_hidden_layers=3, local_attention=6, norm_bias=True, attention_bias=True, mlp_bias=True, classifier_bias=True,
        classifier_pooling="mean", classifier_activation="silu", hidden_activation="gelu_new",
        layer_types=["full_attention", "sliding_attention", "full_attention"], cls_token_id=None, sep_token_id=None,
        rope_parameters={"full_attention": rope(theta=40.0), "sliding_attention": rope(theta=9.0)}, **LABELS)),
}
# Adapters go on the first model of each family.
ADAPTED = ["llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi3", "smollm3", "olmo2", "granite", "gpt2",
           "qwen3-score", "bert", "roberta", "distilbert", "electra", "mpnet", "modernbert"]


def randomize(model, seed):
    generator = torch.Generator().manual_seed(seed)
    kind = model.config.model_type
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() > 1:
                value = noise * (1.2 / parameter.shape[-1] ** 0.5)
            elif "norm" in name.lower() and name.endswith("weight") or ".ln_" in name and name.endswith("weight"):
                value = noise * 0.3 + (0 if kind.startswith("gemma") else 1)
            else:
                value = noise * 0.3
            parameter.copy_(value.bfloat16().float())
    return model.eval()


def older(config):
    """The same configuration as releases before 5 wrote it."""
    rope_parameters = config.pop("rope_parameters", None)
    kinds = config.pop("layer_types", None)
    config["torch_dtype"] = config.pop("dtype", "float32")
    config["transformers_version"] = "4.53.0"
    kind = config["model_type"]

    def scaling(parameters):
        rest = {key: value for key, value in parameters.items() if key not in ("rope_theta", "partial_rotary_factor")}
        return None if rest.get("rope_type") == "default" else rest

    if kind == "gemma3_text":
        config.update(rope_theta=rope_parameters["full_attention"]["rope_theta"], sliding_window_pattern=3,
                      rope_local_base_freq=rope_parameters["sliding_attention"]["rope_theta"],
                      rope_scaling=scaling(rope_parameters["full_attention"]))
    elif kind == "modernbert":
        config.update(global_rope_theta=rope_parameters["full_attention"]["rope_theta"], global_attn_every_n_layers=2,
                      local_rope_theta=rope_parameters["sliding_attention"]["rope_theta"], position_embedding_type="absolute")
    elif rope_parameters:
        config.update(rope_theta=rope_parameters["rope_theta"], rope_scaling=scaling(rope_parameters))
        if kind == "phi3":
            config["partial_rotary_factor"] = rope_parameters["partial_rotary_factor"]
            config["rope_scaling"].pop("original_max_position_embeddings", None)
            config["rope_scaling"]["type"] = config["rope_scaling"].pop("rope_type")
    if kind in ("gemma2", "gemma3_text") and config.get("tie_word_embeddings"):
        del config["tie_word_embeddings"]
    return config


def write_json(path, value):
    with open(path, "w") as file:
        json.dump(value, file, separators=(",", ":"), sort_keys=True)
        file.write("\n")


def rounded(tensor):
    return [float(f"{value:.6g}") for value in tensor.flatten().tolist()]


def narrow(path):
    """Numbers that are bfloat16 anyway, stored so."""
    tensors = {name: tensor.bfloat16() for name, tensor in load_file(path).items()}
    save_file(tensors, path, metadata={"format": "pt"})


def inputs(config, ids):
    given = dict(input_ids=torch.tensor([ids]))
    if getattr(config, "type_vocab_size", 0) > 1:
        given["token_type_ids"] = torch.tensor([[0 if place < 2 else config.type_vocab_size - 1 for place in range(len(ids))]])
    return given


def make(name, config, arguments, seed, is_classifier):
    folder = os.path.join(here, name)
    shutil.rmtree(folder, ignore_errors=True)
    auto = t.AutoModelForSequenceClassification if is_classifier else t.AutoModelForCausalLM
    config = config(**arguments)
    config._attn_implementation = "eager"
    randomize(auto.from_config(config), seed).save_pretrained(folder)
    for extra in ["generation_config.json"]:
        if os.path.exists(os.path.join(folder, extra)):
            os.remove(os.path.join(folder, extra))
    narrow(os.path.join(folder, "model.safetensors"))
    path = os.path.join(folder, "config.json")
    stored = json.load(open(path))
    write_json(path, older(stored) if name.endswith("-old") else stored)

    def fresh():
        return auto.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()

    def outputs(model):
        with torch.no_grad():
            return [rounded(model(**inputs(model.config, ids)).logits[0]) for ids in IDS]

    model = fresh()
    reference = {"ids": IDS, "logits": outputs(model), "parameters": [name for name, _ in model.named_parameters()]}
    if is_classifier:
        reference["segments"] = [inputs(model.config, ids).get("token_type_ids", torch.zeros(1, len(ids), dtype=torch.long))[0].tolist()
                                 for ids in IDS]
        reference["labels"] = [model.config.id2label[index].removeprefix("LABEL_") for index in range(model.config.num_labels)]
    else:
        reference["loss"] = model(torch.tensor([IDS[0]]), labels=torch.tensor([IDS[0]])).loss.item()
        reference["greedy"] = model.generate(torch.tensor([IDS[0]]), max_new_tokens=9, do_sample=False, pad_token_id=0)[0].tolist()
    if name in ADAPTED:
        reference["adapters"] = {}
        for kind, options in [("lora", dict(r=2, lora_alpha=5)), ("dora", dict(r=3, lora_alpha=4, use_dora=True)),
                              ("rslora", dict(r=4, lora_alpha=3, use_rslora=True))]:
            model = fresh()
            heads = ["pre_classifier"] if name == "distilbert" else ["head"] if name == "modernbert" else []
            # peft takes neither a table of distances nor a head for a linear layer to adapt.
            torch.manual_seed(seed)
            adapted = get_peft_model(model, LoraConfig(
                task_type="SEQ_CLS" if is_classifier else "CAUSAL_LM", target_modules="all-linear", init_lora_weights=False,
                modules_to_save=heads or None, **options)).eval()
            generator = torch.Generator().manual_seed(seed + 7)
            with torch.no_grad():
                for path, parameter in adapted.named_parameters():
                    if "lora_" in path or "modules_to_save" in path:
                        noise = torch.randn(parameter.shape, generator=generator)
                        parameter.copy_((parameter * (1 + 0.3 * noise) if "magnitude" in path else 0.3 * noise).bfloat16().float())
            place = os.path.join(folder, kind)
            adapted.save_pretrained(place)
            if os.path.exists(os.path.join(place, "README.md")):
                os.remove(os.path.join(place, "README.md"))
            narrow(os.path.join(place, "adapter_model.safetensors"))
            written = json.load(open(os.path.join(place, "adapter_config.json")))
            written["base_model_name_or_path"] = name
            write_json(os.path.join(place, "adapter_config.json"), {key: value for key, value in written.items() if value is not None})
            reference["adapters"][kind] = outputs(PeftModel.from_pretrained(fresh(), place).eval())[0]
    write_json(os.path.join(folder, "reference.json"), reference)


def main():
    wanted = sys.argv[1:]
    jobs = [(name, *what, False) for name, what in DECODERS.items()] + [(name, *what, True) for name, what in CLASSIFIERS.items()]
    for seed, (name, config, arguments, is_classifier) in enumerate(jobs):
        if not wanted or name in wanted:
            make(name, config, arguments, 100 + seed, is_classifier)
            print(name, sum(os.path.getsize(os.path.join(root, file)) for root, _, files in os.walk(os.path.join(here, name)) for file in files))


main()
