"""Interrupts, deaths and restarts: never a hung kernel, and never a silent loss."""

import os
import time

import pytest
from conftest import GREETINGS


@pytest.mark.parametrize(
    "code",
    [
        "while true {}",
        "var list = [Int]()\nwhile true { list.append(1); if list.count > 1000 { list = [] } }",
        "import Foundation\nsleep(60)",
        "import Foundation\nlet lock = DispatchSemaphore(value: 0)\nlock.wait()",
        'while true { print("again") }',
        "try await Task.sleep(nanoseconds: 60_000_000_000)",
    ],
    ids=["loop", "allocation", "sleep", "deadlock", "printing", "await"],
)
def test_an_interrupt_ends_the_cell_and_keeps_state(notebook, code):
    notebook.run("let held = 42")
    cell = notebook.run(code, interrupt_after=0.7)
    assert cell.error["ename"] == "Interrupted"
    assert cell.seconds < 2.5
    assert notebook.run("held").value == "42"


def test_an_interrupt_ends_a_loop_within_a_package(notebook):
    notebook.run(f"%package {GREETINGS}\nimport Greetings\nlet held = 43")
    cell = notebook.run('Greeting("Ada").murmur()', interrupt_after=0.7)
    assert cell.error["ename"] == "Interrupted" and cell.seconds < 4
    assert notebook.run("held").value == "43"


def test_an_interrupt_reaches_a_child_process(notebook):
    assert notebook.run('import Foundation\nsystem("sleep 60")', interrupt_after=0.7).seconds < 2.5


def test_a_loop_that_was_interrupted_keeps_what_it_computed(notebook):
    notebook.run("var rounds = 0\nwhile true { rounds &+= 1 }", interrupt_after=0.7)
    assert notebook.run("rounds >= 0").value == "true"


@pytest.mark.parametrize("after", [0.1, 0.3, 0.6])
def test_a_compilation_can_be_interrupted(notebook, after):
    body = "{ x.map { $0 + 1 }.filter { $0 > 3 }.map { String($0) }.sorted() }"
    long = "\n".join(f"func f{i}(_ x: [Int]) -> [String] {body}" for i in range(1000))
    cell = notebook.run(long, interrupt_after=after)
    assert cell.error["ename"] == "Interrupted" and cell.seconds < 2.5
    assert notebook.run("1 + 1").value == "2"


def test_a_cell_that_heeds_no_interrupt_loses_its_worker_and_that_is_told(start):
    notebook = start()
    notebook.run("let lost = 1")
    cell = notebook.run("import Foundation\nsignal(SIGINT, SIG_IGN)\nwhile true {}", interrupt_after=0.7)
    assert cell.error["ename"] == "Worker died"
    assert "did not stop within 2 seconds" in cell.error["evalue"]
    assert "run the cells again" in cell.error["evalue"]
    assert cell.seconds < 5
    assert "cannot find 'lost'" in notebook.run("lost").traceback
    assert notebook.run("1 + 1").value == "2"


@pytest.mark.parametrize(
    "code, told",
    [
        ("import Foundation\nkill(getpid(), SIGKILL)", "SIGKILL"),
        ('import Foundation\nThread.detachNewThread { fatalError("elsewhere") }\nsleep(20)', "SIG"),
        ("import Foundation\n_exit(3)", "status 3"),
    ],
    ids=["killed", "trap on another thread", "_exit"],
)
def test_a_dead_worker_is_replaced_and_that_is_told(notebook, code, told):
    cell = notebook.run(code)
    assert cell.error["ename"] == "Worker died"
    assert told in cell.error["evalue"] and "run the cells again" in cell.error["evalue"]
    if "fatalError" in code:
        assert "elsewhere" in cell.stderr
    assert notebook.run("1 + 1").value == "2"


def test_a_worker_that_dies_between_cells_is_replaced(start):
    notebook = start()
    worker = int(notebook.run("import Foundation\ngetpid()").value)
    os.kill(worker, 9)
    assert notebook.run("1").error["ename"] == "Worker died"
    assert notebook.run("2").value == "2"


def test_a_restart_forgets_everything_and_leaves_no_worker_behind(start):
    notebook = start()
    worker = int(notebook.run("import Foundation\nlet gone = 1\nInt(getpid())").value)
    notebook.manager.restart_kernel()
    notebook.client.wait_for_ready(timeout=60)
    assert "cannot find 'gone'" in notebook.run("gone").traceback
    assert not os.path.exists(f"/proc/{worker}/exe")


def test_a_killed_kernel_leaves_no_running_cell_behind(start):
    notebook = start()
    worker = int(notebook.run("import Foundation\nInt(getpid())").value)
    notebook.client.execute("while true {}")
    time.sleep(1)
    notebook.manager.signal_kernel(9)
    deadline = time.monotonic() + 5
    while os.path.exists(f"/proc/{worker}/exe") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not os.path.exists(f"/proc/{worker}/exe")


def test_a_running_cell_does_not_hold_up_a_shutdown(start):
    notebook = start()
    notebook.run("1")
    notebook.client.execute("while true {}")
    time.sleep(1)
    started = time.monotonic()
    notebook.manager.shutdown_kernel(now=False)
    assert time.monotonic() - started < 4
