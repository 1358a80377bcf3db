"""Finds the Swift toolchain and builds the worker with it."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

WORKER_PACKAGE = Path(__file__).resolve().parent / "Worker"
OLDEST_VERSION = (6, 2)
INSTALL_HINT = (
    "Install Swift from https://www.swift.org/install, or set SWIFT_KERNEL_TOOLCHAIN "
    "to the folder of a toolchain (the one that holds bin/swift-frontend), and restart the kernel."
)


class KernelProblem(Exception):
    """What keeps the kernel from working, as a sentence for the notebook's reader."""


@dataclass(frozen=True)
class Toolchain:
    root: Path
    version: str

    @property
    def swift(self) -> Path:
        return self.root / "bin/swift"


def cache_folder() -> Path:
    if chosen := os.environ.get("SWIFT_KERNEL_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "swift-kernel"


def find_toolchain() -> Toolchain:
    if sys.platform != "linux":
        raise KernelProblem("This kernel runs on Linux only. On a Mac, Xcode's playgrounds and `swift repl` do its work.")
    chosen = os.environ.get("SWIFT_KERNEL_TOOLCHAIN")
    swift = str(Path(chosen) / "bin/swift") if chosen else shutil.which("swift")
    if swift is None:
        raise KernelProblem(f"No Swift toolchain was found: there is no `swift` on the PATH. {INSTALL_HINT}")
    try:
        answer = subprocess.run(
            [swift, "-print-target-info"], capture_output=True, text=True, timeout=60, check=True
        ).stdout
        information = json.loads(answer)
        version = information["compilerVersion"]
        root = Path(information["paths"]["runtimeResourcePath"]).parent.parent
    except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
        raise KernelProblem(f"{swift} is not a working Swift toolchain ({error}). {INSTALL_HINT}") from error
    found = re.search(r"version (\d+)\.(\d+)", version)
    if found and (int(found[1]), int(found[2])) < OLDEST_VERSION:
        oldest = ".".join(map(str, OLDEST_VERSION))
        raise KernelProblem(f"{swift} is Swift {found[1]}.{found[2]}; this kernel needs {oldest} or newer. {INSTALL_HINT}")
    for program in ("swift-frontend", "ld.lld"):
        if not (root / "bin" / program).exists():
            raise KernelProblem(f"The Swift toolchain in {root} has no bin/{program}. {INSTALL_HINT}")
    return Toolchain(root, version)


def built_worker(toolchain: Toolchain, on_building=lambda text: None) -> Path:
    """The worker's executable, built first where there is none of these sources."""
    build = cache_folder() / "worker" / _digest(toolchain.version, toolchain.root, WORKER_PACKAGE)[:12]
    executable = build / "release/swift-notebook-worker"
    stamp = build / "built"
    sources = [*WORKER_PACKAGE.glob("Sources/**/*.*"), WORKER_PACKAGE / "Package.swift"]
    # Their text and not their dates: those of files from a wheel say nothing.
    state = _digest(*(part for source in sorted(sources) for part in (source, source.read_text())))
    if executable.exists() and stamp.exists() and stamp.read_text() == state:
        return executable
    on_building("Building the kernel's worker for this toolchain; this happens once and takes some ten seconds …\n")
    # Cells find the symbols of the module Notebook in the worker itself.
    command = [toolchain.swift, "build", "-c", "release", "-Xlinker", "--export-dynamic"]
    command += ["--package-path", WORKER_PACKAGE, "--scratch-path", build]
    try:
        build.mkdir(parents=True, exist_ok=True)
        result = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise KernelProblem(f"The kernel's worker could not be built in {build}: {error}.") from error
    if result.returncode != 0:
        told = "\n".join((result.stdout + result.stderr).splitlines()[-20:])
        raise KernelProblem(f"The kernel's worker in {WORKER_PACKAGE} does not build:\n{told}")
    stamp.write_text(state)
    return executable


def _digest(*parts) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()
