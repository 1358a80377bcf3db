"""`lora` against the programs that read what it quantises: llama.cpp on GGUF files, bitsandbytes and peft on NF4.

usage: quantized.py LORA SHARED"""
import json, os, subprocess, sys, tempfile

import numpy as np
import torch

lora, shared = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
sys.path.insert(0, os.path.join(shared, "tools"))
import gguf  # noqa: E402
import gguf_oracle as oracle  # noqa: E402
from llamacpp import log_softmax, server  # noqa: E402

MODEL = os.path.join(shared, "data/models/stories260K")
IDS = [1, 403, 407, 261, 378, 432]
failures = []


def run(*arguments):
    result = subprocess.run([lora, *arguments, "--quiet"], capture_output=True, text=True)
    assert result.returncode == 0, (arguments, result.stdout, result.stderr)
    return result.stdout


def check(what, error, limit):
    print(f"{'ok  ' if error <= limit else 'FAIL'} {what}: {error:.1e}")
    if not error <= limit:
        failures.append(what)


def logits(model):
    def find(value):
        if isinstance(value, list) and len(value) == 512 and isinstance(value[0], (int, float)):
            return value
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
            found = find(inner)
            if found:
                return found

    return np.array(find(json.loads(run("logits", "--model", model, "--ids", ",".join(map(str, IDS)), "--json", "-"))))


with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    for number, kind in enumerate(["q8_0", "q4_0", "q4_k", "f16"]):
        name = kind + ".gguf"
        run("quantize", MODEL, "--to", kind, "-o", name)
        for tensor in gguf.GGUFReader(name).tensors:  # another reader takes it too
            assert np.isfinite(gguf.quants.dequantize(tensor.data, tensor.tensor_type)).all(), tensor.name
        s = server(name, [], 8961 + number)
        # llama.cpp rounds activations to 8 bits in products with quantised weights.
        check(f"{kind} in llama.cpp", np.nanmax(np.abs(oracle.logits(s, IDS, []) - log_softmax(logits(name)))),
              0.02 if kind == "f16" else 0.15)
        del s

    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    run("quantize", MODEL, "--to", "nf4", "-o", "nf4")
    ours = AutoModelForCausalLM.from_pretrained("nf4", dtype=torch.float32)
    # With gradients: without, bitsandbytes takes a kernel that refuses matrices of this size.
    check("our NF4 in transformers", np.abs(ours(torch.tensor([IDS])).logits[0, -1].detach().numpy() - logits("nf4")).max(), 1e-4)
    for nested in [False, True]:
        config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=nested)
        theirs = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32, quantization_config=config)
        name = "nested" if nested else "plain"
        theirs.save_pretrained(name)
        z = theirs(torch.tensor([IDS])).logits[0, -1].detach().numpy()
        check(f"bitsandbytes' {name} NF4 in lora", np.abs(z - logits(name)).max(), 1e-4)
    print(f"{len(failures)} failures")
    sys.exit(1 if failures else 0)
