"""`await` at top level."""


def test_a_variable_an_expression_and_a_loop_can_await(notebook):
    cell = notebook.run(
        "func slow(_ n: Int) async throws -> Int { try await Task.sleep(nanoseconds: 1000); return n * 2 }\n"
        "let four: Int = try await slow(2)\n"
        "var numbers = AsyncStream<Int> { $0.yield(5); $0.finish() }\n"
        "for await number in numbers { print(number) }\n"
        "if four > 3 { print(try await slow(four)) }\n"
        "try await slow(8)"
    )
    assert (cell.stdout, cell.value) == ("5\n8\n", "16")
    assert notebook.run("four + 1").value == "5"


def test_lines_after_an_await_keep_their_numbers(notebook):
    code = 'func quick() async {}\nawait quick()\n\n/// About f.\n@inline(never) func f() { fatalError("here") }\nf()'
    assert ", line 5: @inline(never) func f()" in notebook.run(code).traceback


def test_actors_and_the_main_actor_can_be_awaited(notebook):
    notebook.run("actor Counter { var n = 0; func up() -> Int { n += 1; return n } }\nlet counter = Counter()")
    assert notebook.run("await counter.up()").value == "1"
    assert notebook.run("@MainActor func here() -> String { \"main\" }\nawait here()").value == '"main"'


def test_an_error_thrown_by_awaited_code_is_told(notebook):
    cell = notebook.run("struct Late: Error {}\nfunc fail() async throws { throw Late() }\ntry await fail()")
    assert cell.error["ename"] == "Late"


def test_a_task_runs_on_after_its_cell(notebook):
    notebook.run("actor Flag { var isSet = false; func set() { isSet = true } }\nlet flag = Flag()\nTask { await flag.set() };")
    notebook.run("try await Task.sleep(nanoseconds: 50_000_000)")
    assert notebook.run("await flag.isSet").value == "true"
