"""Checks `lora` against Python: what it writes loads in peft without a warning and computes the same, and the other way.

    pip install torch peft transformers safetensors
    python Tests/Interop/interop.py .build/release/lora

Random tiny models of four kinds (Llama, GPT-2, BERT with a head, convolutions); no downloads.
"""

import json
import os
import subprocess
import sys
import tempfile
import warnings

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "Fixtures", "checkpoints"))
import make_fixtures as models  # noqa: E402

LORA = os.path.abspath(sys.argv[1])
failures = []


def lora(*arguments, expect=0):
    result = subprocess.run([LORA, *map(str, arguments), "--quiet"], capture_output=True, text=True)
    if result.returncode != expect:
        raise AssertionError(f"lora {' '.join(map(str, arguments))}: exit {result.returncode}\n{result.stdout}{result.stderr}")
    return result.stdout


def claim(text, condition, detail=""):
    print("ok  " if condition else "FAIL", text, detail)
    if not condition:
        failures.append(text)


def randomised(model, scale=0.3):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * scale + (0.7 if parameter.ndim == 1 else 0))
    return model.eval()


def save(model, folder):
    if hasattr(model, "save_pretrained"):
        model.save_pretrained(folder)
    else:
        os.makedirs(folder, exist_ok=True)
        save_file(model.state_dict(), os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})


def fresh(build, folder):
    """A new model with the weights in `folder`."""
    model = build()
    if hasattr(model, "save_pretrained"):
        return type(model).from_pretrained(folder).eval()
    model.load_state_dict(load_file(os.path.join(folder, "model.safetensors")))
    return model.eval()


def output(model, build):
    torch.manual_seed(7)
    if build is models.Convolutions:
        return model(torch.randn(2, 3, 9, 8)).detach()
    tokens = torch.randint(0, 17, (2, 6))
    return model(input_ids=tokens).logits.detach()


def close(a, b, tolerance=2e-5):
    return a.shape == b.shape and bool((a - b).abs().max() <= tolerance * max(1.0, float(b.abs().max())))


def load_without_warning(build, base, adapter):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = PeftModel.from_pretrained(fresh(build, base), adapter).eval()
    messages = [str(w.message) for w in caught if "peft" in str(w.filename) or "dapter" in str(w.message)]
    return model, messages


def adapter_for(build, base, options, folder, seed):
    torch.manual_seed(seed)
    model = get_peft_model(fresh(build, base), LoraConfig(**options))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    model.peft_config["default"].base_model_name_or_path = ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(folder)
    return model.eval()


def merge_and_resize(name, build, options, work):
    base, adapter = f"{work}/base", f"{work}/adapter"
    torch.manual_seed(1)
    save(randomised(build()), base)
    model = adapter_for(build, base, options, adapter, seed=2)
    expected = output(model, build)
    lora("check", adapter, "--base", base)
    lora("merge", base, adapter, "-o", f"{work}/merged")
    claim(f"{name}: the merged model computes what peft computes", close(output(fresh(build, f"{work}/merged"), build), expected))

    rank = options["r"] + 3
    lora("resize", adapter, "--rank", rank, "-o", f"{work}/larger")
    larger, messages = load_without_warning(build, base, f"{work}/larger")
    _, before = load_without_warning(build, base, adapter)
    claim(f"{name}: an adapter resized to {rank} computes the same", close(output(larger, build), expected))
    claim(f"{name}: … and loads without a warning that the original does not give", set(messages) <= set(before), messages)
    lora("resize", adapter, "--rank", "1", "-o", f"{work}/smaller")
    smaller, messages = load_without_warning(build, base, f"{work}/smaller")
    claim(f"{name}: resized to 1 it loads without a new warning", set(messages) <= set(before), messages)
    plain = not options.get("use_dora")
    if plain:
        worst = 0.0
        for path, module in smaller.named_modules():
            if not hasattr(module, "get_delta_weight") or not (getattr(module, "r", None) and "default" in module.r):
                continue
            update = dict(model.named_modules())[path].get_delta_weight("default").flatten(1)
            u, s, v = torch.linalg.svd(update, full_matrices=False)
            best = s[0] * torch.outer(u[:, 0], v[0])
            got = module.get_delta_weight("default").flatten(1)
            worst = max(worst, float((got - best).norm() / best.norm()))
        claim(f"{name}: … and each update is the best of rank 1", worst < 1e-4, worst)


def combine(name, build, options, work):
    base = f"{work}/base"
    torch.manual_seed(1)
    save(randomised(build()), base)
    for index in (1, 2):
        adapter_for(build, base, options, f"{work}/a{index}", seed=index)
    def both():
        model = PeftModel.from_pretrained(fresh(build, base), f"{work}/a1", adapter_name="one")
        model.load_adapter(f"{work}/a2", adapter_name="two")
        return model
    for method, peft_method in [("exact", "cat"), ("linear", "linear"), ("ties", "ties"), ("magnitude_prune", "magnitude_prune")]:
        model = both()
        extra = {} if peft_method in ("cat", "linear") else {"density": 0.5}
        model.add_weighted_adapter(["one", "two"], [0.7, 0.4], "sum", combination_type=peft_method, **extra)
        model.set_adapter("sum")
        lora("combine", f"{work}/a1:0.7", f"{work}/a2:0.4", "--method", method, "-o", f"{work}/{method}")
        ours, messages = load_without_warning(build, base, f"{work}/{method}")
        claim(f"{name}: combine --method {method} is peft's {peft_method}", close(output(ours, build), output(model.eval(), build), 5e-5))
        claim(f"{name}: … and loads without a warning", not messages, messages)


def extract(name, build, work, *extra, exact=True):
    base, tuned = f"{work}/base", f"{work}/tuned"
    torch.manual_seed(3)
    model = randomised(build())
    save(model, base)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if parameter.ndim >= 2:
                matrix = parameter.flatten(1)
                matrix.add_((torch.randn(matrix.shape[0], 2) @ torch.randn(2, matrix.shape[1])) * 0.05)
            elif "--keep-vectors" in extra:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    save(model, tuned)
    expected = output(model, build)
    lora("extract", base, tuned, "--rank", "4", "-o", f"{work}/extracted", *extra)
    loaded, messages = load_without_warning(build, base, f"{work}/extracted")
    claim(f"{name}: the extracted adapter makes the base compute what the fine-tune computes", close(output(loaded, build), expected, 2e-4))
    claim(f"{name}: … and loads without a warning", not messages, messages)
    lora("check", f"{work}/extracted", "--base", base)
    lora("merge", base, f"{work}/extracted", "-o", f"{work}/again", *(["--untie"] if "tied" in name else []))
    claim(f"{name}: merged into the base it gives the fine-tune back", close(output(fresh(build, f"{work}/again"), build), expected, 2e-4))


def convert(name, build, options, work):
    base, adapter = f"{work}/base", f"{work}/adapter"
    torch.manual_seed(1)
    save(randomised(build()), base)
    adapter_for(build, base, options, adapter, seed=2)
    original = load_file(f"{adapter}/adapter_model.safetensors")
    for form, path in [("mlx", f"{work}/mlx"), ("kohya", f"{work}/kohya.safetensors")]:
        lora("convert", adapter, "--to", form, "-o", path)
        lora("convert", path, "--to", "peft", "-o", f"{work}/back-{form}", *(["--base", base] if form == "kohya" else []))
        back = load_file(f"{work}/back-{form}/adapter_model.safetensors")
        claim(f"{name}: to {form} and back, every tensor is the same bit for bit",
              back.keys() == original.keys() and all(torch.equal(back[k], original[k]) for k in back))
        one, _ = load_without_warning(build, base, adapter)
        two, messages = load_without_warning(build, base, f"{work}/back-{form}")
        claim(f"{name}: … and peft computes the same with it", close(output(two, build), output(one, build)), messages)


def formats(work):
    torch.manual_seed(0)
    types = [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.int16, torch.int8,
             torch.uint8, torch.bool, torch.float8_e4m3fn, torch.float8_e5m2]
    tensors = {f"t{i}.{str(t)[6:]}": (torch.randn(3, 5) * 3).to(t) for i, t in enumerate(types)}
    tensors["empty"] = torch.zeros(0, 4)
    tensors["scalar"] = torch.tensor(2.5)
    save_file(tensors, f"{work}/all.safetensors", metadata={"format": "pt", "é": "ü\n"})
    os.makedirs(f"{work}/m")
    weight = torch.randn(4, 6)
    save_file({**tensors, "layer.weight": weight}, f"{work}/m/model.safetensors", metadata={"format": "pt"})
    os.makedirs(f"{work}/a")
    a, b = torch.randn(2, 6), torch.randn(4, 2)
    save_file({"base_model.model.layer.lora_A.weight": a, "base_model.model.layer.lora_B.weight": b},
              f"{work}/a/adapter_model.safetensors", metadata={"format": "pt"})
    json.dump({"peft_type": "LORA", "r": 2, "lora_alpha": 3, "target_modules": ["layer"]}, open(f"{work}/a/adapter_config.json", "w"))
    lora("merge", f"{work}/m", f"{work}/a", "-o", f"{work}/out")
    out = load_file(f"{work}/out/model.safetensors")
    claim("every dtype passes through a merge bit for bit",
          all(torch.equal(out[k].view(torch.uint8) if tensors[k].ndim else out[k], tensors[k].view(torch.uint8) if tensors[k].ndim else tensors[k]) for k in tensors))
    claim("… and the weight is W + 1.5 BA", torch.allclose(out["layer.weight"], weight + 1.5 * b @ a, atol=1e-5))
    for flag, dtype in [("bf16", torch.bfloat16), ("f16", torch.float16), ("f64", torch.float64)]:
        lora("merge", f"{work}/m", f"{work}/a", "-o", f"{work}/{flag}", "--dtype", flag)
        out = load_file(f"{work}/{flag}/model.safetensors")
        exact = (weight.double() + 1.5 * b.double() @ a.double())
        difference = float((out["layer.weight"].double() - exact.to(dtype).double()).abs().max())
        claim(f"--dtype {flag} rounds once, to nearest", out["layer.weight"].dtype == dtype and difference <= 1e-6 * 0 + (0.02 if flag != "f64" else 1e-5), difference)
        claim(f"… and other tensors are converted as torch does", torch.equal(out["t0.float32"], tensors["t0.float32"].to(dtype)))


def real_adapters(work):
    """The reference outputs of real adapters, where they lie beside the checkout, from merged models."""
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification
    data = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "shared", "data")
    if not os.path.isdir(data):
        print("skip real adapters: no", data)
        return
    for base, kind, name in [
        ("all-MiniLM-L6-v2", AutoModelForSequenceClassification, "peft-minilm-sst2"),
        ("stories260K", AutoModelForCausalLM, "peft-stories260k-shakespeare"),
    ]:
        for variant in ["", "-dora", "-rslora"]:
            folder = f"{data}/adapters/{name}{variant}"
            lora("merge", f"{data}/models/{base}", folder, "-o", f"{work}/{name}{variant}")
            model = kind.from_pretrained(f"{work}/{name}{variant}", attn_implementation="eager").eval()
            reference = json.load(open(f"{folder}/reference.json"))
            worst = 0.0
            for example in reference.get("sentences") or reference["prompts"]:
                logits = model(input_ids=torch.tensor([example["input_ids"]])).logits[0].detach()
                expected = torch.tensor(example.get("adapter_logits") or example["adapter_last_logits"])
                worst = max(worst, float(((logits if logits.ndim == 1 else logits[-1]) - expected).abs().max()))
            claim(f"{name}{variant}: merged, it gives the reference logits", worst < 1e-4, worst)


def main():
    torch.set_num_threads(2)
    for name, (build, options) in models.CASES.items():
        with tempfile.TemporaryDirectory() as work:
            merge_and_resize(name, build, options, work)
    for name in ["llama", "llama-rslora-patterns", "gpt2"]:
        build, options = models.CASES[name]
        with tempfile.TemporaryDirectory() as work:
            combine(name, build, options, work) if name != "llama-rslora-patterns" else None
    for name, build, extra in [
        ("llama", models.llama, []), ("llama, norms kept", models.llama, ["--keep-vectors"]),
        ("llama, tied", lambda: models.llama(tie_word_embeddings=True), []),
        ("gpt2, tied", models.gpt2, ["--keep-vectors"]), ("bert with a head", models.bert, []),
        ("bert, biases and norms kept", models.bert, ["--keep-vectors"]),
        ("convolutions", models.Convolutions, ["--keep-vectors"]),
    ]:
        with tempfile.TemporaryDirectory() as work:
            extract(name, build, work, *extra)
    for name, options in [("llama", models.CASES["llama"][1])]:
        with tempfile.TemporaryDirectory() as work:
            convert(name, models.llama, options, work)
    with tempfile.TemporaryDirectory() as work:
        formats(work)
    with tempfile.TemporaryDirectory() as work:
        real_adapters(work)
    print(f"\n{len(failures)} failures")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
