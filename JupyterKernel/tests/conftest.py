"""Notebooks without a browser: cells are sent to a kernel as JupyterLab sends them."""

import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

KERNEL = Path(__file__).resolve().parent.parent
GREETINGS = KERNEL / "tests/Greetings"


@dataclass
class Cell:
    """What a cell showed and how it ended."""

    status: str = ""
    stdout: str = ""
    stderr: str = ""
    result: dict | None = None
    displays: list = field(default_factory=list)
    error: dict = field(default_factory=dict)
    # (message type, content, seconds since the cell was sent)
    messages: list = field(default_factory=list)
    seconds: float = 0

    @property
    def value(self):
        return self.result and self.result["text/plain"]

    @property
    def traceback(self):
        """Without its colours."""
        text = "\n".join(self.error.get("traceback", []))
        for code in ("\x1b[1;31m", "\x1b[1;32m", "\x1b[1m", "\x1b[0m"):
            text = text.replace(code, "")
        return text


class Notebook:
    def __init__(self, specifications: Path, name: str = "swift-test", **environment):
        finder = KernelSpecManager(kernel_dirs=[str(specifications)])
        self.manager = KernelManager(kernel_name=name, kernel_spec_manager=finder)
        variables = {**os.environ, "SWIFT_KERNEL_GRACE": "2", **environment}
        self.manager.start_kernel(env=variables, stderr=subprocess.DEVNULL)
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def run(self, code: str, interrupt_after: float | None = None, timeout: float = 120) -> Cell:
        cell = Cell()
        started = time.monotonic()

        def note(message):
            kind, content = message["msg_type"], message["content"]
            cell.messages.append((kind, content, time.monotonic() - started))
            if kind == "stream":
                setattr(cell, content["name"], getattr(cell, content["name"]) + content["text"])
            elif kind == "execute_result":
                cell.result = content["data"]
            elif kind in ("display_data", "update_display_data"):
                cell.displays.append(content["data"])
            elif kind == "error":
                cell.error = content

        if interrupt_after is not None:
            threading.Timer(interrupt_after, self.manager.interrupt_kernel).start()
        reply = self.client.execute_interactive(code, timeout=timeout, output_hook=note, allow_stdin=False)
        cell.status = reply["content"]["status"]
        cell.seconds = time.monotonic() - started
        return cell

    def complete(self, code: str, position: int | None = None) -> dict:
        return self.client.complete(code, position, reply=True, timeout=60)["content"]

    def is_complete(self, code: str) -> dict:
        request = self.client.is_complete(code)
        while (reply := self.client.get_shell_msg(timeout=60))["parent_header"]["msg_id"] != request:
            pass
        return reply["content"]

    def inspect(self, code: str, position: int | None = None) -> str:
        content = self.client.inspect(code, position, reply=True, timeout=60)["content"]
        return content["data"].get("text/plain", "")

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def install(prefix: Path, *arguments, **environment) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "swift_kernel", "install", "--prefix", prefix, "--name", "swift-test", *arguments]
    return subprocess.run(
        command, cwd=KERNEL, capture_output=True, text=True, env={**os.environ, **environment}
    )


@pytest.fixture(scope="session")
def specifications(tmp_path_factory) -> Path:
    prefix = tmp_path_factory.mktemp("prefix")
    installed = install(prefix)
    assert installed.returncode == 0, installed.stderr
    return prefix / "share/jupyter/kernels"


@pytest.fixture
def start(specifications):
    """Starts kernels of the test's own: `start(VARIABLE="…")`."""
    notebooks = []

    def start(specifications=specifications, **environment):
        notebooks.append(Notebook(specifications, **environment))
        return notebooks[-1]

    yield start
    for notebook in notebooks:
        notebook.close()


@pytest.fixture(scope="module")
def notebook(specifications):
    """One kernel for the tests of a file: they must not depend on one another's cells."""
    notebook = Notebook(specifications)
    yield notebook
    notebook.close()
