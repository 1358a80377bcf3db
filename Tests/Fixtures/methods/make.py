"""Small modules adapted by peft and LyCORIS, with what those make of their weights.

Needs torch, peft, lycoris_lora, safetensors (made with 2.15, 0.21.2, 4.1.3): python make.py
Each METHOD.safetensors holds cases CASE|w, CASE|bias, CASE|merged, CASE|merged_bias and the stored tensors as
CASE|module.SUFFIX (CASE|shared.NAME what all modules share); its metadata gives each case's alpha and configuration.
LyCORIS' reference is its forward pass: its own merge multiplies LoHa's and LoKr's scale in twice (4.1.3).
"""
import json, os, sys, warnings
warnings.filterwarnings("ignore")
import torch
torch.set_num_threads(1)
import peft
from safetensors.torch import save_file
from lycoris.modules import loha, lokr, locon, full, norms, ia3, glora, diag_oft, boft

HERE = os.path.dirname(os.path.abspath(__file__))
FILES = {}


def record(file, case, w, merged, tensors, bias=None, merged_bias=None, alpha=None, fields=None, shared={}, transposed=False):
    t, m = FILES.setdefault(file, ({}, {}))
    put = lambda name, x: t.__setitem__(f"{case}|{name}", x.detach().clone().contiguous())
    put("w", w), put("merged", merged)
    if bias is not None: put("bias", bias), put("merged_bias", merged_bias)
    for k, v in tensors.items(): put(f"module.{k}", v)
    for k, v in shared.items(): put(f"shared.{k}", v)
    m[case] = {"alpha": alpha, "fields": fields or {}, "transposed": transposed}


class One(torch.nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module


def stir(named, size=0.4):
    for _, p in named: p.data = torch.randn_like(p) * size


def with_peft(file, case, module, config, alpha=None, shared=(), transposed=False, trained=lambda n: True, size=0.4, before=None):
    torch.manual_seed(len(FILES.get(file, ((), ()))[1]) + 1)
    for p in module.parameters(): p.data = torch.randn_like(p) * 0.5
    w = module.weight.detach().clone()
    bias = module.bias.detach().clone() if getattr(module, "bias", None) is not None else None
    model = peft.get_peft_model(One(module), config)
    stir([(n, p) for n, p in model.named_parameters() if p.requires_grad], size)
    if before: before(model)
    state = peft.get_peft_model_state_dict(model, save_embedding_layers=False)
    state = {k.replace("base_model.model.", "").replace("base_model.", "shared."): v.clone() for k, v in state.items()}
    fields = {k: v for k, v in json.loads(json.dumps(config.to_dict(), default=lambda o: sorted(o) if isinstance(o, set) else str(o))).items() if v not in (None, {}, [])}
    merged = model.merge_and_unload().module
    record(file, case, w, merged.weight, {k.removeprefix("module."): v for k, v in state.items() if k.startswith("module.")}, bias,
           merged.bias if bias is not None else None, alpha, fields,
           {k.removeprefix("shared."): v for k, v in state.items() if k.startswith("shared.")}, transposed)


def with_lycoris(file, case, module, kind, size=0.4, **arguments):
    torch.manual_seed(len(FILES.get(file, ((), ()))[1]) + 1)
    for p in module.parameters(): p.data = torch.randn_like(p) * 0.5
    w, bias = module.weight.detach().clone(), None if module.bias is None else module.bias.detach().clone()
    m = kind("m", module, 1.0, **arguments)
    for n, p in m.named_parameters():
        p.data = p.data * (1 + 0.3 * torch.randn_like(p)) if "dora_scale" in n else torch.randn_like(p) * size
    state = dict(m.state_dict())
    alpha = state.pop("alpha", None)
    merged_bias = bias
    if kind in (full.FullModule, norms.NormModule):
        state = {k: getattr(m, {"diff": "weight", "diff_b": "bias"}.get(k, k)).detach() for k in m.weight_list if k in ("diff", "diff_b", "w_norm", "b_norm")}
        merged, merged_bias = m.make_weight(1)
    elif kind in (ia3.IA3Module, glora.GLoRAModule, diag_oft.DiagOFTModule, boft.ButterflyOFTModule):
        merged = m.get_merged_weight(1)[0]
    else:  # as forward does
        diff = m.make_weight() * m.scale if kind is locon.LoConModule else m.get_weight(m.shape) * m.scalar
        merged = w + diff
        if m.wd: merged = m.apply_weight_decompose(merged, 1)
    check_forward(m, module, w, bias, merged, merged_bias)
    record(file, case, w, merged, state, bias, merged_bias, None if alpha is None else alpha.item())


def check_forward(m, module, w, bias, merged, merged_bias):
    """The reference agrees with the module's own forward pass."""
    if isinstance(module, torch.nn.Linear): x = torch.randn(4, module.in_features)
    elif isinstance(module, torch.nn.Conv2d): x = torch.randn(2, module.in_channels, 6, 6)
    else: x = torch.randn(3, *module.normalized_shape)
    out = m.forward(x)
    module.weight.data = merged.detach()
    if bias is not None: module.bias.data = merged_bias.detach()
    assert torch.allclose(out, m.org_forward(x), atol=2e-5), (m, (out - m.org_forward(x)).abs().max())


L = lambda i, o, bias=True: torch.nn.Linear(i, o, bias=bias)
C = lambda i, o, k: torch.nn.Conv2d(i, o, k)
T = dict(target_modules=["module"])
NORM = lambda n: torch.nn.LayerNorm(n)

# LoHa
with_peft("loha", "peft-linear", L(7, 5), peft.LoHaConfig(r=3, alpha=5, **T), 5)
with_peft("loha", "peft-conv3x3", C(3, 5, 3), peft.LoHaConfig(r=2, alpha=5, **T), 5)
with_peft("loha", "peft-conv1x1", C(6, 5, 1), peft.LoHaConfig(r=2, alpha=3, use_effective_conv2d=True, **T), 3)
with_peft("loha", "peft-core", C(3, 5, 3), peft.LoHaConfig(r=2, alpha=5, use_effective_conv2d=True, **T), 5)
with_lycoris("loha", "lycoris-linear", L(7, 5), loha.LohaModule, lora_dim=3, alpha=2)
with_lycoris("loha", "lycoris-conv", C(3, 5, 3), loha.LohaModule, lora_dim=2, alpha=1)
with_lycoris("loha", "lycoris-core", C(3, 5, 3), loha.LohaModule, lora_dim=2, alpha=1, use_tucker=True)
with_lycoris("loha", "lycoris-rs", L(7, 5), loha.LohaModule, lora_dim=3, alpha=2, rs_lora=True)
with_lycoris("loha", "lycoris-scalar", L(7, 5), loha.LohaModule, lora_dim=3, alpha=2, use_scalar=True)
with_lycoris("loha", "lycoris-dora", L(7, 5), loha.LohaModule, lora_dim=3, alpha=2, weight_decompose=True)
with_lycoris("loha", "lycoris-dora-inputs", C(3, 5, 3), loha.LohaModule, lora_dim=2, alpha=1, weight_decompose=True, wd_on_out=False)
# LoKr
with_peft("lokr", "peft-linear", L(6, 15), peft.LoKrConfig(r=1, alpha=3, **T), 3)
with_peft("lokr", "peft-both", L(25, 30), peft.LoKrConfig(r=2, alpha=3, decompose_both=True, **T), 3)
with_peft("lokr", "peft-whole", L(6, 10), peft.LoKrConfig(r=5, alpha=3, **T), 3)
with_peft("lokr", "peft-conv", C(6, 15, 3), peft.LoKrConfig(r=1, alpha=3, **T), 3)
with_peft("lokr", "peft-conv-whole", C(6, 4, 3), peft.LoKrConfig(r=4, alpha=3, **T), 3)
with_peft("lokr", "peft-core", C(6, 15, 3), peft.LoKrConfig(r=2, alpha=3, use_effective_conv2d=True, **T), 3)
with_lycoris("lokr", "lycoris-linear", L(6, 15), lokr.LokrModule, lora_dim=2, alpha=1)
with_lycoris("lokr", "lycoris-whole", L(6, 10), lokr.LokrModule, lora_dim=8, alpha=1)
with_lycoris("lokr", "lycoris-conv", C(6, 15, 3), lokr.LokrModule, lora_dim=2, alpha=1)
with_lycoris("lokr", "lycoris-core", C(6, 15, 3), lokr.LokrModule, lora_dim=2, alpha=1, use_tucker=True)
with_lycoris("lokr", "lycoris-dora", L(6, 15), lokr.LokrModule, lora_dim=2, alpha=1, weight_decompose=True)
# VeRA: projections wider than the module
with_peft("vera", "peft-linear", L(7, 5), peft.VeraConfig(r=3, **T))
module = torch.nn.Module(); module.module = L(7, 5); module.other = L(11, 9)
torch.manual_seed(9)
model = peft.get_peft_model(module, peft.VeraConfig(r=3, target_modules=["module", "other"]))
stir([(n, p) for n, p in model.named_parameters() if p.requires_grad])
w, b = module.module.base_layer.weight.detach().clone(), module.module.base_layer.bias.detach().clone()
state = peft.get_peft_model_state_dict(model)
tensors = {k.split("module.")[1]: v for k, v in state.items() if ".module." in k and ".other." not in k}
merged = model.merge_and_unload().module
record("vera", "peft-wide", w, merged.weight, tensors, b, merged.bias, shared={k.removeprefix("base_model."): v for k, v in state.items() if k.startswith("base_model.vera")})
# AdaLoRA
ada = dict(init_r=4, target_r=2, total_step=10, lora_alpha=6, **T)
with_peft("adalora", "peft-linear", L(7, 5), peft.AdaLoraConfig(**ada), 6)
with_peft("adalora", "peft-conv", C(3, 5, 3), peft.AdaLoraConfig(**ada), 6)
# pruned to two of four ranks, as a folder that is loaded again
torch.manual_seed(21)
base = L(7, 5); w, b = base.weight.detach().clone(), base.bias.detach().clone()
config = peft.AdaLoraConfig(**ada)
model = peft.get_peft_model(One(base), config)
stir([(n, p) for n, p in model.named_parameters() if p.requires_grad])
model.base_model.model.module.lora_E["default"].data[[1, 3]] = 0
config.rank_pattern = {"module.lora_E.default": [True, False, True, False]}
state = {k.replace("base_model.model.module.", ""): v for k, v in peft.get_peft_model_state_dict(model).items()}
merged = model.merge_and_unload().module
record("adalora", "peft-pruned", w, merged.weight, state, b, merged.bias, 6, {"init_r": 4, "peft_type": "ADALORA"})
# IA3
with_peft("ia3", "peft-outputs", L(7, 5), peft.IA3Config(feedforward_modules=[], **T))
with_peft("ia3", "peft-inputs", L(7, 5), peft.IA3Config(feedforward_modules=["module"], **T))
with_peft("ia3", "peft-conv-outputs", C(3, 5, 3), peft.IA3Config(feedforward_modules=[], **T))
with_peft("ia3", "peft-conv-inputs", C(3, 5, 3), peft.IA3Config(feedforward_modules=["module"], **T))
from transformers.pytorch_utils import Conv1D
with_peft("ia3", "peft-transposed", Conv1D(5, 7), peft.IA3Config(feedforward_modules=[], fan_in_fan_out=True, **T), transposed=True)
for name, module in (("linear", L(7, 5)), ("conv", C(3, 5, 3))):
    with_lycoris("ia3", f"lycoris-{name}-outputs", module, ia3.IA3Module)
    with_lycoris("ia3", f"lycoris-{name}-inputs", type(module)(*((7, 5) if name == "linear" else (3, 5, 3))), ia3.IA3Module, train_on_input=True)
# Differences
with_lycoris("difference", "lycoris-linear", L(7, 5), full.FullModule)
with_lycoris("difference", "lycoris-conv", C(3, 5, 3), full.FullModule)
with_lycoris("difference", "lycoris-norm", NORM(7), norms.NormModule)
# Orthogonal
with_lycoris("oft", "lycoris-linear", L(7, 6), diag_oft.DiagOFTModule, lora_dim=3)
with_lycoris("oft", "lycoris-conv", C(3, 6, 3), diag_oft.DiagOFTModule, lora_dim=3)
with_lycoris("oft", "lycoris-rescale", L(7, 6), diag_oft.DiagOFTModule, lora_dim=3, rescaled=True)
with_lycoris("oft", "lycoris-constraint", L(7, 6), diag_oft.DiagOFTModule, lora_dim=3, constraint=0.05, rescaled=True)
with_lycoris("oft", "butterfly-linear", L(7, 24), boft.ButterflyOFTModule, lora_dim=6)
with_lycoris("oft", "butterfly-conv", C(3, 16, 3), boft.ButterflyOFTModule, lora_dim=4, rescaled=True)
with_lycoris("oft", "butterfly-constraint", L(7, 12), boft.ButterflyOFTModule, lora_dim=6, constraint=0.05)
oft = dict(oft_block_size=3, **T)
with_peft("oft", "peft-series", L(6, 5), peft.OFTConfig(**oft), size=0.2)
with_peft("oft", "peft-series-7", L(6, 5), peft.OFTConfig(num_cayley_neumann_terms=7, **oft), size=0.2)
with_peft("oft", "peft-exact", L(6, 5), peft.OFTConfig(use_cayley_neumann=False, **oft))
with_peft("oft", "peft-bounded", L(6, 5), peft.OFTConfig(coft=True, eps=0.1, use_cayley_neumann=False, **oft))
with_peft("oft", "peft-conv", C(2, 5, 3), peft.OFTConfig(use_cayley_neumann=False, **oft))
# GLoRA
with_lycoris("glora", "lycoris-linear", L(7, 5), glora.GLoRAModule, lora_dim=3, alpha=2)
with_lycoris("glora", "lycoris-conv", C(3, 5, 3), glora.GLoRAModule, lora_dim=2, alpha=1)
with_lycoris("glora", "lycoris-conv1x1", C(6, 5, 1), glora.GLoRAModule, lora_dim=2, alpha=1)
# LoRA of LyCORIS
with_lycoris("locon", "lycoris-linear", L(7, 5), locon.LoConModule, lora_dim=3, alpha=2)
with_lycoris("locon", "lycoris-core", C(3, 5, 3), locon.LoConModule, lora_dim=2, alpha=1, use_tucker=True)
with_lycoris("locon", "lycoris-dora", C(3, 5, 3), locon.LoConModule, lora_dim=2, alpha=1, weight_decompose=True)
with_lycoris("locon", "lycoris-dora-inputs", C(3, 5, 3), locon.LoConModule, lora_dim=2, alpha=1, weight_decompose=True, wd_on_out=False)
with_lycoris("locon", "lycoris-dora-inputs-linear", L(7, 5), locon.LoConModule, lora_dim=2, alpha=1, weight_decompose=True, wd_on_out=False)
# Trained tokens
with_peft("tokens", "peft-rows", torch.nn.Embedding(11, 5), peft.TrainableTokensConfig(token_indices=[8, 2, 10], **T), transposed=True)
torch.manual_seed(5)
class Table(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.module, self.out = torch.nn.Embedding(11, 5), L(5, 3)
for name, indices in (("peft-beside-lora", [4, 0]), ("peft-named", {"module": [7]})):
    table = Table(); w = table.module.weight.detach().clone()
    config = peft.LoraConfig(r=2, target_modules=["out"], trainable_token_indices={"module": [4, 0]} if name == "peft-beside-lora" else indices)
    model = peft.get_peft_model(table, config)
    stir([(n, p) for n, p in model.named_parameters() if p.requires_grad])
    state = {k.split("module.", 1)[1]: v.clone() for k, v in peft.get_peft_model_state_dict(model, save_embedding_layers=False).items() if ".module." in k}
    record("tokens", name, w, model.merge_and_unload().module.weight, state, fields={"peft_type": "LORA", "trainable_token_indices": indices}, transposed=True)
# MiSS, DeLoRA
with_peft("miss", "peft-linear", L(7, 5), peft.MissConfig(r=3, **T))
with_peft("miss", "peft-bat", L(9, 6), peft.MissConfig(r=3, init_weights="bat", **T))
with_peft("delora", "peft-linear", L(7, 5), peft.DeloraConfig(r=3, delora_lambda=7, **T))

for file, (tensors, cases) in FILES.items():
    path = f"{HERE}/{file}.safetensors"
    save_file(tensors, path, {"cases": json.dumps(cases)})
    print(f"{file:12s} {os.path.getsize(path):6d} bytes")
    for case in cases:
        moved = (tensors[f"{case}|merged"] - tensors[f"{case}|w"]).norm() / tensors[f"{case}|w"].norm()
        print("    %-28s moved by %.3f" % (case, moved), {k.split("|module.")[1]: tuple(v.shape) for k, v in tensors.items() if k.startswith(f"{case}|module.")})
