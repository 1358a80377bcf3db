"""Installs the kernel specification, and builds worker and packages so that the first cell need not."""

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from jupyter_client.kernelspec import KernelSpecManager

from .toolchain import KernelProblem
from .worker import Worker, WorkerDied


def main(arguments) -> int:
    parser = argparse.ArgumentParser(prog="python -m swift_kernel install", description=__doc__)
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--sys-prefix", action="store_true", help="install into this Python's (virtual) environment")
    place.add_argument("--user", action="store_true", help="install for this user (the default)")
    place.add_argument("--prefix", metavar="DIR", help="install under DIR")
    parser.add_argument("--name", default="swift", help="the kernel's name on the command line (swift)")
    parser.add_argument("--display-name", default="Swift", help="the kernel's name in JupyterLab (Swift)")
    parser.add_argument(
        "--package",
        metavar="DIR",
        action="append",
        default=[],
        help="a SwiftPM package whose library products cells can import; may be repeated",
    )
    parser.add_argument(
        "--toolchain",
        metavar="DIR",
        help="the toolchain to use, the folder that holds bin/swift; otherwise that of `swift` on the PATH",
    )
    options = parser.parse_args(arguments)

    packages = [Path(package).resolve() for package in options.package]
    for package in packages:
        if not (package / "Package.swift").exists():
            print(f"There is no Package.swift in {package}: --package takes the folder of a SwiftPM package.", file=sys.stderr)
            return 1
    environment = {}
    if options.toolchain:
        environment["SWIFT_KERNEL_TOOLCHAIN"] = str(Path(options.toolchain).resolve())
        os.environ.update(environment)
    try:
        _build(packages)
    except KernelProblem as problem:
        print(problem, file=sys.stderr)
        return 1

    if packages:
        environment["SWIFT_KERNEL_PACKAGES"] = os.pathsep.join(map(str, packages))
    specification = {
        # As ipykernel itself is started: its debugger warns of Python's frozen modules in every console.
        "argv": [sys.executable, "-Xfrozen_modules=off", str(Path(__file__).resolve().with_name("__main__.py")), "-f", "{connection_file}"],
        "display_name": options.display_name,
        "language": "swift",
        "interrupt_mode": "message",
        "env": environment,
        "metadata": {"debugger": False},
    }
    prefix = sys.prefix if options.sys_prefix else options.prefix
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(Path(__file__).with_name("resources"), folder, dirs_exist_ok=True)
        Path(folder, "kernel.json").write_text(json.dumps(specification, indent=2) + "\n")
        where = KernelSpecManager().install_kernel_spec(folder, options.name, user=prefix is None, prefix=prefix)
    print(f"Installed the kernel “{options.display_name}” in {where}")
    return 0


def _build(packages: list[Path]):
    worker = Worker(
        [str(package) for package in packages],
        on_output=lambda name, text: print(text, end="", flush=True),
        on_message=lambda kind, content: print(),
    )
    try:
        reply = worker.ask({"command": "prepare"})
    except WorkerDied as death:
        raise KernelProblem(f"{death}, while it built {', '.join(map(str, packages))}.") from death
    finally:
        worker.stop()
    if reply["status"] != "ok":
        raise KernelProblem("\n".join(reply["traceback"]))
