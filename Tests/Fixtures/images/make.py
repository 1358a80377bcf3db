"""Asks diffusers which rows of an original layout's tensors its own modules are made of: MODEL.json, for each image model

    {"original": {TENSOR: SHAPE}, "diffusers": {TENSOR: [SHAPE, [[ORIGINAL TENSOR, FIRST ROW, LAST ROW + 1], ...]]}}

    python make.py          # needs torch, diffusers, transformers (made with 2.15, 0.42, 5.24)

The original names are written down here as the original constructors make them. Each row of each tensor holds a number of
its own; diffusers converts the checkpoint, and the numbers say where the rows have gone. Models have the real structure
with few blocks. No converter touches the columns: one is enough.
"""
import bisect, json, os, warnings

warnings.filterwarnings("ignore")
import torch
import diffusers.loaders.single_file_utils as single
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

HERE = os.path.dirname(os.path.abspath(__file__))


def write(name, shapes, convert, whole=False, biases=True):
    """shapes: {tensor: shape} of the original layout; whole: feed all columns; biases: whether to write them down."""
    names, starts, fed, start = list(shapes), [], {}, 0
    for tensor, shape in shapes.items():
        starts.append(start)
        rows = torch.arange(start, start + shape[0], dtype=torch.float64)
        fed[tensor] = rows.reshape(-1, *[1] * (len(shape) - 1)).expand(-1, *[n if whole else 1 for n in shape[1:]]).clone()
        start += shape[0]
    result = {}
    for new, value in convert(fed).items():
        ids = value.reshape(value.shape[0], -1)[:, 0].long().tolist()
        runs = []
        for i in ids:
            tensor = bisect.bisect_right(starts, i) - 1
            row = i - starts[tensor]
            if runs and runs[-1][0] == names[tensor] and runs[-1][2] == row:
                runs[-1][2] += 1
            else:
                runs.append([names[tensor], row, row + 1])
        shape = shapes[runs[0][0]]
        columns = shape[:1] if new == "text_projection.weight" else shape[1:]
        result[new] = [[len(ids)] + list(columns), runs]
    file = os.path.join(HERE, f"{name}.json")
    text = [f"{json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in shapes.items() if biases or "bias" not in k]
    other = [f"{json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in sorted(result.items()) if biases or "bias" not in k]
    open(file, "w").write('{"original": {\n' + ",\n".join(text) + '\n}, "diffusers": {\n' + ",\n".join(other) + "\n}}\n")
    print(f"{name:10s} {len(shapes):4d} tensors, {len(result):4d} of diffusers, {os.path.getsize(file) / 1000:.0f} kB")


def linear(out, path, rows, columns, bias=True):
    out[path + ".weight"] = [rows, columns]
    if bias:
        out[path + ".bias"] = [rows]


# ---------------------------------------------------------------- Stable Diffusion's UNet: openaimodel.py

def unet(widths, layers, depths, context, label=0, use_linear=False):
    out, w0 = {}, widths[0]
    norm = lambda path, n: out.update({path + ".weight": [n], path + ".bias": [n]})
    conv = lambda path, n, m, k=3: out.update({path + ".weight": [n, m, k, k], path + ".bias": [n]})

    def residual(path, m, n):
        norm(f"{path}.in_layers.0", m)
        conv(f"{path}.in_layers.2", n, m)
        linear(out, f"{path}.emb_layers.1", n, 4 * w0)
        norm(f"{path}.out_layers.0", n)
        conv(f"{path}.out_layers.3", n, n)
        if m != n:
            conv(f"{path}.skip_connection", n, m, 1)

    def attention(path, n, depth):
        norm(f"{path}.norm", n)
        for end in ("proj_in", "proj_out"):
            linear(out, f"{path}.{end}", n, n) if use_linear else conv(f"{path}.{end}", n, n, 1)
        for d in range(depth):
            block = f"{path}.transformer_blocks.{d}"
            for i in (1, 2):
                for x in "qkv":
                    linear(out, f"{block}.attn{i}.to_{x}", n, n if i == 1 or x == "q" else context, False)
                linear(out, f"{block}.attn{i}.to_out.0", n, n)
            linear(out, f"{block}.ff.net.0.proj", 8 * n, n)
            linear(out, f"{block}.ff.net.2", n, 4 * n)
            for i in (1, 2, 3):
                norm(f"{block}.norm{i}", n)

    linear(out, "time_embed.0", 4 * w0, w0)
    linear(out, "time_embed.2", 4 * w0, 4 * w0)
    if label:
        linear(out, "label_emb.0.0", 4 * w0, label)
        linear(out, "label_emb.0.2", 4 * w0, 4 * w0)
    conv("input_blocks.0.0", w0, 4)
    block, width, widths_in = 0, w0, [w0]
    for level, n in enumerate(widths):
        for _ in range(layers):
            block += 1
            residual(f"input_blocks.{block}.0", width, n)
            width = n
            if depths[level]:
                attention(f"input_blocks.{block}.1", n, depths[level])
            widths_in.append(width)
        if level < len(widths) - 1:
            block += 1
            conv(f"input_blocks.{block}.0.op", width, width)
            widths_in.append(width)
    residual("middle_block.0", width, width)
    attention("middle_block.1", width, max(depths[-1], 1))
    residual("middle_block.2", width, width)
    block = 0
    for level, n in reversed(list(enumerate(widths))):
        for layer in range(layers + 1):
            residual(f"output_blocks.{block}.0", width + widths_in.pop(), n)
            width, position = n, 1
            if depths[level]:
                attention(f"output_blocks.{block}.1", n, depths[level])
                position = 2
            if level and layer == layers:
                conv(f"output_blocks.{block}.{position}.conv", n, n)
            block += 1
    norm("out.0", width)
    conv("out.2", 4, width)
    return {"model.diffusion_model." + k: v for k, v in out.items()}


def convert_unet(layers, label):
    config = {"layers_per_block": layers, "addition_embed_type": "text_time" if label else None}
    return lambda t: single.convert_ldm_unet_checkpoint(t, config)


# ---------------------------------------------------------------- OpenCLIP: transformer.py

def openclip(width, layers):
    out = {"positional_embedding": [7, width], "token_embedding.weight": [9, width], "text_projection": [width, width - 1],
           "ln_final.weight": [width], "ln_final.bias": [width]}
    for i in range(layers):
        p = f"transformer.resblocks.{i}."
        out.update({p + "attn.in_proj_weight": [3 * width, width], p + "attn.in_proj_bias": [3 * width]})
        linear(out, p + "attn.out_proj", width, width)
        linear(out, p + "mlp.c_fc", 4 * width, width)
        linear(out, p + "mlp.c_proj", width, 4 * width)
        for n in ("ln_1", "ln_2"):
            out.update({f"{p}{n}.weight": [width], f"{p}{n}.bias": [width]})
    return {"conditioner.embedders.1.model." + k: v for k, v in out.items()}


def convert_openclip(t):
    model = CLIPTextModelWithProjection(CLIPTextConfig(hidden_size=6, projection_dim=6, num_hidden_layers=1, num_attention_heads=2, vocab_size=9))
    # The projection is transposed: the columns are numbered instead of the rows.
    key = "conditioner.embedders.1.model.text_projection"
    t[key] = (t[key][0, 0] + torch.arange(5)).expand(6, 5)
    return single.convert_open_clip_checkpoint(model, t, prefix="conditioner.embedders.1.model.")


# ---------------------------------------------------------------- transformers

def sd3(width, blocks, twice):
    out = {"pos_embed": [1, 4, width], "x_embedder.proj.weight": [width, 16, 2, 2], "x_embedder.proj.bias": [width]}
    linear(out, "context_embedder", width, 20)
    for name, m in (("t_embedder", 256), ("y_embedder", 24)):
        linear(out, name + ".mlp.0", width, m)
        linear(out, name + ".mlp.2", width, width)
    for i in range(blocks):
        last = i == blocks - 1
        for side in ("x_block", "context_block"):
            p = f"joint_blocks.{i}.{side}."
            short = last and side == "context_block"
            linear(out, p + "attn.qkv", 3 * width, width)
            for n in ("ln_q", "ln_k"):
                out[f"{p}attn.{n}.weight"] = [width // 2]
            linear(out, p + "adaLN_modulation.1", (2 if short else 9 if side == "x_block" and i in twice else 6) * width, width)
            if not short:
                linear(out, p + "attn.proj", width, width)
                linear(out, p + "mlp.fc1", 4 * width, width)
                linear(out, p + "mlp.fc2", width, 4 * width)
            if side == "x_block" and i in twice:
                linear(out, p + "attn2.qkv", 3 * width, width)
                linear(out, p + "attn2.proj", width, width)
                for n in ("ln_q", "ln_k"):
                    out[f"{p}attn2.{n}.weight"] = [width // 2]
    linear(out, "final_layer.linear", 16, width)
    linear(out, "final_layer.adaLN_modulation.1", 2 * width, width)
    return {"model.diffusion_model." + k: v for k, v in out.items()}


def flux(chroma=False):
    width, out = 3072, {}  # diffusers has the width built in
    linear(out, "img_in", width, 64)
    linear(out, "txt_in", width, 4096)
    if chroma:
        linear(out, "distilled_guidance_layer.in_proj", 5120, 64)
        linear(out, "distilled_guidance_layer.out_proj", width, 5120)
        linear(out, "distilled_guidance_layer.layers.0.in_layer", 5120, 5120)
        linear(out, "distilled_guidance_layer.layers.0.out_layer", 5120, 5120)
        out["distilled_guidance_layer.norms.0.scale"] = [5120]
    else:
        for name, m in (("time_in", 256), ("vector_in", 768), ("guidance_in", 256)):
            linear(out, name + ".in_layer", width, m)
            linear(out, name + ".out_layer", width, width)
    for i in range(2):
        for side in ("img", "txt"):
            p = f"double_blocks.{i}.{side}_"
            if not chroma:
                linear(out, p + "mod.lin", 6 * width, width)
            linear(out, p + "attn.qkv", 3 * width, width)
            linear(out, p + "attn.proj", width, width)
            out.update({p + "attn.norm.query_norm.scale": [128], p + "attn.norm.key_norm.scale": [128]})
            linear(out, p + "mlp.0", 4 * width, width)
            linear(out, p + "mlp.2", width, 4 * width)
        p = f"single_blocks.{i}."
        linear(out, p + "linear1", 7 * width, width)
        linear(out, p + "linear2", width, 5 * width)
        out.update({p + "norm.query_norm.scale": [128], p + "norm.key_norm.scale": [128]})
        if not chroma:
            linear(out, p + "modulation.lin", 3 * width, width)
    linear(out, "final_layer.linear", 64, width)
    if not chroma:
        linear(out, "final_layer.adaLN_modulation.1", 2 * width, width)
    return out


def flux2(width):
    out = {}
    for name, n, m in (("img_in", width, 8), ("txt_in", width, 12), ("time_in.in_layer", width, 256), ("time_in.out_layer", width, width),
                       ("guidance_in.in_layer", width, 256), ("guidance_in.out_layer", width, width),
                       ("double_stream_modulation_img.lin", 6 * width, width), ("double_stream_modulation_txt.lin", 6 * width, width),
                       ("single_stream_modulation.lin", 3 * width, width), ("final_layer.linear", 8, width),
                       ("final_layer.adaLN_modulation.1", 2 * width, width)):
        linear(out, name, n, m, False)
    for i in range(2):
        for side in ("img", "txt"):
            p = f"double_blocks.{i}.{side}_"
            linear(out, p + "attn.qkv", 3 * width, width, False)
            linear(out, p + "attn.proj", width, width, False)
            out.update({p + "attn.norm.query_norm.scale": [4], p + "attn.norm.key_norm.scale": [4]})
            linear(out, p + "mlp.0", 6 * width, width, False)
            linear(out, p + "mlp.2", width, 3 * width, False)
        p = f"single_blocks.{i}."
        linear(out, p + "linear1", 9 * width, width, False)
        linear(out, p + "linear2", width, 4 * width, False)
        out.update({p + "norm.query_norm.scale": [4], p + "norm.key_norm.scale": [4]})
    return out


def hunyuan():
    width, out = 3072, {}
    out.update({"img_in.proj.weight": [width, 16, 1, 2, 2], "img_in.proj.bias": [width]})
    linear(out, "txt_in.input_embedder", width, 4096)
    for name, m in (("txt_in.t_embedder.mlp.{}", 256), ("time_in.mlp.{}", 256), ("guidance_in.mlp.{}", 256)):
        linear(out, name.format(0), width, m)
        linear(out, name.format(2), width, width)
    for name, m in (("txt_in.c_embedder.linear_{}", 4096),):
        linear(out, name.format(1), width, m)
        linear(out, name.format(2), width, width)
    linear(out, "vector_in.in_layer", width, 768)
    linear(out, "vector_in.out_layer", width, width)
    p = "txt_in.individual_token_refiner.blocks.0."
    linear(out, p + "self_attn_qkv", 3 * width, width)
    linear(out, p + "self_attn_proj", width, width)
    linear(out, p + "mlp.fc1", 4 * width, width)
    linear(out, p + "mlp.fc2", width, 4 * width)
    linear(out, p + "adaLN_modulation.1", 2 * width, width)
    for n in ("norm1", "norm2"):
        out.update({f"{p}{n}.weight": [width], f"{p}{n}.bias": [width]})
    for side in ("img", "txt"):
        p = f"double_blocks.0.{side}_"
        linear(out, p + "mod.linear", 6 * width, width)
        linear(out, p + "attn_qkv", 3 * width, width)
        linear(out, p + "attn_proj", width, width)
        out.update({p + "attn_q_norm.weight": [128], p + "attn_k_norm.weight": [128]})
        linear(out, p + "mlp.fc1", 4 * width, width)
        linear(out, p + "mlp.fc2", width, 4 * width)
    p = "single_blocks.0."
    linear(out, p + "linear1", 7 * width, width)
    linear(out, p + "linear2", width, 5 * width)
    linear(out, p + "modulation.linear", 3 * width, width)
    out.update({p + "q_norm.weight": [128], p + "k_norm.weight": [128]})
    linear(out, "final_layer.linear", 64, width)
    linear(out, "final_layer.adaLN_modulation.1", 2 * width, width)
    return out


def wan(width):
    out = {"patch_embedding.weight": [width, 4, 1, 2, 2], "patch_embedding.bias": [width]}
    for name, n, m in (("text_embedding.0", width, 12), ("text_embedding.2", width, width), ("time_embedding.0", width, 16),
                       ("time_embedding.2", width, width), ("time_projection.1", 6 * width, width), ("head.head", 16, width),
                       ("img_emb.proj.1", 10, 10), ("img_emb.proj.3", width, 10)):
        linear(out, name, n, m)
    for n, m in (("img_emb.proj.0", 10), ("img_emb.proj.4", width)):
        out.update({n + ".weight": [m], n + ".bias": [m]})
    out["head.modulation"] = [1, 2, width]
    for p in ("blocks.0.", "blocks.1.", "vace_blocks.0."):
        for attention in ("self_attn", "cross_attn"):
            for x in ("q", "k", "v", "o") + (("k_img", "v_img") if attention == "cross_attn" else ()):
                linear(out, f"{p}{attention}.{x}", width, width)
            for x in ("norm_q", "norm_k") + (("norm_k_img",) if attention == "cross_attn" else ()):
                out[f"{p}{attention}.{x}.weight"] = [width]
        linear(out, p + "ffn.0", 20, width)
        linear(out, p + "ffn.2", width, 20)
        out.update({p + "norm3.weight": [width], p + "norm3.bias": [width], p + "modulation": [1, 6, width]})
        if p.startswith("vace"):
            linear(out, p + "before_proj", width, width)
            linear(out, p + "after_proj", width, width)
    return out


def z_image(width):
    out = {}
    linear(out, "x_embedder", width, 16)
    linear(out, "cap_embedder.1", width, 20)
    linear(out, "t_embedder.mlp.0", 8, 256)
    for p in ("noise_refiner.0.", "context_refiner.0.", "layers.0.", "layers.1."):
        linear(out, p + "attention.qkv", 3 * width, width, False)
        linear(out, p + "attention.out", width, width, False)
        out.update({p + "attention.q_norm.weight": [4], p + "attention.k_norm.weight": [4]})
        for n in ("w1", "w2", "w3"):
            linear(out, f"{p}feed_forward.{n}", width, width, False)
    linear(out, "final_layer.linear", 16, width)
    linear(out, "final_layer.adaLN_modulation.1", width, 8)
    return out


if __name__ == "__main__":
    write("sd15", unet((4, 8, 8, 8), 2, (1, 1, 1, 0), 10), convert_unet(2, 0), biases=False)
    write("sdxl", unet((4, 8, 8), 2, (0, 1, 2), 20, 36, use_linear=True), convert_unet(2, 36), biases=False)
    write("openclip", openclip(6, 2), convert_openclip, whole=True)
    write("sd3", sd3(6, 3, {0}), single.convert_sd3_transformer_checkpoint_to_diffusers)
    write("flux", flux(), single.convert_flux_transformer_checkpoint_to_diffusers)
    write("chroma", flux(chroma=True), single.convert_chroma_transformer_checkpoint_to_diffusers)
    write("flux2", flux2(8), single.convert_flux2_transformer_checkpoint_to_diffusers)
    write("hunyuan", hunyuan(), single.convert_hunyuan_video_transformer_to_diffusers)
    write("wan", wan(6), single.convert_wan_transformer_to_diffusers)
    write("zimage", z_image(6), single.convert_z_image_transformer_checkpoint_to_diffusers)
