"""Times `lora` against its peers on synthetic models, checks the results, prints ratios.

    python Benchmarks/toolbox/bench.py LORA [FOLDER [PART…]]              (needs torch, peft, transformers, safetensors)

Parts: extract, extract-full, merge, resize, convert, inspect; all by default.

With SIZE=7b in the environment: the shape of Llama 7B, 13.5 GB a model in BF16, merge and extract alone and without peers,
which would need more memory; takes 41 GB of disk. With SHORTEST: small models, each once. Otherwise writes about 2.5 GB into
FOLDER (default: a temporary one). Every number is the median of several runs, ours and the peer's in turn.
Memory is the peak of anonymous pages (Linux: RssAnon), so without mapped file pages.
"""
import atexit
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

here = os.path.dirname(os.path.abspath(__file__))
lora = os.path.abspath(sys.argv[1])
folder = sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp()
if len(sys.argv) < 3:
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
shortest, large = "SHORTEST" in os.environ, os.environ.get("SIZE") == "7b"
REPEATS = 1 if shortest else int(os.environ.get("REPEATS", "3"))
# A library that is told another processor's kernels would not be a fair peer.
environment = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")} | {"HF_HUB_OFFLINE": "1"}


def peer(task, *options):
    shutil.rmtree(f"{folder}/peer", ignore_errors=True)
    lines = subprocess.run([sys.executable, f"{here}/peers.py", task, folder, f"{folder}/peer", *options],
                           capture_output=True, text=True, env=environment, check=True).stdout.splitlines()
    return {line.split()[0]: float(line.split()[1]) for line in lines if line.count(" ") == 1 and line[0].isalpha()}


def ours(*arguments):
    """Seconds from start to end of the process, and the peak of its anonymous memory in MB."""
    for name in ("out", "out.json"):
        shutil.rmtree(f"{folder}/{name}", ignore_errors=True)
    start = time.perf_counter()
    process = subprocess.Popen([lora, *arguments, "--quiet"], stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        try:
            for line in open(f"/proc/{process.pid}/status"):
                if line.startswith("RssAnon"):
                    peak = max(peak, int(line.split()[1]) / 1024)
        except OSError:
            pass
        time.sleep(0.002)
    seconds = time.perf_counter() - start
    assert process.returncode == 0, arguments
    return seconds, peak


def compare(title, arguments, peers):
    own, other = [], {task: [] for task in peers}
    for _ in range(REPEATS):
        for task in peers:
            other[task].append(peer(task)["seconds"])
        own.append(ours(*arguments))
    mine = statistics.median(s for s, _ in own)
    print(f"\n{title}: {mine:.3f} s, peak {max(m for _, m in own):.0f} MB")
    for task, factor in peers.items():
        theirs = statistics.median(other[task]) * factor
        print(f"  {task:22s} {theirs:8.2f} s   ratio {theirs / mine:8.1f}" + (f"   (a part, times {factor})" if factor != 1 else ""))


def copy_file():
    """A copy that is on the disk when it is done, as our output is."""
    times = []
    shutil.rmtree(f"{folder}/out", ignore_errors=True)
    for _ in range(REPEATS):
        if os.path.exists(f"{folder}/copy"):
            os.remove(f"{folder}/copy")
        start = time.perf_counter()
        subprocess.run(["cp", f"{folder}/base/model.safetensors", f"{folder}/copy"], check=True)
        subprocess.run(["sync", f"{folder}/copy"], check=True)
        times.append(time.perf_counter() - start)
    os.remove(f"{folder}/copy")
    print(f"  {'cp of the file, synced':22s} {statistics.median(times):8.2f} s")


def check_extraction():
    """Our residuals against the least possible, from the singular values of a few differences."""
    import torch
    from safetensors import safe_open
    ours("extract", f"{folder}/base", f"{folder}/tuned", "--rank", "16", "-o", f"{folder}/out", "--json", f"{folder}/out.json")
    modules = {m["path"]: m for m in json.load(open(f"{folder}/out.json"))["modules"]}
    worst = 0.0
    with safe_open(f"{folder}/base/model.safetensors", "pt") as base, safe_open(f"{folder}/tuned/model.safetensors", "pt") as tuned:
        for path in ["model.layers.0.self_attn.q_proj", "model.layers.1.mlp.gate_proj", "model.layers.1.mlp.down_proj"]:
            if path not in modules:
                continue
            difference = tuned.get_tensor(path + ".weight").float() - base.get_tensor(path + ".weight").float()
            values = torch.linalg.svdvals(difference).double().square()
            best = float((values[16:].sum() / values.sum()).sqrt())
            worst = max(worst, modules[path]["relative_residual"] / best - 1)
    print(f"  residual above the optimal one: {100 * worst:.3f}% at most (bound 0.5%)")
    assert worst < 0.005


def check_conversion():
    """The converted factors' product against LoHa's definition: α/r (w1_a w1_b) ∘ (w2_a w2_b)."""
    from safetensors.torch import load_file
    ours("convert", f"{folder}/loha", "--to", "lora", "-o", f"{folder}/out")
    source, result = (load_file(f"{folder}/{name}/adapter_model.safetensors") for name in ("loha", "out"))
    configuration = json.load(open(f"{folder}/out/adapter_config.json"))
    worst = 0.0
    for key in [k for k in source if k.endswith("hada_w1_a")]:
        path = key[: -len(".hada_w1_a")]
        part = lambda name: source[f"{path}.hada_{name}"]
        expected = 2.0 * (part("w1_a") @ part("w1_b")) * (part("w2_a") @ part("w2_b"))
        found = result[path + ".lora_B.weight"] @ result[path + ".lora_A.weight"] * configuration["lora_alpha"] / configuration["r"]
        worst = max(worst, float((found - expected).abs().max() / expected.abs().max()))
    print(f"  largest difference from the definition: {worst:.1e}")
    assert worst < 1e-5


if not os.path.exists(f"{folder}/adapter/adapter_config.json"):
    size = ["--small"] if shortest else ["--7b"] if large else []
    subprocess.run([sys.executable, f"{here}/generate.py", folder, *size], check=True, env=environment)
for model in () if large else ("base", "tuned"):
    open(f"{folder}/{model}/model.safetensors", "rb").read()
parts = sys.argv[3:] or (["extract", "merge"] if large else ["extract", "extract-full", "merge", "resize", "convert", "inspect"])
extract = ["extract", f"{folder}/base", f"{folder}/tuned", "--rank", "16", "-o", f"{folder}/out"]
if "extract" in parts:
    compare("extract, rank 16", extract, {} if large else {"extract-svd_lowrank": 1})
    check_extraction()
if "extract-full" in parts:
    compare("extract, rank 16", extract, {"extract-full_svd": 24})
if "merge" in parts:
    compare("merge, rank 16", ["merge", f"{folder}/base", f"{folder}/adapter", "-o", f"{folder}/out"],
            {} if large else {"merge-streaming": 1, "merge-peft": 1})
    copy_file()
if "resize" in parts:
    compare("resize, rank 64 to 16", ["resize", f"{folder}/adapter64", "--rank", "16", "-o", f"{folder}/out"], {"resize-full": 8})
if "convert" in parts:
    compare("convert, LoHa of rank 4 to LoRA", ["convert", f"{folder}/loha", "--to", "lora", "-o", f"{folder}/out"],
            {"convert-save_as_lora": 24})
    check_conversion()
if "inspect" in parts:
    compare("inspect, the header of a checkpoint", ["inspect", f"{folder}/base"], {})
