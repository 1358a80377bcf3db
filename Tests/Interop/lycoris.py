"""Files of LyCORIS become PEFT folders with which peft and diffusers compute what LyCORIS' merge does.

    python Tests/Interop/lycoris.py .build/release/lora ../shared/cases

Each is converted as it is, or, where peft has no such form, as a plain LoRA first. The whole model's outputs are compared,
those of the base being far from them.
"""

import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from peft import PeftModel
from safetensors.torch import load_file

LORA, CASES = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
UNET = CASES / "images/sd15/pipeline/unet"
# Their norms' weights are no matrices; rotations have full rank.
NO_LORA = {"norms", "diag-oft", "boft"}
# LyCORIS 4.1.3's merge counts their scale twice (docs/decisions.md): these are held against `lora merge`.
DOUBLED = {"loha", "loha-tucker", "lokr"}


def run(*arguments):
    return subprocess.run([LORA, *map(str, arguments)], capture_output=True, text=True)


def model():
    return UNet2DConditionModel.from_pretrained(UNET, torch_dtype=torch.float32).eval()


def output(network):
    generator = torch.Generator().manual_seed(0)
    config = network.config if hasattr(network, "config") else network.base_model.config
    x = torch.randn(1, 4, 16, 16, generator=generator)[:, : config["in_channels"]]
    with torch.no_grad():
        return network(x, 3, torch.randn(1, 7, config["cross_attention_dim"], generator=generator)).sample


def check(file, folder):
    target = folder / "peft"
    first = run("convert", file, "--to", "peft", "--base", UNET, "-o", target)
    if first.returncode:
        assert "as a plain LoRA, it takes them" in first.stderr, first.stderr
        plain = folder / "plain.safetensors"
        # These weights have no more than 16 rows or columns a LoRA could need.
        result = run("convert", file, "--to", "lora", "--rank", 16, "--base", UNET, "-o", plain)
        assert result.returncode == 0, result.stderr
        result = run("convert", plain, "--to", "peft", "--base", UNET, "-o", target)
        assert result.returncode == 0, result.stderr
    base = model()
    merged = model()
    merged.load_state_dict(expected(file, merged, folder))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        adapted = PeftModel.from_pretrained(base, target).eval()
    missing = [str(item.message) for item in caught if "missing" in str(item.message)]
    assert not missing, missing
    untouched, right, found = output(model()), output(merged), output(adapted)
    assert (untouched - right).abs().max() > 1e-3, "the case shows nothing"
    difference = ((found - right).abs().max() / right.abs().max()).item()
    assert difference < 1e-5, difference
    return f"{'as it is' if first.returncode == 0 else 'as a plain LoRA'}, {difference:.1e}"


def expected(file, merged, folder):
    if file.stem in DOUBLED:
        assert run("merge", UNET, file, "-o", folder / "merged").returncode == 0
        return load_file(next((folder / "merged").glob("*.safetensors")))
    state = merged.state_dict()
    for name, tensor in load_file(file.with_suffix(".expected.safetensors")).items():
        component, _, name = name.rpartition("|")
        if component in ("", "unet"):
            state[name] = tensor
    return state


failed = 0
files = sorted(file for file in (CASES / "images/lycoris").glob("*.safetensors") if ".expected." not in file.name)
for file in files:
    if file.stem in NO_LORA or not file.with_suffix(".expected.safetensors").exists():
        continue
    with tempfile.TemporaryDirectory() as folder:
        try:
            print("PASS", file.stem, check(file, Path(folder)))
        except AssertionError as problem:
            failed += 1
            print("FAIL", file.stem, problem)
sys.exit(failed > 0)
