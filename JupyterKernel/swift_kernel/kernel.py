"""Jupyter's side of the kernel: requests go to the worker, what it shows goes to the notebook."""

import os
import re

from ipykernel.kernelbase import Kernel

from . import __version__
from .toolchain import KernelProblem
from .worker import Worker, WorkerDied

RED, PLAIN = "\x1b[1;31m", "\x1b[0m"


class SwiftKernel(Kernel):
    implementation = "swift_kernel"
    implementation_version = __version__
    banner = "Swift, compiled cell by cell. %help tells what a cell can do."
    language_info = {
        "name": "swift",
        "mimetype": "text/x-swift",
        "file_extension": ".swift",
        "pygments_lexer": "swift",
        "codemirror_mode": "swift",
    }

    worker: Worker | None = None
    is_silent = False
    is_shutting_down = False

    async def do_execute(
        self, code, silent, store_history=True, user_expressions=None, allow_stdin=False, *, cell_meta=None, cell_id=None
    ):
        self.is_silent = silent
        try:
            reply = self._running_worker().ask({"command": "execute", "code": code, "count": self.execution_count})
        except WorkerDied as death:
            self.worker = None
            fate = "A new one has taken its place; nothing is defined in it, so run the cells again."
            reply = _error("Worker died", f"{death}. {fate}")
            if self.is_shutting_down:
                reply = _error("Shut down", "The kernel was shut down while the cell ran.")
        except KernelProblem as problem:
            reply = _error("Kernel problem", str(problem))
        if reply["status"] == "ok":
            return {
                "status": "ok",
                "execution_count": self.execution_count,
                "payload": [],
                "user_expressions": {},
            }
        if not reply["evalue"]:
            self._take_message_from_stderr(reply)
        content = {key: reply[key] for key in ("ename", "evalue", "traceback")}
        self._message("error", content)
        return {"status": "error", "execution_count": self.execution_count, **content}

    async def do_complete(self, code, cursor_pos):
        found = self._ask_about("complete", code, cursor_pos)

        def characters(offset):
            return len(code.encode()[:offset].decode(errors="ignore"))

        types = [
            {**item, "start": characters(item["start"]), "end": characters(item["end"])} for item in found.get("types", [])
        ]
        return {
            "status": "ok",
            "matches": found.get("matches", []),
            "cursor_start": characters(found["start"]) if "start" in found else cursor_pos,
            "cursor_end": cursor_pos,
            "metadata": {"_jupyter_types_experimental": types} if types else {},
        }

    async def do_is_complete(self, code):
        return self._ask_about("is_complete", code, 0) or {"status": "unknown"}

    async def do_inspect(self, code, cursor_pos, detail_level=0, omit_sections=()):
        found = self._ask_about("inspect", code, cursor_pos)
        if not found.get("found"):
            return {"status": "ok", "found": False, "data": {}, "metadata": {}}
        data = {"text/plain": found["text"], "text/markdown": found["markdown"]}
        return {"status": "ok", "found": True, "data": data, "metadata": {}}

    async def do_shutdown(self, restart):
        # On the control thread, perhaps while a cell runs: the worker's end ends the wait for it.
        self.is_shutting_down = True
        if self.worker:
            self.worker.stop()
        return {"status": "ok", "restart": restart}

    def _send_interrupt_children(self):
        """Called on the control thread for an interrupt_request."""
        if self.worker:
            self.worker.interrupt()

    def _running_worker(self) -> Worker:
        if self.worker is None:
            packages = [path for path in os.environ.get("SWIFT_KERNEL_PACKAGES", "").split(os.pathsep) if path]
            self.worker = Worker(packages, on_output=self._output, on_message=self._message)
        return self.worker

    def _ask_about(self, command, code, cursor_pos) -> dict:
        try:
            offset = len(code[:cursor_pos].encode())
            return self._running_worker().ask({"command": command, "code": code, "offset": offset})
        except (WorkerDied, KernelProblem):
            return {}  # the next cell tells

    def _output(self, name, text):
        self._message("stream", {"name": name, "text": text})

    def _message(self, kind, content):
        if self.is_silent:
            return
        if kind == "execute_result":
            content["execution_count"] = self.execution_count
        self.send_response(self.iopub_socket, kind, content)

    def _take_message_from_stderr(self, reply):
        """The Swift runtime prints a trap's message and then ends the program: keep it with the error."""
        lines = [line for line in self.worker.stderr_tail.splitlines() if line.strip()]
        failures = [line for line in lines if re.search("(Fatal error|failed)(:|$)", line)]
        told = (failures or lines or ["a trap"])[-1]
        # Without the place, which the traceback tells better, and the title.
        reply["evalue"] = re.sub(r"^\S+:\d+: ", "", told).removeprefix("Fatal error: ")
        reply["traceback"][0] = f"{RED}{reply['ename']}{PLAIN}: {reply['evalue']}"


def _error(name, message) -> dict:
    return {"status": "error", "ename": name, "evalue": message, "traceback": [f"{RED}{name}{PLAIN}: {message}"]}
