"""Training on quantised bases, and merging into them, by `lora`: seconds and the most memory taken.

    python bench.py LORA

The models are GGUF files with random weights, written by the package gguf: the 135M shape of SmolLM in F32, Q8_0 and Q4_0, and
the 1.1B shape of TinyLlama in Q4_K, whose codes are drawn as they are, since only their places matter here. Checked: a step on
a quantised base takes at most 1.3 times one on F32, its memory is at most 1.2 times the file and what F32 takes beside its
own; the 1.1B shape trains at 1 × 256 within 1.5 GB; a merge takes at most 100 MB and is compared with a copy of the file.

With SIZE=7b in the environment: the shape of Llama 7B in Q4_K alone, 3.8 GB, one step at 1 × 256 within 8 GB.
"""
import multiprocessing
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import gguf
import numpy

lora = sys.argv[1]
shortest, largest = "SHORTEST" in os.environ, os.environ.get("SIZE") == "7b"
types = gguf.GGMLQuantizationType
random = numpy.random.default_rng(0)


def numbers(rows, columns, kind):
    """A random matrix as the format stores it."""
    if kind != types.Q4_K:
        return gguf.quants.quantize((random.standard_normal((rows, columns)) * 0.04).astype(numpy.float32), kind)
    # w = d · scale · code − dmin · offset, scale and offset about 32, code about 7.5.
    blocks = random.integers(0, 256, (rows * columns // 256, 144), numpy.uint8)
    steps = numpy.full((len(blocks), 2), 0.0003, numpy.float16)
    steps[:, 1] *= 7.5
    blocks[:, :4] = steps.view(numpy.uint8)
    return blocks.reshape(rows, -1)


def write(path, kind, hidden, layers, heads, key_heads, intermediate, vocabulary):
    writer = gguf.GGUFWriter(path, "llama")
    size = hidden // heads
    writer.add_context_length(2048)
    writer.add_embedding_length(hidden)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(intermediate)
    writer.add_head_count(heads)
    writer.add_head_count_kv(key_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(size)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(vocabulary)
    tokens = [b"<unk>", b"<s>", b"</s>"] + [f"<0x{i:02X}>".encode() for i in range(256)]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens + [f"t{i}".encode() for i in range(vocabulary - len(tokens))])
    writer.add_token_scores([0.0] * vocabulary)
    writer.add_token_types([2, 3, 3] + [6] * 256 + [1] * (vocabulary - len(tokens)))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)

    def matrix(name, rows, columns):
        writer.add_tensor(name + ".weight", numbers(rows, columns, kind), raw_dtype=kind)

    def ones(name):
        writer.add_tensor(name + ".weight", numpy.ones(hidden, numpy.float32))

    matrix("token_embd", vocabulary, hidden)
    ones("output_norm")
    for layer in range(layers):
        place = f"blk.{layer}."
        ones(place + "attn_norm")
        ones(place + "ffn_norm")
        for name, rows, columns in [
            ("attn_q", hidden, hidden), ("attn_k", key_heads * size, hidden), ("attn_v", key_heads * size, hidden),
            ("attn_output", hidden, hidden), ("ffn_gate", intermediate, hidden), ("ffn_up", intermediate, hidden),
            ("ffn_down", hidden, intermediate),
        ]:
            matrix(place + name, rows, columns)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def run(*arguments):
    """CPU seconds, wall seconds and the most memory of `lora`, in MB."""
    start = time.perf_counter()
    process = subprocess.Popen([lora, *map(str, arguments), "--quiet", "--force"], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, arguments
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - start, usage.ru_maxrss / 1000


def check(holds, complaint):
    if not holds and not shortest:
        sys.exit("Wrong: " + complaint)


def measure(folder, name, kind, shape, steps):
    """CPU seconds of a step, memory, and the size of the file in MB."""
    model, adapter, merged = folder / f"{name}.gguf", folder / "adapter", folder / "merged.gguf"
    # By a process of its own: the system counts what this one holds as its children's too, until they are programs.
    writing = multiprocessing.get_context("fork").Process(target=write, args=(model, kind, *shape))
    writing.start()
    writing.join()
    assert writing.exitcode == 0
    size = model.stat().st_size / 1e6
    options = ["train", "lm", "--model", model, "--data", folder / "text.txt", "--batch-size", 1, "-o", adapter,
               "--length", 32 if shortest else 256]
    short, _, _ = run(*options, "--steps", 1)
    long, _, memory = run(*options, "--steps", 1 + steps)
    cpu, wall, merging = run("merge", model, adapter, "-o", merged)
    start = time.perf_counter()
    shutil.copyfile(model, folder / "copy.gguf")
    with open(folder / "copy.gguf") as file:
        os.fsync(file.fileno())
    copy = time.perf_counter() - start
    step = (long - short) / steps
    print(f"{name:24}{size:8.0f} MB file {step:8.2f} CPU s a step {memory:8.0f} MB memory   "
          f"merge {wall:6.2f} s ({cpu:.2f} CPU s, copy {copy:.2f} s) {merging:5.0f} MB", flush=True)
    check(merging < 100, f"merging into {name} takes {merging:.0f} MB")
    for path in [model, merged, folder / "copy.gguf"]:
        path.unlink()
    return step, memory, size


with tempfile.TemporaryDirectory() as place:
    folder = pathlib.Path(place)
    words = random.choice(["alpha", "beta", "gamma", "delta", "one", "two"], 40000)
    (folder / "text.txt").write_text("\n".join(" ".join(words[i:i + 60]) for i in range(0, len(words), 60)))
    if largest:
        _, memory, _ = measure(folder, "7B shape, Q4_K", types.Q4_K, (4096, 32, 32, 32, 11008, 32000), 1)
        check(memory < 8000, f"the 7B shape takes {memory:.0f} MB")
        sys.exit()
    small = (64, 2, 4, 2, 128, 512) if shortest else (576, 30, 9, 3, 1536, 49152)
    plain_step, plain_memory, plain_size = measure(folder, "135M shape, F32", types.F32, small, 3)
    for kind in [types.Q8_0, types.Q4_0]:
        step, memory, size = measure(folder, f"135M shape, {kind.name}", kind, small, 3)
        check(step < 1.3 * plain_step, f"a step on {kind.name} takes {step / plain_step:.2f} times one on F32")
        check(memory < 1.2 * size + plain_memory - plain_size, f"training on {kind.name} takes {memory:.0f} MB")
    large = (256, 2, 4, 2, 512, 512) if shortest else (2048, 22, 32, 4, 5632, 32000)
    _, memory, _ = measure(folder, "1.1B shape, Q4_K", types.Q4_K, large, 1)
    check(memory < 1500, f"the 1.1B shape takes {memory:.0f} MB")
