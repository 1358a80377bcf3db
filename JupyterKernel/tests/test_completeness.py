"""Whether a line ends a cell, as `jupyter console` asks after each Return."""

import pytest


@pytest.mark.parametrize(
    "code",
    ["1 + 1", "func f() {\n  print(1)\n}", "let x = [\n  1,\n  2\n]", "", "// a comment", "%help", "!ls", "%time f()", "return 3"],
)
def test_whole_code_is_complete(notebook, code):
    assert notebook.is_complete(code) == {"status": "complete"}


@pytest.mark.parametrize(
    "code, indent",
    [
        ("func f() {", "  "),
        ("func f() {\n  for i in 0..<3 {", "    "),
        ("func f() {\n  print(1)", "  "),
        ("func f() -> Int", ""),
        ("@discardableResult\nfunc f()", ""),
        ("struct Point", ""),
        ("numbers.map { x in", "  "),
        ("print(1,", ""),
        ("let list = [", "  "),
        ("let sum = 1 +", ""),
        ("let text = \"\"\"\nsome", ""),
        ("/* a note", ""),
        ("#if os(Linux)", ""),
        ("if true { 1 } else", ""),
        ("%time func f() {\n  print(1)", "  "),
    ],
)
def test_code_that_more_text_could_finish_is_incomplete(notebook, code, indent):
    assert notebook.is_complete(code) == {"status": "incomplete", "indent": indent}


@pytest.mark.parametrize("code", ["}", "let x = 3 3", "f(1 2)", 'let s = "never closed', "func f() {\n  let x = 3 3", "let = 5"])
def test_code_that_no_text_can_mend_is_invalid(notebook, code):
    assert notebook.is_complete(code) == {"status": "invalid"}
