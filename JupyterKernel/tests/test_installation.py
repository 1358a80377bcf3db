"""`pip install`, then `python -m swift_kernel install`, and nothing else: for any package, from any folder."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from conftest import GREETINGS, KERNEL, Notebook


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A virtual environment with the kernel in it, from a copy of its sources that is then gone."""
    place = tmp_path_factory.mktemp("clean")
    copy = place / "JupyterKernel"
    shutil.copytree(KERNEL, copy, ignore=shutil.ignore_patterns(".*", "__pycache__", "tests"))
    subprocess.run([sys.executable, "-m", "venv", place / "venv"], check=True)
    python = place / "venv/bin/python"
    installed = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", copy], capture_output=True, text=True
    )
    if "No matching distribution" in installed.stderr or "connection" in installed.stderr.lower():
        pytest.skip("the package index can't be reached")
    assert installed.returncode == 0, installed.stderr
    shutil.rmtree(copy)
    return python


@pytest.fixture(scope="module")
def kernel(environment, tmp_path_factory):
    """The folder of the installed kernel's specification."""
    cache = tmp_path_factory.mktemp("cache")
    installed = subprocess.run(
        [environment, "-m", "swift_kernel", "install", "--sys-prefix", "--name", "swift-clean", "--package", GREETINGS],
        cwd=environment.parent, capture_output=True, text=True, env={**os.environ, "SWIFT_KERNEL_CACHE": str(cache)},
    )
    assert installed.returncode == 0, installed.stderr
    return environment.parent.parent / "share/jupyter/kernels/swift-clean", cache


def test_a_kernel_that_pip_installed_runs_cells_with_a_package(kernel):
    folder, cache = kernel
    notebook = Notebook(folder.parent, name="swift-clean", SWIFT_KERNEL_CACHE=str(cache))
    try:
        assert notebook.run('import Greetings\nGreeting("Ada").length').value == "11"
    finally:
        notebook.close()


def test_the_kernel_has_a_logo_and_a_name(kernel):
    folder, _ = kernel
    assert {"logo-svg.svg", "logo-32x32.png", "logo-64x64.png", "kernel.json"} <= {file.name for file in folder.iterdir()}
    specification = json.loads((folder / "kernel.json").read_text())
    assert (specification["language"], specification["display_name"]) == ("swift", "Swift")
