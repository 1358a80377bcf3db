"""Completion and inspection know the cells before."""

import pytest


@pytest.fixture(scope="module")
def prepared(notebook):
    notebook.run(
        "import Foundation\nlet numbers = [1, 2, 3]\n/// Doubles a number.\nfunc doubled(_ x: Int) -> Int { x * 2 }\n"
        "struct Person { var firstName: String; private var age = 1 }"
    )
    return notebook


@pytest.mark.parametrize(
    "code, expected, start",
    [
        ("numb", "numbers", 0),
        ("doub", "doubled", 0),
        ("numbers.ma", "map", 8),
        ("let p: Person\np.fir", "firstName", 16),
        ("let é = numbers.cou", "count", 16),
        ("disp", "display", 0),
        ("%help\nnumb", "numbers", 6),
    ],
)
def test_names_and_members_are_completed(prepared, code, expected, start):
    content = prepared.complete(code)
    assert expected in content["matches"]
    assert (content["cursor_start"], content["cursor_end"]) == (start, len(code))


def test_completion_in_the_middle_of_a_cell_sees_what_stands_before_it(prepared):
    code = "let local = 5\nloc\nprint(1)"
    assert "local" in prepared.complete(code, len("let local = 5\nloc"))["matches"]


@pytest.mark.parametrize(
    "code, position, expected",
    [
        ("doubled(3)", 3, "func doubled(_ x: Int) -> Int"),
        ("doubled(", 8, "Doubles a number."),
        ("numbers.map { $0 }", 10, "Returns an array containing the results of mapping"),
        ("numbers", 2, "let numbers: [Int]"),
    ],
)
def test_inspection_tells_declaration_and_documentation(prepared, code, position, expected):
    assert expected in prepared.inspect(code, position)


def test_inspecting_nothing_finds_nothing(prepared):
    assert prepared.inspect("   ", 1) == ""
