"""Low-rank adapters: each function runs the program `lora` and returns its report, the JSON of ``lora COMMAND --json -``.

Keyword arguments are the command's options: ``max_rank=8`` is ``--max-rank 8``, ``dry_run=True`` is ``--dry-run``, and
None or False is an option that isn't given. ``lora help COMMAND`` tells what there are.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any, NoReturn, Union

__all__ = [
    "LoRAError", "check", "combine", "convert", "diff", "extract", "inspect", "merge", "program", "quantize", "resize",
    "run", "svd", "unmerge",
]  # fmt: skip

PathLike = Union[str, "os.PathLike[str]"]
Option = Union[str, int, float, bool, "os.PathLike[str]", None]


class LoRAError(RuntimeError):
    """What the program said when it failed; `code` is its exit status: 64 for wrong usage, 1 for any other failure."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def program() -> Path:
    """Where the program is: where this package's installation put it, or on the PATH."""
    package = Path(__file__).resolve().parent.parent
    folders: list[str | Path] = [
        sysconfig.get_path("scripts"),
        sysconfig.get_path("scripts", f"{os.name}_user"),
        package / "bin",  # pip install --target
        package.parent.parent.parent / "bin",  # pip install --prefix
    ]
    for folder in folders:
        candidate = Path(folder) / "lora"
        if candidate.is_file():
            return candidate
    found = shutil.which("lora")
    if found is None:
        raise FileNotFoundError(f"the program lora is in none of {', '.join(map(str, folders))}, nor on the PATH")
    return Path(found)


def run(command: str, *arguments: PathLike, **options: Option) -> dict[str, Any]:
    """Runs ``lora COMMAND`` and returns its report. Raises `LoRAError` with its message where it fails."""
    line = [os.fspath(program()), *command.split(), "--json", "-", "--quiet"]
    for name, value in options.items():
        option = "--" + name.rstrip("_").replace("_", "-")
        if value is True:
            line.append(option)
        elif value is not None and value is not False:
            line.append(f"{option}={os.fspath(value) if isinstance(value, os.PathLike) else value}")
    line += ["--", *(os.fspath(argument) for argument in arguments)]
    result = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True, encoding="utf-8")
    if result.returncode != 0:
        message = result.stderr.strip()
        raise LoRAError(message[len("Error: ") :] if message.startswith("Error: ") else message, result.returncode)
    report: dict[str, Any] = json.loads(result.stdout)
    return report


def inspect(path: PathLike, *, values: bool = False) -> dict[str, Any]:
    """What an adapter or a checkpoint is: method, ranks, norms, what is odd; `values`: its numbers too."""
    return run("inspect", path, values=values)


def check(adapter: PathLike, *, base: PathLike, without_peft: bool = False) -> dict[str, Any]:
    """Whether an adapter fits a base: what has no place there, what peft would silently ignore."""
    return run("check", adapter, base=base, without_peft=without_peft)


def merge(
    base: PathLike, *adapters: PathLike, output: PathLike | None = None, force: bool = False, **options: Option
) -> dict[str, Any]:
    """Adds adapters ("path" or "path:0.7") to a model's weights, with how much the rounding lost."""
    return run("merge", base, *adapters, output=output, force=force, **options)


def unmerge(
    merged: PathLike, *adapters: PathLike, output: PathLike | None = None, force: bool = False, **options: Option
) -> dict[str, Any]:
    """Takes adapters off a model again."""
    return run("unmerge", merged, *adapters, output=output, force=force, **options)


def extract(
    base: PathLike, tuned: PathLike, *, rank: int | None = None, output: PathLike | None = None, force: bool = False,
    **options: Option,
) -> dict[str, Any]:  # fmt: skip
    """A LoRA from what a full fine-tune changed, with the residual of every module."""
    return run("extract", base, tuned, rank=rank, output=output, force=force, **options)


def resize(
    adapter: PathLike, *, rank: int | None = None, energy: float | None = None, output: PathLike | None = None,
    force: bool = False, **options: Option,
) -> dict[str, Any]:  # fmt: skip
    """An adapter at another rank, or at the ranks that keep a share of every module's squared norm."""
    return run("resize", adapter, rank=rank, energy=energy, output=output, force=force, **options)


def combine(
    *adapters: PathLike, method: str | None = None, output: PathLike | None = None, force: bool = False,
    **options: Option,
) -> dict[str, Any]:  # fmt: skip
    """One adapter out of several ("path" or "path:0.7"); exactly their sum unless `method` says otherwise."""
    return run("combine", *adapters, method=method, output=output, force=force, **options)


def convert(
    adapter: PathLike, *, to: str, base: PathLike | None = None, output: PathLike | None = None, force: bool = False,
    **options: Option,
) -> dict[str, Any]:  # fmt: skip
    """An adapter in another format, or another method's as a LoRA."""
    return run("convert", adapter, to=to, base=base, output=output, force=force, **options)


def quantize(
    model: PathLike, *, to: str, output: PathLike | None = None, force: bool = False, **options: Option
) -> dict[str, Any]:
    """A model in fewer bits, with the error of every matrix."""
    return run("quantize", model, to=to, output=output, force=force, **options)


def diff(first: PathLike, second: PathLike) -> dict[str, Any]:
    """What differs between two adapters or two checkpoints."""
    return run("diff", first, second)


def svd(file: PathLike, **options: Option) -> dict[str, Any]:
    """The spectra, ranks and errors of a checkpoint's matrices, a picture or a NumPy array."""
    return run("svd", file, **options)


def main() -> NoReturn:
    """The program itself, by this package's name: ``uvx swift-lora``."""
    lora = os.fspath(program())
    os.execv(lora, [lora, *sys.argv[1:]])
