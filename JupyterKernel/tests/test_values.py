"""What a cell defines, later cells see; the value of its last expression is shown."""

import pytest


@pytest.mark.parametrize(
    "code, value",
    [
        ("1 + 1", "2"),
        ('"text"', '"text"'),
        ("[1.5, 2]", "[1.5, 2.0]"),
        ('(1, "a")  // and a comment', '(1, "a")'),
        ("let seen = 3\nseen", "3"),
        ("func twice(_ x: Int) -> Int {\n  x * 2\n}\n\ntwice(4)\n\n", "8"),
        ("struct Point { var x = 1 }\nPoint()", "Point(x: 1)"),
        ("class Thing {}\nThing()", "Thing"),
        ("enum Side { case left, right }\n[Side.left]", "[Side.left]"),
        ("[3, 1, 2]\n  .sorted()\n  .map { $0 * 10 }", "[10, 20, 30]"),
        ('"baab".firstMatch(of: /a+/)!.output', '"aa"'),
    ],
)
def test_the_last_expression_is_shown(notebook, code, value):
    assert notebook.run(code).value == value


@pytest.mark.parametrize(
    "code",
    ["5;", "var quiet = 1\nquiet = 2", "_ = 3", 'print("x")', "let only = 1", "if true { 1 } else { 2 }", "", "  \n", "// 1"],
)
def test_what_is_no_value_or_ends_with_a_semicolon_is_not_shown(notebook, code):
    cell = notebook.run(code)
    assert (cell.status, cell.result) == ("ok", None)


def test_a_last_expression_that_cannot_be_shown_is_still_run(notebook):
    cell = notebook.run('struct Unique: ~Copyable { init() { print("made") } }\nUnique()')
    assert (cell.status, cell.stdout) == ("ok", "made\n")


def test_variables_functions_types_and_imports_stay_in_scope(notebook):
    notebook.run("import Foundation\nvar count = 1\nfunc next() -> Int { count + 1 }\nstruct Box { var side: Double }")
    notebook.run("count += 10")
    assert notebook.run("(count, next(), Box(side: 2).side, sqrt(16.0))").value == "(11, 12, 2.0, 4.0)"


def test_private_declarations_are_in_scope_of_later_cells(notebook):
    notebook.run("private let hidden = 7\nfileprivate struct Secret { private(set) var x = 1; var y = 2 }")
    assert notebook.run("hidden + Secret().x").value == "8"


def test_a_new_definition_takes_the_place_of_the_old_one(notebook):
    notebook.run("let name = 1\nfunc f(_ x: Int) -> Int { x }\nfunc f(_ x: String) -> String { x }")
    notebook.run('let name = "new"\nfunc f(_ x: Int) -> Int { x * 10 }')
    assert notebook.run('name + f("a") + String(f(2))').value == '"newa20"'


def test_a_class_of_an_earlier_cell_can_be_subclassed(notebook):
    notebook.run("class Animal { func sound() -> String { \"\" } }")
    assert notebook.run('class Dog: Animal { override func sound() -> String { "woof" } }\nDog().sound()').value == '"woof"'


def test_a_type_of_an_earlier_cell_can_gain_a_conformance_and_then_be_defined_anew(notebook):
    notebook.run("struct Celsius { var degrees = 20 }")
    cell = notebook.run('extension Celsius: CustomStringConvertible { var description: String { "\\(degrees) °C" } }\nCelsius()')
    assert cell.value == "20 °C"
    cell = notebook.run('struct Celsius { var degrees = 30 }\nextension Celsius: CustomStringConvertible { var description: String { "hot" } }\nCelsius()')
    assert cell.value == "hot"


def test_generic_code_protocols_and_closures_work_across_cells(notebook):
    notebook.run("protocol Shape { func area() -> Double }\nfunc total<S: Shape>(_ shapes: [S]) -> Double { shapes.reduce(0) { $0 + $1.area() } }")
    notebook.run("struct Square: Shape { let side: Double; func area() -> Double { side * side } }\nlet double = { (x: Double) in x * 2 }")
    assert notebook.run("double(total([Square(side: 2), Square(side: 3)]))").value == "26.0"


def test_what_is_used_without_its_name_is_in_scope_of_later_cells(notebook):
    """A cell imports only those before it that declare a word of its text; these are used without one."""
    notebook.run("struct Vector { var x = 0; init(_ x: Int) { self.x = x }; subscript(i: Int) -> Int { x * i } }")
    notebook.run("infix operator <+>\nfunc <+> (l: Vector, r: Vector) -> Vector { Vector(l.x + r.x) }")
    notebook.run("extension Vector { init(twice x: Int) { self.init(2 * x) }; func callAsFunction() -> Int { x + 100 } }")
    notebook.run("extension DefaultStringInterpolation { mutating func appendInterpolation(_ v: Vector) { appendInterpolation(v.x) } }")
    notebook.run("func make() -> Vector { Vector(3) }\nlet one = make()")
    notebook.run("struct Plain { var y = 5 }\nfunc take(_ p: Plain) -> Int { p.y }")
    notebook.run(
        "@resultBuilder enum Sum { static func buildBlock(_ parts: Int...) -> Int { parts.reduce(0, +) } }\n"
        "@propertyWrapper struct Doubled { var wrappedValue: Int { didSet { wrappedValue *= 2 } }; var projectedValue: Int { -wrappedValue } }"
    )
    notebook.run("func total(@Sum _ body: () -> Int) -> Int { body() }\nstruct Holder { @Doubled var size = 1 }")
    assert notebook.run("(one <+> one)[2]").value == "12"
    assert notebook.run("Vector(twice: 4)()").value == "108"
    assert notebook.run('"\\(one)"').value == '"3"'
    assert notebook.run("take(.init())").value == "5"
    assert notebook.run("total { 1; 2; 3 }").value == "6"
    assert notebook.run("let holder = Holder()\nholder.$size + holder.size").value == "0"


def test_code_is_optimised(notebook):
    code = "func fibonacci(_ n: Int) -> Int { n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2) }\nfibonacci(38)"
    cell = notebook.run(code)
    assert cell.value == "39088169"
    assert cell.seconds < 3


def test_conditional_compilation_works(notebook):
    notebook.run("#if os(Linux) || os(macOS)\nlet platform = 1\n#else\nlet platform = 2\n#endif")
    assert notebook.run("platform").value == "1"
    notebook.run("struct Machine {\n#if os(Linux)\n  var bits = 64\n#endif\n}\nlet machine = Machine()")
    assert notebook.run("machine.bits").value == "64"
