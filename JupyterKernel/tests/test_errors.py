"""Errors are told with the cell's own lines, and the notebook goes on."""

import pytest


def test_a_compile_error_has_the_cells_line_column_and_a_caret(notebook):
    cell = notebook.run('let fine = 1\n\tlet number: Int = "text"\nfine')
    assert cell.error["ename"] == "Compile error"
    lines = cell.traceback.split("\n")
    assert lines[0].endswith(":2:20: error: cannot convert value of type 'String' to specified type 'Int'")
    assert lines[1] == '  \tlet number: Int = "text"'
    assert lines[2] == "  \t" + " " * 18 + "^"


@pytest.mark.parametrize(
    "code, place, message",
    [
        ("1 + unknown", ":1:5:", "cannot find 'unknown' in scope"),
        ("let x = (1", ":1:11:", "expected ')'"),
        ('let é = "ü"; é.nothing', ":1:16:", "has no member 'nothing'"),
        ("import Nowhere", ":1:8:", "no such module 'Nowhere'"),
        ("func g() async -> Int { 1 }\nlet a = await g()\nlet b: String = await g()", ":3:17:", "cannot convert"),
        ("%help\nundefined", ":2:1:", "cannot find 'undefined'"),
    ],
)
def test_columns_are_those_of_the_cell_as_written(notebook, code, place, message):
    cell = notebook.run(code)
    assert place in cell.error["evalue"] and message in cell.traceback


@pytest.mark.parametrize("code", ["sqrt(2.0)", "let day: Date? = nil", "Data([1, 2])"])
def test_a_name_of_foundation_is_told_with_the_import_that_brings_it(start, code):
    notebook = start()
    assert "add `import Foundation`" in notebook.run(code).traceback
    assert "import Foundation" not in notebook.run("nonsense(1)").traceback
    notebook.run("import Foundation")
    assert notebook.run(code).status == "ok"


def test_a_cell_that_does_not_compile_defines_nothing(notebook):
    notebook.run("let kept = 1")
    notebook.run("let kept = 2\nlet broken = nonsense")
    assert notebook.run("kept").value == "1"


def test_a_thrown_error_is_told_with_its_type_and_text(notebook):
    cell = notebook.run('struct Missing: Error { let file: String }\nthrow Missing(file: "a.txt")')
    assert cell.error["ename"] == "Missing"
    assert cell.error["evalue"] == 'Missing(file: "a.txt")'
    cell = notebook.run(
        "import Foundation\nstruct Friendly: LocalizedError { var errorDescription: String? { \"try again\" } }\n"
        "func risky() throws { throw Friendly() }\ntry risky()"
    )
    assert cell.error["evalue"] == "try again"


@pytest.mark.parametrize(
    "code, message, line",
    [
        ('fatalError("my own words")', "my own words", 1),
        ("let list = [1, 2, 3]\nvar index = 7\nlist[index]", "Index out of range", 3),
        ("var most = Int.max\nvar one = 1\nmost + one", "arithmetic overflow", 3),
        ("let none: Int? = nil\nnone!", "Unexpectedly found nil while unwrapping an Optional value", 2),
        ('var zero = 0\nprecondition(zero == 1, "zero is \\(zero)")', "Precondition failed: zero is 0", 2),
        ("func deep(_ n: Int) -> Int { n == 0 ? 1 : deep(n - 1) &+ deep(n &+ 1) }\ndeep(1)", "stack overflow", 1),
        ("var zero = 0\n1 / zero", "Division by zero", 2),
        ('let x: Any = "s"\nx as! Int', "Could not cast value", 2),
        ("UnsafeMutablePointer<Int>(bitPattern: 16)!.pointee = 1", "memory that is not there", 1),
    ],
)
def test_a_trap_is_told_with_its_message_and_line_and_later_cells_run(notebook, code, message, line):
    notebook.run("let before = 5")
    cell = notebook.run(code)
    assert cell.error["ename"] == "Fatal error"
    assert message in cell.error["evalue"]
    assert f", line {line}: {code.splitlines()[line - 1]}" in cell.traceback
    assert notebook.run("before").value == "5"


def test_exit_ends_the_cell_and_not_the_kernel(notebook):
    notebook.run("let stays = 3")
    cell = notebook.run("import Foundation\nexit(2)")
    assert cell.error["ename"] == "Exit" and "exit(2)" in cell.error["evalue"]
    assert notebook.run("stays").value == "3"


def test_variables_that_have_their_values_survive_the_end_of_their_cell(notebook):
    notebook.run('var trained = 1\ntrained += 1\nfatalError("late")')
    assert notebook.run("trained").value == "2"


def test_variables_without_values_are_not_kept_but_imports_are(notebook):
    cell = notebook.run("import FoundationXML\nstruct No: Error {}\nlet never: Int = try { throw No() }()")
    assert "what it defined is not" in cell.traceback
    assert "cannot find 'never'" in notebook.run("never").traceback
    assert notebook.run("XMLDocument.self").value == "XMLDocument"


def test_a_conformance_declared_twice_is_told_with_a_way_out(notebook):
    code = "extension Int: @retroactive Identifiable { public var id: Int { self } }"
    assert notebook.run(code).status == "ok"
    assert "Restart the kernel" in notebook.run(code).traceback
