"""Runs the rows of a folder of cases and judges what happens.

    python Tests/Interop/cases.py .build/release/lora ../shared/cases [--only REGEX]

The commands stand in the folder's README.md, a table row a case: | case | `command` | today | what is right | source |.
Here stands, in the same order, what is right of each (CASES); a row and a line below belong together by name, the
second line of a name to its second row. Each command runs in a process of its own, in the folder, with `lora` in PATH
and T an empty folder. A trap, a segmentation fault or an endless run is wrong everywhere.

Needs numpy; torch, transformers, peft and diffusers where they are the judge.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np

import judges
from judges import Wrong, configuration, difference, distance, tensors

WRAPPER = """#!/bin/bash
step=$(mktemp "$LORA_STEPS/$(date +%s%N).XXXX")
printf '%s\\0' "$@" >"$step.arguments"
"$LORA_PROGRAM" "$@" >"$step.out" 2>"$step.err"
status=$?
echo $status >"$step.status"
cat "$step.out"
cat "$step.err" >&2
exit $status
"""


class Step:
    """One call of `lora` within a command."""

    def __init__(self, path):
        read = lambda kind: open(f"{path}.{kind}", encoding="utf-8", errors="replace").read() if os.path.exists(f"{path}.{kind}") else ""
        self.arguments = read("arguments").split("\0")[:-1]
        self.out, self.text = read("out"), read("out") + read("err")
        self.status = int(read("status") or 124)
        # The paths are no part of the message: "gguf" in the name of a folder is not a GGUF that was recognised.
        self.message = self.text
        for word in sorted({x.rpartition(":")[0] if re.search(r":[\d.]+$", x) else x for x in self.arguments if "/" in x}, key=len, reverse=True):
            for path in (os.path.abspath(word), word):
                self.message = self.message.replace(path, "PATH")

    def value(self, option):
        return self.arguments[self.arguments.index(option) + 1] if option in self.arguments else None


class Run:
    """What a command did."""

    def __init__(self, program, command):
        self.folder = tempfile.mkdtemp(prefix="lora-case-")
        self.program, self.command = program, command
        self.T = os.path.join(self.folder, "T")
        self.steps = []
        os.mkdir(self.T)
        self.again()

    def again(self):
        steps, bin = os.path.join(self.folder, "steps"), os.path.join(self.folder, "bin")
        shutil.rmtree(steps, ignore_errors=True)
        os.mkdir(steps)
        os.makedirs(bin, exist_ok=True)
        with open(f"{bin}/lora", "w") as file:
            file.write(WRAPPER)
        os.chmod(f"{bin}/lora", 0o755)
        environment = {**os.environ, "T": self.T, "PATH": f"{bin}:{os.environ['PATH']}", "LORA_STEPS": steps, "LORA_PROGRAM": self.program}
        environment["SWIFT_BACKTRACE"] = "enable=no"
        try:
            done = subprocess.run(["bash", "-c", self.command], env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
            self.text = (done.stdout + done.stderr).decode(errors="replace")
        except subprocess.TimeoutExpired:
            self.text = "ran for two minutes"
        names = sorted({x.rsplit(".", 1)[0] for x in os.listdir(steps) if x.endswith(".arguments")})
        self.steps = [Step(os.path.join(steps, x)) for x in names]
        return self

    def path(self, name):
        """An output: $T/name, or $T/name.safetensors."""
        path = os.path.join(self.T, name)
        return path if os.path.exists(path) else path + ".safetensors"

    @property
    def base(self):
        """The base of the last merge: what the result is where nothing changes."""
        return next((s.arguments[1] for s in reversed(self.steps) if s.arguments[0] == "merge"), None)


# ---------------------------------------------------------------- judgments: functions of a run that raise Wrong


def expect(condition, text):
    if not condition:
        raise Wrong(text)


def tail(text):
    lines = [x.strip() for x in text.splitlines() if x.strip() and "█" not in x]
    return " / ".join(lines[-2:])[:200]


def both(*judgments):
    def judge(run):
        for each in judgments:
            each(run)

    return judge


def either(*judgments):
    def judge(run):
        reasons = []
        for each in judgments:
            try:
                return each(run)
            except Wrong as wrong:
                reasons.append(str(wrong))
        raise Wrong(", and ".join(dict.fromkeys(reasons)))

    return judge


def done(run):
    for step in run.steps:
        expect(step.status == 0, f"{step.arguments[0]}: exit status {step.status}: {tail(step.text)}")


def refused(*patterns, step=-1, without=None, names=()):
    """Exit status 1 of a step (the last; None: of each), a message that matches, and no output."""

    def judge(run):
        for each in run.steps if step is None else [run.steps[step]]:
            expect(each.status == 1, f"{each.arguments[0]}: exit status {each.status}, expected 1: {tail(each.text)}")
            for pattern in patterns:
                expect(re.search(pattern, each.message, re.I), f"no /{pattern}/ in the message: {tail(each.text)}")
            for name in names:
                expect(name in each.text, f"“{name}” is not named in the message: {tail(each.text)}")
            expect(not without or not re.search(without, each.message, re.I), f"/{without}/ in the message: {tail(each.text)}")
            output = each.value("-o")
            expect(not output or not os.path.exists(output) or len(run.steps) > 1, "refused, and wrote an output")

    return judge


def says(pattern, step=-1):
    """A line that matches, whatever the exit status."""

    def judge(run):
        each = run.steps[step]
        expect(each.status in (0, 1) and re.search(pattern, each.message, re.I), f"no /{pattern}/ in the output: {tail(each.text)}")

    return judge


def merged(expected, part="", name="m", base=None):
    """$T/m holds the expected tensors, and the base's for all others."""

    def judge(run):
        done(run)
        dtypes, right = {}, tensors(expected)
        right = {k[len(part) + 1 :] if part else k: v for k, v in right.items() if k.startswith(part + "|") or (not part and "|" not in k)}
        assert right, f"no tensors of {part} in {expected}"
        result = tensors(run.path(name), dtypes)
        source = base or run.base
        old = tensors(source) if source.endswith(".safetensors") else chosen(source)
        wrong = difference(result, right, dtypes)
        expect(not wrong, wrong)
        others = difference(result, {k: v for k, v in old.items() if k not in right})
        expect(not others, f"other tensors than the expected ones changed: {others}")
        extra = [k for k in result if k not in right and k not in old]
        expect(not extra, f"a tensor that nobody asked for: {extra[:1]}")

    return judge


def chosen(folder):
    """The tensors of a model's folder that transformers takes: the single file before the shards."""
    single = os.path.join(folder, "model.safetensors")
    index = single + ".index.json"
    if os.path.exists(single):
        return tensors(single)
    if os.path.exists(index):
        files = set(configuration(folder, "model.safetensors.index.json")["weight_map"].values())
        return {k: v for x in files if os.path.exists(os.path.join(folder, x)) for k, v in tensors(os.path.join(folder, x)).items()}
    return tensors(folder)


def same(path, name="m"):
    """$T/m holds the same tensors as `path`."""

    def judge(run):
        done(run)
        dtypes = {}
        result, right = tensors(run.path(name), dtypes), tensors(path)
        wrong = difference(result, right, dtypes)
        expect(not wrong, wrong)
        expect(set(result) == set(right), f"tensors that {path} does not have: {sorted(set(result) - set(right))[:2]}")

    return judge


def as_peft(base, adapter, name="m"):
    """$T/m holds what peft merges, under the names that transformers writes."""

    def judge(run):
        done(run)
        wrong = difference(tensors(run.path(name)), judges.saved(judges.adapted(base, adapter).merge_and_unload()))
        expect(not wrong, wrong)

    return judge


def changes(count, expected, name="m"):
    """So many tensors of $T/m changed, by as much in all as those of `expected`, which has another layout."""

    def judge(run):
        done(run)
        square = lambda new, old: sum(float(((v - old[k]) ** 2).sum()) for k, v in new.items())
        result, base = tensors(run.path(name)), chosen(run.base)
        changed = {k: v for k, v in result.items() if (v != base[k]).any()}
        other = tensors(os.path.join(os.path.dirname(expected), "original.safetensors"))
        a, b = square(changed, base), square(tensors(expected), other)
        expect(len(changed) == count and abs(a - b) <= 1e-5 * b, f"{len(changed)} tensors changed, by {a} instead of {b}")

    return judge


def modules_kept(file, name):
    """$T/name has the modules of `file`, whatever became of their tensors."""

    def judge(run):
        done(run)
        modules = lambda path: {x.split(".")[0] for x in tensors(path)}
        expect(modules(run.path(name)) == modules(file), f"modules: {modules(run.path(name))}")

    return judge


def scaled_once(name, part="unet", output="m"):
    """LyCORIS 4.1.3's own merge of LoHa and LoKr multiplies by the scale twice, its forward pass, which trained the file,
    once: the change here is the expected one over the scale, 1/2 in these files, or 1 where a LoKr has whole matrices."""

    def judge(run):
        done(run)
        result, base = tensors(run.path(output)), chosen(run.base)
        for key, value in tensors(f"{I}/lycoris/{name}.expected.safetensors").items():
            key = key.removeprefix(part + "|")
            here, there = result[key] - base[key], value - base[key]
            off = min(abs(here - there * factor).max() for factor in (1, 2)) / abs(here).max()
            expect(off <= 2e-4, f"{key} is off by {off:.1e}")

    return judge


def adapter_gives(name, base, expected, part="", tolerance=None, only=""):
    """The adapter $T/name loads in peft on the base; merged there it gives the expected tensors, and the base's for others."""

    def judge(run):
        done(run)
        result = judges.saved(judges.adapted(base, run.path(name)).merge_and_unload())
        right = {k.removeprefix(part + "|"): v for k, v in tensors(expected).items() if not part or k.startswith(part + "|")}
        right = {**(tensors(base) if base.endswith(".safetensors") else chosen(base)), **right}
        right = {k: v for k, v in right.items() if k.endswith(only)}
        wrong = difference(result, right, tolerance=tolerance)
        expect(not wrong, f"merged by peft: {wrong}")

    return judge


def outputs_as(tuned, adapter=None, base=None, merged=None):
    """A merged model in transformers, or an adapter in peft, computes what the tuned model does."""

    def judge(run):
        done(run)
        found = judges.model(run.path(merged)) if merged else judges.adapted(base, run.path(adapter))
        off = distance(judges.outputs(found), judges.outputs(judges.model(tuned)))
        expect(off <= 1e-5, f"outputs are off by {off:.1e}")

    return judge


def logits_of(expected, name="m"):
    """The merged model in transformers gives the logits of an expected.json."""

    def judge(run):
        import torch

        done(run)
        facts = configuration(*os.path.split(expected))
        with torch.no_grad():
            found = judges.model(run.path(name))(torch.tensor([facts["ids"]])).logits[0]
        found = found[-1] if found.ndim == 2 else found
        off = distance(found.numpy(), facts["logits"])
        expect(off <= 1e-5, f"logits are off by {off:.1e}")

    return judge


def own_logits(expected):
    """$T/l.json, written by `lora logits`."""

    def judge(run):
        expect(run.steps[0].status == 0, f"exit status {run.steps[0].status}: {tail(run.steps[0].text)}")
        off = distance(configuration(run.T, "l.json")["logits"], configuration(*os.path.split(expected))["logits"])
        expect(off <= 1e-5, f"logits are off by {off:.1e}")

    return judge


PAIR = re.compile(r"(.*?)\.(lora_down|lora_up|lora_A|lora_B|lora_linear_layer\.down|lora_linear_layer\.up)\.weight$")


def updates(path):
    """{module: alpha/rank · B A} of a file of LoRA."""
    read = tensors(path)
    halves = {}
    for name, value in read.items():
        if found := PAIR.match(name):
            halves.setdefault(found[1], {})["up" if found[2].endswith(("up", "B")) else "down"] = value.reshape(value.shape[0], -1)
    scale = lambda module, rank: float(read.get(f"{module}.alpha", np.array(rank))) / rank
    return {k: scale(k, v["down"].shape[0]) * v["up"] @ v["down"] for k, v in halves.items()}


def resized(source, rank, name="r"):
    """$T/r holds the best update of that rank for each LoRA of the source, and all its other tensors."""

    def judge(run):
        done(run)
        found, right = updates(run.path(name)), updates(source)
        for module, value in right.items():
            expect(module in found, f"{module} is gone")
            u, s, v = np.linalg.svd(value, full_matrices=False)
            off = distance(found[module], (u[:, :rank] * s[:rank]) @ v[:rank])
            expect(off <= 2e-6, f"{module} is off by {off:.1e}")
        others = {k: v for k, v in tensors(source).items() if not PAIR.match(k) and not any(k == f"{m}.alpha" for m in right)}
        wrong = difference(tensors(run.path(name)), others)
        expect(not wrong, wrong)

    return judge


def sum_of(*weighted, name):
    """$T/name is a file of LoRA with the weighted sum of others' updates."""

    def judge(run):
        done(run)
        right = {}
        for path, weight in weighted:
            for module, value in updates(path).items():
                right[module] = right.get(module, 0) + weight * value
        expect(os.path.isfile(os.path.join(run.T, name)), f"{name} is no file")
        wrong = difference(updates(os.path.join(run.T, name)), right, tolerance=1e-5)
        expect(not wrong, wrong)

    return judge


def definition(base, file, name="m"):
    """$T/m is W + alpha/rank · B A, kohya's names."""

    def judge(run):
        done(run)
        right = tensors(base)
        for module, value in updates(file).items():
            weight = next(k for k in right if k.endswith(".weight") and "lora_unet_" + k[:-7].replace(".", "_") == module)
            right[weight] = right[weight] + value.reshape(right[weight].shape)
        wrong = difference(tensors(run.path(name)), right)
        expect(not wrong, wrong)

    return judge


def diffusers_fuses(pipeline, folder, file, name="m"):
    """$T/m is what diffusers makes of the file."""

    def judge(run):
        import diffusers

        done(run)
        transformer = judges.model(f"{folder}/transformer")
        cls = getattr(diffusers, pipeline)
        scheduler = diffusers.FlowMatchEulerDiscreteScheduler() if pipeline == "FluxPipeline" else diffusers.UniPCMultistepScheduler()
        names = ["vae", "tokenizer", "text_encoder"] + (["text_encoder_2", "tokenizer_2"] if pipeline == "FluxPipeline" else [])
        pipe = cls(transformer=transformer, scheduler=scheduler, **dict.fromkeys(names))
        pipe.load_lora_weights(os.path.dirname(file), weight_name=os.path.basename(file))
        pipe.fuse_lora(components=["transformer"])
        pipe.unload_lora_weights()
        wrong = difference(tensors(run.path(name)), judges.saved(transformer))
        expect(not wrong, wrong)

    return judge


def files(*names, folder="m"):
    """The safetensors files of $T/m."""

    def judge(run):
        found = sorted(x for x in os.listdir(run.path(folder)) if re.search(r"\.safetensors(\.index\.json)?$|\.bin$|\.npz$", x))
        expect(found == sorted(names), f"the folder holds {found}, expected {sorted(names)}")

    return judge


def one_model(folder="m"):
    """$T/m holds a single file, or shards with their index; not both."""

    def judge(run):
        found = sorted(x for x in os.listdir(run.path(folder)) if "safetensors" in x)
        shards = {x for x in found if "-of-" in x}
        index = "model.safetensors.index.json" in found
        expect("model.safetensors" not in found or not (shards or index), f"two models in the folder: {found[:3]}")
        if index:
            named = set(configuration(run.path(folder), "model.safetensors.index.json")["weight_map"].values())
            expect(named == shards, f"the index names {sorted(named)[:2]}, the folder holds {sorted(shards)[:2]}")

    return judge


def adapter_config(test, text, folder):
    """adapter_config.json of $T/folder passes a test."""

    def judge(run):
        done(run)
        expect(test(configuration(run.path(folder), "adapter_config.json")), text)

    return judge


def targets(config):
    found = config["target_modules"]
    return [found] if isinstance(found, str) else found


def names_in(name, test, text):
    def judge(run):
        done(run)
        odd = [x for x in tensors(run.path(name)) if not test(x)]
        expect(not odd, f"{text}: {odd[:2]}")

    return judge


def same_each_time(run):
    first = run.steps[-1].text
    for _ in range(4):
        expect(run.again().steps[-1].text == first, "another message each time")


def classifier(labels, architecture):
    def judge(run):
        done(run)
        config = configuration(run.path("m"))
        expect(config.get("architectures") == [architecture], f"architectures is {config.get('architectures')}")
        expect(len(config.get("id2label", {})) == labels, f"id2label is {config.get('id2label')}")

    return judge


def prints(numbers):
    """The numbers are in the lines that the program printed, in this order, one a line; alternatives in a tuple."""

    def judge(run):
        done(run)
        lines = [x for x in run.steps[-1].out.splitlines() if x.strip()]
        expect(len(lines) == len(numbers), f"{len(lines)} lines")
        for line, right in zip(lines, numbers):
            found = [float(x) for x in re.findall(r"-?\d+\.\d+", line)]
            expect(any(abs(x - y) < 1e-4 for x in found for y in right), f"expected {right[0]:.4f}: {line}")

    return judge


def embedding(expected):
    def judge(run):
        done(run)
        off = distance(json.loads(run.steps[-1].out), configuration(*os.path.split(expected))["embedding"])
        expect(off <= 1e-5, f"off by {off:.1e}")

    return judge


def one_tensor(run):
    done(run)
    expect(re.search(r"^1 file\s+1\b", run.text, re.M) or re.search(r"^a\s+F32", run.text, re.M), f"no tensor is listed: {tail(run.text)}")


def json_on_output(run):
    done(run)
    expect("-" not in os.listdir(run.T), "a file called - is written")
    try:
        json.JSONDecoder().raw_decode(run.steps[0].out[run.steps[0].out.index("{") :])
    except ValueError as error:
        raise Wrong("no JSON on standard output") from error


# ---------------------------------------------------------------- what is right

A, I, M = "adapters", "images", "models"
own = lambda case, file="expected": merged(f"{A}/{case}/{file}.safetensors")
written = lambda case, base=None: adapter_gives("s", f"{A}/{case}/base.safetensors", f"{A}/{case}/expected.safetensors")
single = lambda group, name: merged(f"{A}/{group}/{name}.expected.safetensors")
image = lambda name, part: merged(f"{I}/{name}.expected.safetensors", part)
lycoris = lambda name: merged(f"{I}/lycoris/{name}.expected.safetensors", "unet")
shards = merged(f"{A}/shards/expected.safetensors")
saved_whole = lambda case: either(own(case), refused(r"\b(bn|h)\."))
PEFT_CLAIM = r"ignore|without a place|does not have|not target"

CASES = [
    # A. One name, one tensor
    ("tied-twice", both(own("tied-saved-head"), logits_of(f"{A}/tied-saved-head/expected.json"))),
    # expected.safetensors also has the head's change in the embedding, since peft merges a tied pair in place; the logits
    # of the adapter in peft are those of an embedding that stays.
    ("tied-twice", logits_of(f"{A}/tied-lora-head/expected.json")),
    ("tied-twice, tied-twice-tuned", both(names_in("x", lambda x: True, ""), outputs_as(f"{A}/tied-twice-tuned", "x", f"{A}/tied-twice"))),
    ("module-unicode", own("module-unicode")),
    ("module-default-collide", own("module-default-collide")),
    # B. Tied only if the file agrees
    ("tied-different", own_logits(f"{A}/tied-different/expected.json")),
    ("tied-saved-head", both(own("tied-saved-head"), logits_of(f"{A}/tied-saved-head/expected.json"))),
    ("tied-saved-both", both(own("tied-saved-both"), logits_of(f"{A}/tied-saved-both/expected.json"))),
    ("tied-saved-ensure on tied-twice", both(own("tied-saved-ensure"), logits_of(f"{A}/tied-saved-ensure/expected.json"))),
    # C. What we write, our reader and peft must find
    ("write-suffix", written("write-suffix")),
    ("write-encoder-decoder", written("write-encoder-decoder")),
    ("write-alpha-suffix", both(own("write-alpha-suffix"), written("write-alpha-suffix"))),
    ("write-alpha-suffix", both(own("write-alpha-suffix"), adapter_gives("p", f"{A}/write-alpha-suffix/base.safetensors", f"{A}/write-alpha-suffix/expected.safetensors"))),
    ("extract-suffix", adapter_gives("x", f"{A}/extract-suffix/base.safetensors", f"{A}/extract-suffix/tuned.safetensors")),
    ("trainable-tokens", either(refused("trainable.token"), adapter_gives("c", f"{A}/llama", f"{A}/trainable-tokens/expected-combined.safetensors"))),
    ("saved-head", either(refused("lm_head|modules_to_save", step=0), own("saved-head", "expected-combined"))),
    ("single-file/dots", either(refused(), resized(f"{A}/single-file/dots.safetensors", 2))),
    ("kohya/loha+lora", either(refused("hada|LoHa"), resized(f"{A}/kohya/loha+lora.safetensors", 2))),
    ("kohya/diff", either(refused("diff"), resized(f"{A}/kohya/diff.safetensors", 2))),
    ("kohya/wnorm", either(refused("_norm"), resized(f"{A}/kohya/wnorm.safetensors", 2))),
    # D. Module names are not file names
    ("llava", both(same(f"{A}/llava/tuned"), outputs_as(f"{A}/llava/tuned", merged="m"))),
    ("llava", both(adapter_gives("x", f"{A}/llava/base", f"{A}/llava/tuned"), outputs_as(f"{A}/llava/tuned", "x", f"{A}/llava/base"))),
    ("qwen2vl", both(same(f"{A}/qwen2vl/tuned"), outputs_as(f"{A}/qwen2vl/tuned", merged="m"))),
    ("qwen2vl", both(adapter_gives("x", f"{A}/qwen2vl/base", f"{A}/qwen2vl/tuned"), outputs_as(f"{A}/qwen2vl/tuned", "x", f"{A}/qwen2vl/base"))),
    # E. Formats and numbers are checked at the door
    ("r-float", refused(r"\br\b|rank")),
    ("alpha-null", refused("alpha")),
    ("alpha-NaN", refused("alpha|scale", r"nan|number|finite")),
    ("alpha-NaN", refused("alpha|scale", r"nan|number|finite")),
    ("kohya/alpha-nan", refused("alpha|scale", r"nan|number|finite")),
    ("kohya/alpha-i64", single("kohya", "alpha-i64")),
    ("kohya/2d-on-conv1", single("kohya", "2d-on-conv1")),
    ("kohya/conv1-on-linear", single("kohya", "conv1-on-linear")),
    ("kohya/conv1d", single("kohya", "conv1d")),
    ("conv1d", own("conv1d")),
    ("conv3d", own("conv3d")),
    ("extract-conv1d", either(adapter_gives("x", f"{A}/extract-conv1d/base.safetensors", f"{A}/extract-conv1d/tuned.safetensors", only=("c1.weight", "c2.weight", "lin.weight")), says("conv(olution|1d)"))),
    ("saved-batchnorm", own("saved-batchnorm")),
    ("replace-i64-buffer", saved_whole("replace-i64-buffer")),
    ("replace-f8-saved", saved_whole("replace-f8-saved")),
    ("replace-u8-both", saved_whole("replace-u8-both")),
    ("safetensors/meta-null", one_tensor),
    ("safetensors/extra-field", one_tensor),
    ("dtypes/bnb", refused("bitsandbytes")),
    ("dtypes/gptq", refused("GPTQ")),
    ("dtypes/fp8", says("F8|FP8")),
    ("dtypes/adapter-huge", refused(r"\bq\b", names=["adapter-huge"], without=r"ofProduct")),
    ("dtypes/adapter-nan", refused(r"\bq\b", step=None, names=["adapter-nan"], without=r"ofProduct")),
    ("zero3-empty", both(refused("ZeRO"), same_each_time)),
    ("zero3-head-empty", says("ZeRO|empty")),
    ("vocab-grown", refused("resiz|grow|resize_token_embeddings", "67")),
    # F. Claims about peft are tested against peft
    ("name-default-infix", own("name-default-infix")),
    ("name-magnitude-weight", own("name-magnitude-weight")),
    ("module-default", own("module-default")),
    ("module-default_head", own("module-default_head")),
    ("name-orig_mod-inner", refused("_orig_mod", "peft")),
    ("name-orig_mod-outer", refused("_orig_mod", "peft")),
    ("name-doubled-prefix", refused("base_model", "peft")),
    ("name-other-adapter", refused(r"“sft”|[\"'`]sft|adapter.{0,30}\bsft\b|\bsft\b.{0,30}adapter", without="has no LoRA tensors")),
    ("targets-all-linear", own("targets-all-linear")),
    ("targets-null", own("targets-null")),
    ("targets-absent", own("targets-absent")),
    ("trainable-tokens", either(own("trainable-tokens"), refused("trainable.token", without=PEFT_CLAIM))),
    ("targets-regex-bracket", own("targets-regex-bracket")),
    ("mixtral", either(as_peft(f"{A}/mixtral/base", f"{A}/mixtral/adapter"), refused("target_parameters", without=PEFT_CLAIM))),
    # G. The same choice of file as transformers
    ("single-and-shards", own("single-and-shards")),
    ("shards/index-names-absent-tensor", both(shards, says("index"))),
    ("shards/index-wrong-file", both(shards, says("index"))),
    ("shards/tensor-in-two-shards", both(shards, says("index|two|twice"))),
    ("shards/tensor-not-in-index", both(shards, says("index"))),
    ("shards/subfolder", shards),
    ("shards/good, then llama", both(one_model(), as_peft(f"{A}/llama", f"{A}/plain"))),
    ("llama, then shards/good", both(one_model(), as_peft(f"{A}/shards/good", f"{A}/plain-q"))),
    ("plain, twice", both(done, files("adapter_model.safetensors", folder="c"))),
    # H. A merge ends in a loadable model
    ("merged-classifier", both(classifier(5, "BertForSequenceClassification"), logits_of(f"{A}/merged-classifier/expected.json"))),
    # I. The usual wrong or other file is recognised
    ("wrong-file/lfs-pointer", refused("LFS")),
    ("wrong-file/html", refused("HTML")),
    ("wrong-file/pickle", refused("PyTorch|pickle")),
    ("wrong-file/gguf", refused("GGUF")),
    ("shards/pickle-only", merged(f"{A}/shards/expected.safetensors", base=f"{A}/shards/good")),
    ("single-file/dots", single("single-file", "dots")),
    ("single-file/dots-lora_A", single("single-file", "dots-lora_A")),
    ("single-file/transformer-alpha", single("single-file", "transformer-alpha")),
    ("single-file/diffusers-old", single("single-file", "diffusers-old")),
    ("single-file/diffusers-lora_linear_layer", single("single-file", "diffusers-lora_linear_layer")),
    ("single-file/peft-alone", single("single-file", "peft-alone")),
    ("single-file/text-encoder-too", either(single("single-file", "text-encoder-too"), refused("2 of 3", "lora_te|text_encoder|text_model"))),
    ("wrapped/full", refused("base_layer|lora_A")),
    ("mlx-moe", refused("SwitchLinear|expert")),
    ("plain", as_peft(f"{A}/llama", f"{A}/plain")),
    # J. A file in each naming convention
    ("sd15/kohya-unet-f16", image("sd15/kohya-unet-f16", "unet")),
    ("sd15/kohya", both(image("sd15/kohya", "unet"), says("lora_te|text.encoder"))),
    ("sd15/kohya", image("sd15/kohya", "text_encoder")),
    ("sd15/kohya", image("sd15/kohya.single", "")),
    ("sd15/locon", image("sd15/locon", "unet")),
    ("sd15/diffusers", image("sd15/diffusers", "unet")),
    ("sd15/diffusers-without-metadata", image("sd15/diffusers-without-metadata", "unet")),
    ("sd15/diffusers-old-names", image("sd15/diffusers-old-names", "unet")),
    ("sd15/peft", image("sd15/peft", "unet")),
    ("sd15/peft-dora", image("sd15/peft-dora", "unet")),
    ("sdxl/kohya", image("sdxl/kohya", "unet")),
    ("sdxl/kohya", image("sdxl/kohya.single", "")),
    ("sdxl/kohya-diffusers-names", image("sdxl/kohya-diffusers-names", "unet")),
    ("sdxl/kohya-text-encoders", image("sdxl/kohya-text-encoders", "text_encoder")),
    ("sdxl/kohya-text-encoders", image("sdxl/kohya-text-encoders", "text_encoder_2")),
    ("sdxl/kohya-text-encoders", image("sdxl/kohya-text-encoders.single", "")),
    ("sdxl/comfy", image("sdxl/comfy", "unet")),
    ("sdxl/locon", image("sdxl/locon", "unet")),
    ("sdxl/diffusers", image("sdxl/diffusers", "unet")),
    ("sd3/diffusers", image("sd3/diffusers", "transformer")),
    ("flux/diffusers", image("flux/diffusers", "transformer")),
    ("flux/ai-toolkit", image("flux/ai-toolkit", "transformer")),
    ("flux/kohya", image("flux/kohya", "")),
    ("flux/kohya", changes(40, f"{I}/flux/kohya.expected.safetensors")),
    ("flux/kohya-text-encoder", both(image("flux/kohya-text-encoder", ""), says("lora_te1|text.encoder"))),
    ("flux/comfy", image("flux/comfy", "")),
    ("qwen/musubi", image("qwen/musubi", "transformer")),
    ("qwen/ai-toolkit", image("qwen/ai-toolkit", "transformer")),
    ("wan/musubi", image("wan/musubi", "")),
    ("wan/musubi", diffusers_fuses("WanPipeline", f"{I}/wan/pipeline", f"{I}/wan/musubi.safetensors")),
    ("wan/comfy", image("wan/comfy", "")),
    # K. The kinds of LyCORIS
    *[
        (f"lycoris/{x}", scaled_once(x) if x.startswith("lo") and "locon" not in x else lycoris(x))
        for x in "locon-tucker loha loha-tucker lokr ia3 full dora dora-on-output norms diag-oft boft glora scalar rslora".split()
    ],
    # L. Folders and files of image models
    ("sd15/pipeline", either(merged(f"{I}/sd15/kohya-unet-f16.expected.safetensors", "unet", "m/unet"), refused("unet", "text_encoder"))),
    ("sd15/shards", image("sd15/kohya-unet-f16", "unet")),
    ("sd15/pipeline/unet", both(image("sd15/kohya-unet-f16", "unet"), files("diffusion_pytorch_model.safetensors"))),
    ("sd15/variant", both(image("sd15/kohya-unet-f16", "unet"), files("diffusion_pytorch_model.fp16.safetensors"))),
    # M. Image adapters written and compared
    ("min/mixed", modules_kept(f"{I}/min/mixed.safetensors", "r.safetensors")),
    ("min/comfy", either(refused(), resized(f"{I}/min/comfy.safetensors", 2))),
    ("min/comfy, min/comfy2", either(refused(), says(r"blocks[._]0[._]q"))),
    ("min/seq", both(adapter_config(lambda c: not any(t.isdigit() for t in targets(c)), "a target of digits", "a"), adapter_gives("a", f"{I}/min/seq-base.safetensors", f"{I}/min/seq-tuned.safetensors", tolerance=1))),
    ("sd15/kohya-unet-f16", adapter_gives("p", f"{I}/sd15/pipeline/unet", f"{I}/sd15/kohya-unet-f16.expected.safetensors", "unet")),
    ("min/seq", names_in("k", lambda x: x.startswith("lora_unet_"), "names without lora_unet_")),
    ("sd15/kohya-unet-f16, sd15/locon", both(sum_of((f"{I}/sd15/kohya-unet-f16.safetensors", 0.7), (f"{I}/sd15/locon.safetensors", 0.3), name="both.safetensors"), names_in("both.safetensors", lambda x: re.match("lora_(unet|te)_", x), "names that are not kohya's"))),
    ("min/conv3d", definition(f"{I}/min/conv3d-base.safetensors", f"{I}/min/conv3d-lora.safetensors")),
    ("min/conv3d", either(adapter_gives("x", f"{I}/min/conv3d-base.safetensors", f"{I}/min/conv3d-tuned.safetensors", tolerance=1), refused("3-?d|convolution", without="same weights"))),
    ("sdxl/tuned-text_encoder_2", outputs_as(f"{I}/sdxl/tuned-text_encoder_2", "x", f"{I}/sdxl/pipeline/text_encoder_2")),
    # N. Names, heads and formats of models
    ("bert-gamma-beta", embedding(f"{M}/bert/expected.json")),
    ("bert, bert-gamma-beta", refused("nothing to extract|same")),
    ("cross-encoder-1label", prints([(0.5625, 0.2512), (0.5343, 0.1374)])),
    ("distilbert", merged(f"{M}/distilbert/expected.safetensors")),
    ("llama-tied-but-lmhead", own_logits(f"{M}/llama-tied-but-lmhead/expected.json")),
    ("whisper-extract", both(adapter_config(lambda c: c["task_type"] is None, "task_type is not null", "x"), outputs_as(f"{M}/whisper-extract/tuned", "x", f"{M}/whisper-extract/base"))),
    ("formats/bin", either(refused(r"pytorch_model\.bin"), done)),
    ("formats/gguf", either(refused("GGUF"), done)),
    ("formats/mlx4", refused("mlx", step=None)),
    ("formats/bnb4", refused("bitsandbytes")),
    ("formats/spmonly", refused(r"tokenizer\.model")),
    ("formats/bigtok", done),
    # Q. A broken file ends in a message
    *[(x, refused()) for x in "tokenizer-huge-word-length tokenizer-segment-beyond tokenizer-special-id-beyond".split()],
    *[(x, refused()) for x in "tokenizer-special-id-negative tokenizer-vocabulary-id-beyond".split()],
    ("tokenizer-vocabulary-id-huge", either(refused(), done)),
    ("tokenizer-special-id-beyond-llama", refused()),
    ("tokenizer-strip-negative", refused()),
    ("tokenizer-strip-huge", either(done, refused())),
    ("mlx-huge-rank", refused()),
    ("mlx-rank-0", refused(names=["mlx-rank-0"], without="ofProduct")),
    ("extract-bias-shape", either(refused(), says("bias"))),
    *[(x, refused()) for x in "huge-empty-tensor adapter-huge-empty-weight".split()],
    # R. Commands behave alike
    ("plain", refused("does not exist")),
    ("plain", either(json_on_output, refused())),
    ("models/bert, data", refused("exist|force")),
]


# ---------------------------------------------------------------- the rows


def rows(readme):
    """(group, name, command) of the tables."""
    group = ""
    for line in open(readme, encoding="utf-8"):
        if heading := re.match(r"\| \*\*([A-Z])\. ", line):
            group = heading[1]
        cells = [x.strip() for x in re.split(r"(?<!\\)\|", line)[1:-1]]
        if group and len(cells) == 5 and cells[1].startswith("`"):
            yield group, cells[0], cells[1].strip("`")


def plan(readme):
    """(group, name, command, judgment) of each row that CASES judges."""
    judgments = {}
    for name, judge in CASES:
        judgments.setdefault(name, []).append(judge)
    for group, name, command in rows(readme):
        if group in "OP":  # data files and the library: tests of their own
            continue
        if not judgments.get(name):
            raise SystemExit(f"no judgment for {group} {name}: {command}")
        yield group, name, command, judgments[name].pop(0)
    left = [k for k, v in judgments.items() if v]
    if left:
        raise SystemExit(f"judgments without a row: {left}")


def verdict(run, judge):
    """What is wrong with a run; "" where nothing is."""
    for step in run.steps:
        if step.status in (124, 132, 133, 134, 135, 137, 139):
            return f"{step.arguments[0]}: {'endless' if step.status in (124, 137) else 'crash'} ({step.status})"
    if not run.steps:
        return f"lora was not run: {tail(run.text)}"
    try:
        judge(run)
    except Wrong as wrong:
        return str(wrong)
    except Exception as error:  # a peer that can't load the result, or a file that isn't there
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("cases")
    parser.add_argument("--only", default="", help="rows whose group, name and command match")
    parser.add_argument("--keep", action="store_true", help="leave the outputs, and say where")
    options = parser.parse_args()
    program = os.path.abspath(options.program)
    os.chdir(options.cases)
    todo = [x for x in plan("README.md") if re.search(options.only, f"{x[0]}. {x[1]}: {x[2]}")]
    failed = 0
    with ThreadPoolExecutor(2) as pool:
        for (group, name, _, judge), future in [(x, pool.submit(Run, program, x[2])) for x in todo]:
            run = future.result()
            reason = verdict(run, judge)
            failed += bool(reason)
            print(f"{'FAIL' if reason else 'PASS'} {group}. {name}{': ' + reason if reason else ''}", flush=True)
            if options.keep:
                print(f"     {run.folder}")
            else:
                shutil.rmtree(run.folder)
    print(f"{len(todo) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
