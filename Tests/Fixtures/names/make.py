"""Writes models.json: what transformers calls the parameters of its models, and what it stores them as; and
defaults.json: the modules that peft targets where a configuration names none.

One tiny model a family and class is made and saved. Numbers of layers and experts are collapsed to 0.

    python make.py        # transformers 5.24, peft 0.21
"""

import json
import re
import tempfile
from pathlib import Path

import peft.utils.constants as constants
import torch
import transformers
from peft import LoraConfig
from peft.tuners.tuners_utils import _maybe_include_all_linear_layers
from safetensors import safe_open
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key
from transformers.pytorch_utils import Conv1D

TEXT = dict(vocab_size=40, hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=2, head_dim=4, max_position_embeddings=32, pad_token_id=0, bos_token_id=1,
            eos_token_id=2)
BERT = dict(vocab_size=40, hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2,
            max_position_embeddings=32)
VISION = dict(hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2, image_size=8,
              patch_size=4)
MOE = dict(num_experts=2, num_local_experts=2, num_experts_per_tok=1, moe_intermediate_size=6,
           shared_expert_intermediate_size=6, decoder_sparse_step=1)
T5 = dict(vocab_size=40, d_model=8, d_kv=4, d_ff=12, num_layers=2, num_heads=2)
BART = dict(vocab_size=40, d_model=8, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=12, decoder_ffn_dim=12, max_position_embeddings=32)
CAUSAL = ["Model", "ForCausalLM", "ForSequenceClassification"]
ENCODER = ["Model", "ForMaskedLM", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering"]
IMAGE = ["Model", "ForImageClassification"]
SEQUENCE = ["Model", "ForConditionalGeneration", "ForSequenceClassification"]


def vision_language(text_type, vision_type, vision=VISION, **more):
    text = dict(TEXT, model_type=text_type)
    return dict(text_config=text, vision_config=dict(vision, model_type=vision_type), image_token_index=3,
                image_token_id=3, **more)


QWEN_VISION = dict(depth=2, embed_dim=8, hidden_size=8, num_heads=2, patch_size=4, mlp_ratio=2, spatial_merge_size=2,
                   intermediate_size=12, out_hidden_size=8)
ROPE = dict(rope_type="default", mrope_section=[1, 1, 0], rope_theta=10000.0)

# (stem of the classes, arguments of the configuration, endings of the classes)
FAMILIES = [
    ("Llama", TEXT, CAUSAL), ("Mistral", TEXT, CAUSAL), ("Mixtral", dict(TEXT, **MOE), CAUSAL),
    ("Qwen2", TEXT, CAUSAL), ("Qwen2Moe", dict(TEXT, **MOE), CAUSAL), ("Qwen3", TEXT, CAUSAL),
    ("Qwen3Moe", dict(TEXT, **MOE), CAUSAL), ("Gemma", TEXT, CAUSAL), ("Gemma2", TEXT, CAUSAL),
    ("Gemma3Text", TEXT, ["Model"]), ("Gemma3Text:Gemma3", TEXT, ["ForCausalLM"]),
    ("Phi3", TEXT, CAUSAL),
    ("GPT2", dict(vocab_size=40, n_embd=8, n_layer=2, n_head=2, n_positions=32, pad_token_id=0),
     ["Model", "LMHeadModel", "ForSequenceClassification", "ForTokenClassification"]),
    ("GPTNeoX", dict(BERT), CAUSAL), ("GPTNeoX", dict(BERT, tie_word_embeddings=True), ["ForCausalLM"]),
    ("Falcon", BERT, CAUSAL), ("Bloom", dict(vocab_size=40, hidden_size=8, n_layer=2, n_head=2), CAUSAL),
    ("OPT", dict(TEXT, ffn_dim=12, word_embed_proj_dim=8), CAUSAL),
    ("Bert", BERT, ENCODER + ["ForPreTraining", "LMHeadModel"]), ("Roberta", BERT, ENCODER + ["ForCausalLM"]),
    ("XLMRoberta", BERT, ENCODER),
    ("DistilBert", dict(vocab_size=40, dim=8, n_layers=2, n_heads=2, hidden_dim=12, max_position_embeddings=32),
     ENCODER),
    ("Electra", dict(BERT, embedding_size=6), ENCODER + ["ForPreTraining"]), ("Deberta", BERT, ENCODER),
    ("DebertaV2", BERT, ENCODER), ("MPNet", BERT, ENCODER),
    ("Albert", dict(BERT, embedding_size=6), ENCODER + ["ForPreTraining"]), ("ModernBert", TEXT, ENCODER),
    ("T5", T5, SEQUENCE + ["EncoderModel", "ForTokenClassification", "ForQuestionAnswering"]),
    ("MT5", dict(T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False), SEQUENCE[:2]),
    ("Bart", BART, SEQUENCE + ["ForCausalLM", "ForQuestionAnswering"]), ("MBart", BART, SEQUENCE),
    ("Whisper", dict(BART, num_mel_bins=4, max_source_positions=16, max_target_positions=16, pad_token_id=0),
     ["Model", "ForConditionalGeneration", "ForAudioClassification"]),
    ("Wav2Vec2", dict(BERT, conv_dim=[8, 8], conv_stride=[2, 2], conv_kernel=[3, 3], num_conv_pos_embeddings=4,
                      num_conv_pos_embedding_groups=2),
     ["Model", "ForCTC", "ForSequenceClassification"]),
    ("ViT", VISION, IMAGE), ("DeiT", VISION, IMAGE + ["ForImageClassificationWithTeacher"]), ("Beit", VISION, IMAGE),
    ("Dinov2", VISION, IMAGE), ("Dinov2", dict(VISION, use_swiglu_ffn=True), IMAGE),
    ("Swin", dict(embed_dim=8, depths=[1, 1], num_heads=[2, 2], window_size=2, image_size=16, patch_size=2), IMAGE),
    ("CLIP", dict(text_config=dict(BERT, eos_token_id=2), vision_config=VISION, projection_dim=8),
     ["Model", "ForImageClassification"]),
    ("CLIPText", dict(BERT, eos_token_id=2), ["Model", "ModelWithProjection"]),
    ("CLIPVision", VISION, ["Model", "ModelWithProjection"]),
    ("Siglip", dict(text_config=BERT, vision_config=VISION), ["Model", "ForImageClassification"]),
    ("SiglipText", BERT, ["Model"]), ("SiglipVision", VISION, ["Model"]),
    ("Llava", vision_language("llama", "clip_vision_model"), SEQUENCE[:2]),
    ("LlavaNext", vision_language("mistral", "clip_vision_model"), SEQUENCE[:2]),
    ("LlavaOnevision", vision_language("qwen2", "siglip_vision_model"), SEQUENCE[:2]),
    ("PaliGemma", vision_language("gemma", "siglip_vision_model", dict(VISION, projection_dim=8), projection_dim=8),
     SEQUENCE[:2]),
    ("Gemma3", vision_language("gemma3_text", "siglip_vision_model", mm_tokens_per_image=4), SEQUENCE[:2]),
    ("Mistral3", vision_language("mistral", "pixtral"), SEQUENCE[:2]),
    ("InternVL", vision_language("qwen2", "internvl_vision", dict(VISION, image_size=[8, 8], patch_size=[4, 4])),
     SEQUENCE[:2]),
    ("Idefics3", vision_language("llama", "idefics3_vision"), SEQUENCE[:2]),
    ("SmolVLM", vision_language("llama", "smolvlm_vision"), SEQUENCE[:2]),
    ("Qwen2VL", dict(text_config=dict(TEXT, rope_scaling=ROPE, rope_parameters=ROPE), vision_config=QWEN_VISION),
     SEQUENCE[:2]),
    ("Qwen2_5_VL", dict(text_config=dict(TEXT, rope_scaling=ROPE, rope_parameters=ROPE), vision_config=QWEN_VISION),
     SEQUENCE[:2]),
    ("Qwen2Audio", dict(text_config=dict(TEXT, model_type="qwen2"),
                        audio_config=dict(BART, model_type="qwen2_audio_encoder", num_mel_bins=4,
                                          max_source_positions=16)), SEQUENCE[1:2]),
]


def collapsed(names):
    return sorted({re.sub(r"(?<![^.])\d+(?![^.])", "0", name) for name in names})


def loader(model):
    """Where transformers' loader puts a stored name; None where the model has no such parameter."""
    mapping = get_model_conversion_mapping(model)
    renamings = [entry for entry in mapping if isinstance(entry, WeightRenaming)]
    converters = [entry for entry in mapping if isinstance(entry, WeightConverter)]
    known = model.state_dict()

    def place(name):
        found, _ = rename_source_key(name, renamings, converters, model.base_model_prefix, known)
        if found not in known and name in known:
            found, _ = rename_source_key(name, [], [], model.base_model_prefix, known)
        return found if found in known else None

    return place


def stored(model):
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        with safe_open(Path(folder) / "model.safetensors", "pt") as file:
            return list(file.keys())


def earlier(names):
    """The same file as earlier releases wrote it, where that differs by more than save_pretrained undoes."""
    for name in names:
        name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        name = name.replace("parametrizations.weight.original0", "weight_g")
        name = name.replace("parametrizations.weight.original1", "weight_v")
        name = re.sub(r"^vision_tower\.(?!vision_model)", "vision_tower.vision_model.", name)
        yield name


def tree(names):
    """Names as nested objects; a string holds a module's own parameters."""
    root = {}
    for name in collapsed(names):
        *path, last = name.split(".")
        node = root
        for part in path:
            node = node.setdefault(part, {})
        node.setdefault("", []).append(last)

    def folded(node):
        if list(node) == [""]:
            return " ".join(node[""])
        return {key: " ".join(value) if key == "" else folded(value) for key, value in node.items()}

    return folded(root)


def pairs(names, place):
    """Where the loader puts these names, as far as that is not where they are."""
    found = {collapsed([name])[0]: collapsed([place(name)])[0] for name in names if place(name) is not None}
    return {name: found[name] for name in sorted(found) if name != found[name]}


def record(stem, arguments, ending, bases):
    config_stem, _, model_stem = stem.partition(":")
    config = getattr(transformers, config_stem + "Config")(**arguments)
    cls = getattr(transformers, (model_stem or config_stem) + ending, None)
    if cls is None:
        return None
    model = cls(config)
    place = loader(model)
    own = stored(model)
    assert all(place(name) for name in own)
    modules = dict(model.named_modules())
    paths = {id(module): path for path, module in modules.items()}
    entry = {
        "type": config.model_type, "class": cls.__name__,
        "parameters": tree(name for name, _ in model.named_parameters()),
        # Stored under other names; and under those of earlier releases.
        "renamed": pairs(own, place),
        "earlier": pairs(set(earlier(own)) - set(own), place),
        # Parameters that the file lacks because they are tied, and names that are no parameters.
        "buffers": collapsed(set(own) & {name for name, _ in model.named_buffers()}),
        "tied": {name: model.all_tied_weights_keys[name] for name in sorted(model.all_tied_weights_keys)},
        "embeddings": collapsed(path for path, module in modules.items() if isinstance(module, torch.nn.Embedding)),
        "conv1d": collapsed(path for path, module in modules.items() if isinstance(module, Conv1D)),
        "input": paths.get(id(model.get_input_embeddings())) if embeds(model) else None,
        "output": paths.get(id(model.get_output_embeddings())),
    }
    linear = {path for path, module in modules.items() if isinstance(module, (torch.nn.Linear, Conv1D))}
    task = "SEQ_CLS" if ending == "ForSequenceClassification" else None
    config = LoraConfig(target_modules="all-linear", task_type=task)
    # What "all-linear" leaves out of the linear maps.
    entry["excluded"] = collapsed(linear - set(_maybe_include_all_linear_layers(config, model).target_modules))
    key = json.dumps([stem, arguments], sort_keys=True)
    if ending == "Model":
        bases[key] = own, place, [name for name, _ in model.named_parameters()]
    elif key in bases:
        base_own, base_place, base_parameters = bases[key]
        prefixes = {place(name).removesuffix(base_place(name)) for name in base_own if place(name)}
        assert len(prefixes) == 1
        # What stands before the names of the model without a head in this class: its files are taken as well.
        prefix = entry["body"] = prefixes.pop()
        names = {name for name, _ in model.named_parameters()}
        body = {prefix + name for name in base_parameters}
        entry["parameters"] = tree(names - body)
        entry["without"] = collapsed(name for name in base_parameters if prefix + name not in names)
        taken = set(base_own) | {prefix + name for name in base_own}
        entry["renamed"] = pairs([name for name in own if name not in taken], place)
        for part in ("earlier", "embeddings", "conv1d", "buffers"):
            del entry[part]
    return {key: value for key, value in entry.items() if value not in (None, [], {})}


def embeds(model):
    try:
        return isinstance(model.get_input_embeddings(), torch.nn.Embedding)
    except (NotImplementedError, AttributeError):
        return False


def main():
    transformers.logging.set_verbosity_error()
    entries, bases = [], {}
    for stem, arguments, endings in FAMILIES:
        for ending in endings:
            try:
                entry = record(stem, arguments, ending, bases)
            except Exception as error:
                print(stem, ending, type(error).__name__, str(error)[:300])
                continue
            if entry:
                entries.append(entry)
    path = Path(__file__).with_name("models.json")
    lines = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in entries)
    path.write_text("[\n" + lines + "\n]\n")
    tables = {}
    # Methods with tables of their own that this library does not read.
    others = {"ADAMSS", "BEFT", "FROD", "LNTUNING", "OSF", "PVERA", "VBLORA", "WAVEFT", "DEFT", "GLORA", "LILY", "PEANUT",
              "PSOFT", "SUPERTUNING", "TINYLORA", "UNILORA"}
    for name in dir(constants):
        if match := re.fullmatch(r"TRANSFORMERS_MODELS_TO_(.*)_MODULES_MAPPING", name):
            if match[1].removesuffix("_TARGET") in others:
                continue
            tables[match[1].removesuffix("_TARGET")] = getattr(constants, name)
    lora = tables["LORA"]
    for method, table in tables.items():
        # Of the methods that follow LoRA only the differences.
        if method != "LORA" and set(lora) <= set(table):
            tables[method] = {"as": "LORA"} | {key: value for key, value in table.items() if lora.get(key) != value}
    lines = ",\n".join(f"{json.dumps(key)}:{json.dumps(value)}" for key, value in tables.items())
    path.with_name("defaults.json").write_text("{\n" + lines + "\n}\n")
    print(len(entries), "models,", path.stat().st_size, "bytes")


main()
