"""What is wrong with a machine is told in a sentence that helps."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from conftest import GREETINGS, KERNEL, install


def test_without_a_toolchain_every_cell_tells_where_to_get_one(start, tmp_path):
    notebook = start(PATH=str(tmp_path))
    for _ in range(2):
        cell = notebook.run("1 + 1")
        assert cell.error["ename"] == "Kernel problem"
        assert "No Swift toolchain was found" in cell.error["evalue"]
        assert "https://www.swift.org/install" in cell.error["evalue"]
    assert notebook.complete("a")["matches"] == []


def test_a_toolchain_that_does_not_work_is_told(start, tmp_path):
    cell = start(SWIFT_KERNEL_TOOLCHAIN=str(tmp_path)).run("1")
    assert f"{tmp_path}/bin/swift is not a working Swift toolchain" in cell.error["evalue"]


@pytest.mark.parametrize(
    "version, told",
    [("Swift version 5.10 (swift-5.10-RELEASE)", "is Swift 5.10; this kernel needs"), ("Swift version 9.1", "has no bin/swift-frontend")],
)
def test_a_toolchain_too_old_or_incomplete_is_told(start, tmp_path, version, told):
    (tmp_path / "bin").mkdir()
    swift = tmp_path / "bin/swift"
    information = {"compilerVersion": version, "paths": {"runtimeResourcePath": f"{tmp_path}/lib/swift"}}
    swift.write_text(f"#!/bin/sh\necho '{json.dumps(information)}'\n")
    swift.chmod(0o755)
    assert told in start(SWIFT_KERNEL_TOOLCHAIN=str(tmp_path)).run("1").error["evalue"]


def test_a_file_that_cannot_be_written_is_told_and_costs_no_state(start):
    notebook = start()
    notebook.run("import Foundation\nlet safe = 5")
    # A limit on file sizes fails a write as a full disk does.
    notebook.run("var none = rlimit(rlim_cur: 0, rlim_max: 1 << 40)\nsetrlimit(__rlimit_resource_t(1), &none)")
    cell = notebook.run("safe")
    assert cell.error["ename"] == "Disk error"
    assert "could not write" in cell.error["evalue"] and "TMPDIR" in cell.error["evalue"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_full_disk_is_told_however_the_compiler_fails_on_it(start, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", small], capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        notebook = start(TMPDIR=str(small))
        ends = [notebook.run(f"struct Number{i} {{ var list = [{i}].map {{ $0 + 1 }} }}") for i in range(20)]
        assert ends[0].status == "ok" and ends[-1].error["ename"] == "Disk error"
        assert {end.error["ename"] for end in ends if end.error} == {"Disk error"}
        assert "No space left on device" in ends[-1].error["evalue"]
        notebook.close()
    finally:
        subprocess.run(["umount", "-l", small])


def test_no_folder_for_temporary_files_is_told(start, tmp_path):
    nowhere = tmp_path / "file"
    nowhere.write_text("")
    cell = start(SWIFT_KERNEL_CACHE=f"{nowhere}/cache").run("1")
    assert cell.error["ename"] == "Kernel problem" and str(nowhere) in cell.error["evalue"]


def test_the_installed_package_is_importable_in_the_first_cell(start, tmp_path):
    installed = install(tmp_path, "--package", GREETINGS)
    assert installed.returncode == 0, installed.stderr
    notebook = start(tmp_path / "share/jupyter/kernels")
    cell = notebook.run('import Greetings\nGreeting("Ada").length')
    assert (cell.value, cell.stdout) == ("11", "")  # nothing was left to build
    assert cell.seconds < 5


def test_installing_a_package_that_is_none_fails(tmp_path):
    installed = install(tmp_path, "--package", tmp_path)
    assert installed.returncode == 1 and "no Package.swift" in installed.stderr


def test_folders_of_killed_kernels_are_removed(start, tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    abandoned = tmp_path / f"swift-notebook-{dead.pid}-abc"
    abandoned.mkdir()
    start(TMPDIR=str(tmp_path)).run("1")
    assert not abandoned.exists()


def test_a_missing_worker_is_built_by_the_first_cell(start, tmp_path):
    notebook = start(SWIFT_KERNEL_CACHE=str(tmp_path / "cache"))
    cell = notebook.run("1 + 1")
    assert cell.value == "2" and "Building the kernel's worker" in cell.stdout


def test_the_python_side_needs_nothing_but_its_folder_and_ipykernel(tmp_path):
    shutil.copytree(KERNEL / "swift_kernel", tmp_path / "swift_kernel", ignore=shutil.ignore_patterns("__pycache__"))
    code = "import swift_kernel.kernel, swift_kernel.install"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env={**os.environ, "PYTHONPATH": ""})
