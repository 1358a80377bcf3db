"""How long a reader waits."""

import statistics
import time


def test_the_first_cell_answers_within_five_seconds(start):
    began = time.monotonic()
    notebook = start()
    assert notebook.run("1 + 1").seconds < 5
    print(f"first cell, kernel start included: {time.monotonic() - began:.2f} s")


def test_a_warm_kernel_answers_one_plus_one_within_half_a_second(notebook):
    notebook.run("import Foundation")
    times = [notebook.run("1 + 1").seconds for _ in range(9)]
    print(f"1 + 1, median of 9: {statistics.median(times):.3f} s")
    assert statistics.median(times) < 0.5


def test_a_cell_after_fifty_others_is_not_much_slower(notebook):
    for index in range(50):
        notebook.run(f"let value{index} = {index}")
    times = [notebook.run("value3 + value49").seconds for _ in range(5)]
    print(f"after fifty cells: {statistics.median(times):.3f} s")
    assert statistics.median(times) < 0.5
