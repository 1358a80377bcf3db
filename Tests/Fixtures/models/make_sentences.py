"""Tiny folders of sentence-transformers, and what it makes of texts with them.

    python make_sentences.py       # needs torch, transformers and sentence-transformers; writes folders into sentences

The tokenizers are those beside this script, which the folders would only repeat: tests put them in.
"""
import json
import os
import shutil

import torch
import transformers as t
from make_families import narrow, randomize, write_json
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Dense, Normalize, Pooling, Transformer

here = os.path.dirname(os.path.abspath(__file__))
TEXTS = ["The fox", "A Quick brown fox jumps over the lazy dog", "fox dog fox"]
S = dict(hidden_size=12, intermediate_size=10, num_hidden_layers=2, num_attention_heads=3, max_position_embeddings=24)


def bert(vocabulary):
    return t.BertModel(t.BertConfig(vocab_size=vocabulary, **S))


def decoder(vocabulary):
    return t.Qwen3Model(t.Qwen3Config(vocab_size=vocabulary, head_dim=6, num_key_value_heads=1, **S))


CASES = {
    # name: tokenizer, model, pooling modes, dense layers (out, activation, bias, residual), normalised, other settings
    "first-dense": ("wordpiece", bert, ["cls"], [(5, torch.nn.Tanh(), True, False)], True, dict(max_seq_length=6)),
    "largest-and-mean": ("wordpiece", bert, ["max", "mean"], [(7, torch.nn.Identity(), False, False), (7, torch.nn.GELU(), True, True)],
                         False, dict(do_lower_case=True)),
    "root": ("wordpiece", bert, ["mean_sqrt_len_tokens"], [], False, dict(prompts={"query": "fox ", "document": ""}, default="query")),
    "last": ("metaspace", decoder, ["lasttoken"], [], True, dict(prompts={"query": "the dog: ", "passage": ""})),
    "weighted-old": ("metaspace", decoder, ["weightedmean"], [(4, torch.nn.ReLU(), True, True)], False, {}),
}
OLD = {"cls": "cls_token", "max": "max_tokens", "mean": "mean_tokens", "mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
       "weightedmean": "weightedmean_tokens", "lasttoken": "lasttoken"}


def make(name, seed):
    tokenizer, model, modes, denses, is_normalised, more = CASES[name]
    folder = os.path.join(here, "sentences", name)
    shutil.rmtree(folder, ignore_errors=True)
    source = os.path.join(folder, "source")
    fast = t.PreTrainedTokenizerFast(tokenizer_file=os.path.join(here, f"tokenizer-{tokenizer}.json"),
                                     pad_token="[PAD]" if tokenizer == "wordpiece" else "<unk>")
    randomize(model(len(fast)), seed).save_pretrained(source)
    fast.save_pretrained(source)
    transformer = Transformer(source, max_seq_length=more.get("max_seq_length"), do_lower_case=more.get("do_lower_case", False))
    modules, width = [transformer, Pooling(12, tuple(modes))], 12 * len(modes)
    for out, activation, bias, residual in denses:
        torch.manual_seed(seed)
        modules.append(Dense(width, out, bias=bias, activation_function=activation, use_residual=residual))
        width = out
    if is_normalised:
        modules.append(Normalize())
    whole = SentenceTransformer(modules=modules, prompts=more.get("prompts"), default_prompt_name=more.get("default"))
    whole.save(folder)
    shutil.rmtree(source)
    for root, _, files in os.walk(folder):
        for file in files:
            if file == "model.safetensors":
                narrow(os.path.join(root, file))
            elif not file.endswith(".json"):
                os.remove(os.path.join(root, file))
    if name.endswith("-old"):  # as releases before 5 wrote it
        write_json(os.path.join(folder, "1_Pooling", "config.json"), {
            "word_embedding_dimension": 12, **{f"pooling_mode_{value}": key in modes for key, value in OLD.items()}})
        os.mkdir(os.path.join(folder, "0_Transformer"))
        for file in ["config.json", "model.safetensors", "sentence_bert_config.json", "tokenizer.json", "tokenizer_config.json"]:
            shutil.move(os.path.join(folder, file), os.path.join(folder, "0_Transformer", file))
        modules = json.load(open(os.path.join(folder, "modules.json")))
        for module in modules:
            module["type"] = "sentence_transformers.models." + module["type"].split(".")[-1]
        modules[0]["path"] = "0_Transformer"
        write_json(os.path.join(folder, "modules.json"), modules)
    place = os.path.join(folder, "0_Transformer") if name.endswith("-old") else folder
    model = SentenceTransformer(folder, device="cpu").float().eval()
    reference = {"tokenizer": tokenizer, "texts": TEXTS, "embeddings": {"": model.encode(TEXTS, batch_size=1).tolist()}}
    for prompt in more.get("prompts", {}):
        reference["embeddings"][prompt] = model.encode(TEXTS, prompt_name=prompt, batch_size=1).tolist()
    os.remove(os.path.join(place, "tokenizer.json"))
    settings = json.load(open(os.path.join(place, "tokenizer_config.json")))
    write_json(os.path.join(place, "tokenizer_config.json"), {"model_max_length": settings["model_max_length"]})
    write_json(os.path.join(folder, "reference.json"), reference)
    print(name, sum(os.path.getsize(os.path.join(root, file)) for root, _, files in os.walk(folder) for file in files))


if __name__ == "__main__":
    for seed, name in enumerate(CASES):
        make(name, 300 + seed)
