"""What cases.py and families.py judge results with: safetensors files, and models in transformers, diffusers and peft.

    tensors("merged", dtypes := {})                        # {name: values} of a file or a folder, each name once
    difference(tensors("merged"), tensors("expected.safetensors"))    # "" where they agree
    adapted("llama", "adapter").merge_and_unload()         # peft's opinion; a missing key is an error

Peers are imported where they are first needed: most cases need none.
"""

import json
import math
import os
import struct
import tempfile
import warnings

import numpy as np

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", DIFFUSERS_VERBOSITY="error")

FORMATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1", "BOOL": "?"}
# How far two results may be apart, relative to a tensor's largest value: rounding in the format of the result.
TOLERANCE = {"F64": 2e-6, "F32": 2e-6, "F16": 1e-3, "BF16": 8e-3, "F8_E4M3": 0.07, "F8_E5M2": 0.13}


class Wrong(Exception):
    """What is wrong with a result, in words."""


# ---------------------------------------------------------------- files


def float8(raw, exponent_bits, mantissa_bits):
    code = raw.astype("i4")
    exponent, mantissa = (code >> mantissa_bits) & (2**exponent_bits - 1), code & (2**mantissa_bits - 1)
    bias = 2 ** (exponent_bits - 1) - 1
    fraction = mantissa / 2**mantissa_bits + (exponent > 0)
    return np.where(code & 128, -1, 1) * fraction * 2.0 ** (np.maximum(exponent, 1) - bias)


def read_file(path, out, dtypes):
    with open(path, "rb") as file:
        data = file.read()
    size = struct.unpack("<Q", data[:8])[0]
    for name, entry in json.loads(data[8 : 8 + size], object_pairs_hook=list):
        if name == "__metadata__":
            continue
        entry = dict(entry)
        if name in out:
            raise Wrong(f"{os.path.basename(path)}: {name} is there twice")
        begin, end = (8 + size + x for x in entry["data_offsets"])
        raw, dtype = data[begin:end], entry["dtype"]
        if dtype == "BF16":
            value = (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
        elif dtype.startswith("F8"):
            value = float8(np.frombuffer(raw, "u1"), *((4, 3) if "E4" in dtype else (5, 2)))
        else:
            value = np.frombuffer(raw, FORMATS[dtype])
        out[name] = value.reshape(entry["shape"]).astype("f8")
        dtypes[name] = dtype


def tensors(path, dtypes=None):
    """{name: values in F64} of a safetensors file, or of all safetensors files of a folder."""
    out, dtypes = {}, {} if dtypes is None else dtypes
    if not os.path.exists(path):
        raise Wrong(f"{os.path.basename(path)} was not written")
    files = [path] if not os.path.isdir(path) else sorted(os.path.join(path, x) for x in os.listdir(path) if x.endswith(".safetensors"))
    for file in files:
        read_file(file, out, dtypes)
    return out


def distance(a, b):
    """The largest difference, relative to the largest value of b."""
    a, b = np.asarray(a, "f8"), np.asarray(b, "f8")
    if a.shape != b.shape or not np.isfinite(a).all():
        return math.inf
    return float(np.abs(a - b).max(initial=0)) / max(float(np.abs(b).max(initial=0)), 1e-30)


def difference(result, expected, dtypes={}, tolerance=None):
    """What is wrong with `result`, which should hold `expected`; "" where nothing is."""
    missing = [k for k in expected if k not in result]
    if missing:
        return f"{len(missing)} of {len(expected)} tensors missing: {missing[0]}"
    worst = ("", 0.0)
    for name, value in expected.items():
        if result[name].shape != value.shape:
            return f"{name} is {list(result[name].shape)}, expected {list(value.shape)}"
        off = distance(result[name], value)
        if off > (tolerance or TOLERANCE.get(dtypes.get(name, "F32"), 0)) and off > worst[1]:
            worst = (name, off)
    return f"{worst[0]} is off by {worst[1]:.1e}" if worst[0] else ""


def configuration(folder, file="config.json"):
    with open(os.path.join(folder, file)) as stream:
        return json.load(stream)


# ---------------------------------------------------------------- models


def network(state):
    """Modules for the tensors of a file: layers by their shapes."""
    from torch import nn

    root = nn.Module()
    for name, w in state.items():
        path, _, kind = name.rpartition(".")
        if kind != "weight" or not w.is_floating_point():
            continue
        if f"{path}.running_mean" in state:
            layer = nn.BatchNorm1d(w.shape[0])
        elif w.ndim == 2:
            layer = nn.Linear(w.shape[1], w.shape[0], bias=f"{path}.bias" in state)
        else:
            convolution = {3: nn.Conv1d, 4: nn.Conv2d, 5: nn.Conv3d}[w.ndim]
            layer = convolution(w.shape[1], w.shape[0], tuple(w.shape[2:]), bias=f"{path}.bias" in state)
        parent = root
        for part in path.split(".")[:-1]:
            if part not in parent._modules:
                parent.add_module(part, nn.Module())
            parent = parent._modules[part]
        parent.add_module(path.rpartition(".")[2], layer)
    root.load_state_dict(state)
    return root.eval()


def model(path):
    """A file's network, or the model that a folder's config.json names."""
    import torch

    torch.set_num_threads(1)
    if os.path.isfile(path):
        from safetensors.torch import load_file

        return network(load_file(path))
    config = configuration(path)
    if "_class_name" in config:
        import diffusers

        return getattr(diffusers, config["_class_name"]).from_pretrained(path).eval()
    import transformers

    transformers.utils.logging.disable_progress_bar()
    loaded, info = getattr(transformers, config["architectures"][0]).from_pretrained(path, output_loading_info=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if info.get(kind):
            raise Wrong(f"transformers on {os.path.basename(path)}: {kind.replace('_', ' ')} {sorted(map(str, info[kind]))[:2]}")
    return loaded.eval()


def adapted(base, adapter):
    """The base (a path, or a model) with the adapter in peft."""
    import peft

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = peft.PeftModel.from_pretrained(model(base) if isinstance(base, str) else base, adapter).eval()
        except Exception as error:
            raise Wrong(f"peft: {type(error).__name__}: {' '.join(str(error).split())[:150]}") from error
    for warning in caught:
        if "missing" in str(warning.message) or "nexpected" in str(warning.message):
            raise Wrong(f"peft warns: {' '.join(str(warning.message).split())[:150]}")
    return result


def saved(loaded):
    """A model's tensors under the names of its file."""
    if not hasattr(loaded, "save_pretrained"):
        return {k: v.detach().double().numpy() for k, v in loaded.state_dict().items()}
    with tempfile.TemporaryDirectory() as folder:
        loaded.save_pretrained(folder)
        return tensors(folder)


def outputs(loaded, ids=(1, 5, 9)):
    """The first tensor that a model gives for some ids (and for sounds or pictures, where it wants them)."""
    import torch

    inner = loaded.get_base_model() if hasattr(loaded, "get_base_model") else loaded
    config, inputs = inner.config, {"input_ids": torch.tensor([list(ids)])}
    if config.model_type == "whisper":
        frames = 2 * config.max_source_positions
        sound = torch.sin(torch.arange(config.num_mel_bins * frames, dtype=torch.float32)).reshape(1, config.num_mel_bins, frames)
        inputs = {"input_features": sound, "decoder_input_ids": inputs["input_ids"]}
    elif config.model_type == "t5":
        inputs["decoder_input_ids"] = torch.tensor([[0, 3, 2]])
    elif config.model_type == "vit":
        inputs = {"pixel_values": picture(config)}
    elif config.model_type == "clip":
        inputs["pixel_values"] = picture(config.vision_config)
    with torch.no_grad():
        found = loaded(**inputs)
    values = [x for x in found.to_tuple() if isinstance(x, torch.Tensor) and x.is_floating_point()]
    return np.concatenate([x.double().numpy().ravel() for x in values])


def picture(config):
    import torch

    size = (1, config.num_channels, config.image_size, config.image_size)
    return torch.sin(torch.arange(math.prod(size), dtype=torch.float32) * 0.7).reshape(size)
