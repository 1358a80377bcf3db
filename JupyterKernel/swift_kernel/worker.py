"""The Swift process that compiles and runs cells: started, spoken to, interrupted, and replaced when it dies."""

import codecs
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from .toolchain import KernelProblem, built_worker, cache_folder, find_toolchain

# Seconds that an interrupted cell has to stop before its worker is replaced.
GRACE = float(os.environ.get("SWIFT_KERNEL_GRACE", 5))
# Bytes that one cell may print; what goes beyond is read and dropped.
OUTPUT_LIMIT = int(os.environ.get("SWIFT_KERNEL_OUTPUT_LIMIT", 8 << 20))
DISPLAY_LIMIT = 64 << 20
SCRATCH_PREFIX = "swift-notebook-"


class WorkerDied(Exception):
    """The worker is gone, and with it what cells defined."""


class Worker:
    """One worker. `on_output(name, text)` and `on_message(type, content)` tell what a cell shows as it runs."""

    def __init__(self, packages: list[str], on_output, on_message):
        toolchain = find_toolchain()
        executable = built_worker(toolchain, on_building=lambda text: on_output("stdout", text))
        self.on_output = on_output
        self.on_message = on_message
        self.interrupted_at: float | None = None
        self.stderr_tail = ""
        try:
            _remove_abandoned_folders()
            self.scratch = Path(tempfile.mkdtemp(prefix=f"{SCRATCH_PREFIX}{os.getpid()}-"))
        except OSError as error:
            raise KernelProblem(f"No folder for temporary files could be made: {error}.") from error

        self.events, events_of_worker = socket.socketpair()
        try:
            # A session of its own: an interrupt of Jupyter's process group reaches it only through interrupt().
            self.process = subprocess.Popen(
                [executable, "--events", str(events_of_worker.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[events_of_worker.fileno()],
                start_new_session=True,
                # The runtime prints a raw stack unless its backtraces are on; the worker takes their signals over.
                env={**os.environ, "SWIFT_BACKTRACE": "enable=yes"},
            )
        except OSError as error:
            shutil.rmtree(self.scratch, ignore_errors=True)
            raise KernelProblem(f"The kernel's worker {executable} could not be started: {error}.") from error
        finally:
            events_of_worker.close()

        self.selector = selectors.DefaultSelector()
        self.descriptors = {
            "stdout": self.process.stdout.fileno(),
            "stderr": self.process.stderr.fileno(),
            "events": self.events.fileno(),
        }
        for name, descriptor in self.descriptors.items():
            os.set_blocking(descriptor, False)
            self.selector.register(descriptor, selectors.EVENT_READ, name)
        self.decoders = {name: codecs.getincrementaldecoder("utf-8")("replace") for name in ("stdout", "stderr")}
        self.pending_events = bytearray()
        self.lock = threading.Lock()
        self.ask(
            {
                "command": "start",
                "toolchain": str(toolchain.root),
                "cache": str(cache_folder()),
                "scratch": str(self.scratch),
                "packages": packages,
            }
        )

    def ask(self, request: dict) -> dict:
        """Sends a request and passes on what the worker shows until it replies."""
        with self.lock:
            self.interrupted_at = None
            self.printed = self.shown = self.dropped = 0
            self.stderr_tail = ""
            try:
                self.process.stdin.write(json.dumps(request).encode() + b"\n")
                self.process.stdin.flush()
            except OSError as error:
                raise WorkerDied(self._cause_of_death()) from error
            while True:
                ready = [key.data for key, _ in self.selector.select(timeout=0.1)]
                # Printed text first: a worker that tells an event has printed all that comes before it, and prints
                # no more until the event is acknowledged.
                for name in ("stdout", "stderr"):
                    self._pass_output(name, everything="events" in ready)
                if "events" in ready and (reply := self._pass_events()) is not None:
                    self._tell_dropped()
                    return reply
                if self.interrupted_at is not None and time.monotonic() - self.interrupted_at > GRACE:
                    self.stop()
                    raise WorkerDied(f"The cell did not stop within {GRACE:g} seconds of the interrupt")

    def interrupt(self):
        """May be called from another thread while `ask` waits."""
        if self.interrupted_at is None:
            self.interrupted_at = time.monotonic()
        self._signal(signal.SIGINT)

    def stop(self):
        self._signal(signal.SIGKILL)
        self.process.wait()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def _signal(self, number):
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass

    def _read(self, name: str) -> bytes | None:
        """What there is to read: None for nothing now, empty for the end."""
        try:
            return os.read(self.descriptors[name], 1 << 16)
        except BlockingIOError:
            return None

    def _pass_output(self, name: str, everything: bool):
        for _ in range(64 if everything else 1):
            data = self._read(name)
            if data is None:
                return
            if not data:
                if self.selector.get_map().get(self.descriptors[name]):
                    self.selector.unregister(self.descriptors[name])
                return
            if name == "stderr":
                self.stderr_tail = (self.stderr_tail + data.decode(errors="replace"))[-4096:]
            room = max(0, OUTPUT_LIMIT - self.printed)
            self.printed += len(data)
            self.dropped += max(0, len(data) - room)
            if text := self.decoders[name].decode(data[:room]):
                self.on_output(name, text)
                time.sleep(0.005)  # so that many small prints become few messages

    def _tell_dropped(self):
        if self.dropped:
            self.on_output(
                "stderr",
                f"\n[The cell showed more than a notebook holds well: {self.dropped:,} bytes were dropped, beyond "
                f"{OUTPUT_LIMIT:,} bytes of text (SWIFT_KERNEL_OUTPUT_LIMIT) or {DISPLAY_LIMIT:,} of displays.]\n",
            )

    def _pass_events(self) -> dict | None:
        """Passes on one message, or returns the reply. The worker sends no other before this one is acknowledged."""
        searched = 0
        while (end := self.pending_events.find(b"\n", searched)) < 0:
            searched = len(self.pending_events)
            data = self._read("events")
            if data is None:
                return None
            if not data:
                raise WorkerDied(self._cause_of_death())
            self.pending_events += data
        line = bytes(self.pending_events[:end])
        del self.pending_events[: end + 1]
        event = json.loads(line)
        if "reply" in event:
            return event["reply"]
        if self.shown + len(line) <= DISPLAY_LIMIT:
            self.shown += len(line)
            self.on_message(event["message"], event["content"])
        else:
            self.dropped += len(line)
        self._acknowledge()
        return None

    def _acknowledge(self):
        try:
            self.events.send(b".")
        except OSError:
            pass  # the next read tells that the worker is gone

    def _cause_of_death(self) -> str:
        try:
            status = self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            status = self.process.wait()
        for name in ("stdout", "stderr"):
            self._pass_output(name, everything=True)
        self._tell_dropped()
        shutil.rmtree(self.scratch, ignore_errors=True)
        if status < 0:
            name = signal.Signals(-status).name
            hint = " (out of memory?)" if name == "SIGKILL" else ""
            return f"The process that ran the cells was ended by {name}{hint}"
        return f"The process that ran the cells ended with status {status}"


def _remove_abandoned_folders():
    """Temporary folders of kernels that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{SCRATCH_PREFIX}*-*"):
        process = folder.name.removeprefix(SCRATCH_PREFIX).partition("-")[0]
        try:
            os.kill(int(process), 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except (ValueError, OSError):
            pass
