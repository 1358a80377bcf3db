"""`lora` against llama.cpp (PyPI xllamacpp): adapters converted to GGUF, and GGUF bases that they were merged into, give
the log-probabilities of Python peft.

usage: llamacpp.py LORA SHARED, where SHARED holds data/models/stories260K, data/adapters and tools/gguf_oracle.py."""
import json, os, subprocess, sys, tempfile

import numpy as np

lora, shared = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
sys.path.insert(0, os.path.join(shared, "tools"))
import gguf_oracle as oracle  # noqa: E402
import xllamacpp  # noqa: E402

MODEL, ADAPTERS = os.path.join(shared, "data/models/stories260K"), os.path.join(shared, "data/adapters")
FIXTURES = ["peft-stories260k-shakespeare", "peft-stories260k-shakespeare-rslora", "peft-stories260k-shakespeare-dora"]
LIMIT = 0.02  # nats; llama.cpp's own rounding is 0.006


def run(*arguments, fails=False):
    result = subprocess.run([lora, *arguments, "--quiet"], capture_output=True, text=True)
    assert (result.returncode != 0) == fails, (arguments, result.stdout, result.stderr)
    return result.stdout + result.stderr


def server(model, adapters, port):
    p = xllamacpp.CommonParams()
    p.model.path, p.n_ctx, p.n_parallel, p.port = model, 512, 1, port
    p.cpuparams.n_threads = p.cpuparams_batch.n_threads = 1
    p.n_gpu_layers, p.verbosity, p.warmup, p.lora_init_without_apply = 0, 0, False, True
    p.cache_type_k = p.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    infos = []
    for path in adapters:
        info = xllamacpp.CommonAdapterLoraInfo()
        info.path, info.scale = path, 1.0
        infos.append(info)
    if infos:
        p.lora_adapters = infos
    return xllamacpp.Server(p)


def log_softmax(z):
    z = np.array(z, dtype=np.float64)
    z -= z.max()
    return z - np.log(np.exp(z).sum())


def worst(s, fixture, scales, logits="adapter_last_logits"):
    reference = json.load(open(os.path.join(ADAPTERS, fixture, "reference.json")))
    return max(
        np.nanmax(np.abs(oracle.logits(s, p["input_ids"], scales) - log_softmax(p[logits]))) for p in reference["prompts"])


def main():
    failures = []

    def check(what, error, limit=LIMIT):
        print(f"{'ok  ' if error <= limit else 'FAIL'} {what}: {error:.1e} nats")
        if not error <= limit:
            failures.append(what)

    oracle.base("base.gguf")
    converted = []
    for fixture in FIXTURES:
        if fixture.endswith("dora"):
            said = run("convert", os.path.join(ADAPTERS, fixture), "--to", "gguf", "--base", MODEL, "-o", "no.gguf", fails=True)
            assert "DoRA" in said and not os.path.exists("no.gguf"), said
            print("ok   DoRA is refused by name")
            continue
        run("convert", os.path.join(ADAPTERS, fixture), "--to", "gguf", "--base", MODEL, "-o", fixture + ".gguf")
        run("convert", os.path.join(ADAPTERS, fixture), "--to", "gguf", "--base", "base.gguf", "-o", "again.gguf", "--force")
        assert open("again.gguf", "rb").read() == open(fixture + ".gguf", "rb").read()
        converted.append(fixture)
    s = server("base.gguf", [f + ".gguf" for f in converted], 8941)
    for index, fixture in enumerate(converted):
        off = [{"id": i, "scale": 0.0} for i in range(len(converted))]
        check(f"{fixture}, base", worst(s, fixture, off, "base_last_logits"))
        check(f"{fixture}, our adapter in llama.cpp", worst(s, fixture, [{"id": index, "scale": 1.0}]))
    del s
    for index, fixture in enumerate(FIXTURES):
        run("merge", "base.gguf", os.path.join(ADAPTERS, fixture), "-o", "merged.gguf", "--force")
        check(f"{fixture}, merged into the GGUF base", worst(server("merged.gguf", [], 8942 + index), fixture, []))
        if fixture in converted:
            run("merge", "base.gguf", fixture + ".gguf", "-o", "merged-2.gguf", "--force")
            check(f"{fixture}, our GGUF adapter merged", worst(server("merged-2.gguf", [], 8952 + index), fixture, []))
    print(f"{len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        sys.exit(main())
