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
    "code, arguments",
    [
        ("Person(", 'firstName: ""'),
        ("numbers.firstIndex(", "where: { _ in false }"),
        ("numbers.reduce(", "0, { _, _ in 0 }"),
        ("numbers.map(", "{ _ in 0 }"),
        ("numbers.append(", "contentsOf: []"),
        ("Gauge(", 'level: 0.0, owner: placeholder("Person"), report: { _, _ in nil }'),
    ],
)
def test_the_arguments_of_a_call_are_completed_with_values_that_compile(prepared, code, arguments):
    prepared.run("struct Gauge { init(level: Double, owner: Person, report: (Int, [String: Int]) -> String?) {} }")
    assert arguments in prepared.complete(code)["matches"]
    # Compiled and not run: a placeholder stops the cell that runs it.
    assert prepared.run(f"func unused() {{ var numbers = numbers; _ = {code}{arguments}) }}").status == "ok"


def test_a_parenthesis_that_is_there_is_not_written_twice(prepared):
    assert 'firstName: "", age: 1)' not in prepared.complete("Person()", 7)["matches"]
    assert all(not match.endswith(")") for match in prepared.complete("Person()", 7)["matches"] if "firstName" in match)


def test_a_placeholder_that_is_run_says_what_belongs_there(notebook):
    assert "where a value of type Int belongs" in notebook.run('let count: Int = placeholder("Int")').error["evalue"]


@pytest.mark.parametrize(
    "code, expected, start",
    [("%ti", ["%time", "%timeit"], 0), ("1\n%%tim", ["%%time", "%%timeit"], 2), ("%pack", ["%package"], 0)],
)
def test_magics_are_completed(notebook, code, expected, start):
    content = notebook.complete(code)
    assert (content["matches"], content["cursor_start"], content["cursor_end"]) == (expected, start, len(code))


@pytest.mark.parametrize("before", ["%package ", "%include ", "!ls -l ", 'let url = "', '%include "', "%time f(\""])
def test_paths_are_completed_in_magics_commands_and_strings(notebook, tmp_path, before):
    (tmp_path / "häuser").mkdir()
    (tmp_path / "hall.swift").touch()
    (tmp_path / ".hidden").touch()
    content = notebook.complete(f"{before}{tmp_path}/h")
    assert content["matches"] == [f"{tmp_path}/hall.swift", f"{tmp_path}/häuser/"]
    assert content["cursor_start"] == len(before)
    assert notebook.complete(f"{before}{tmp_path}/hä")["matches"] == [f"{tmp_path}/häuser/"]


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
