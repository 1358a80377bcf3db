"""Lines that start with a percent sign."""

import re
import shutil
import subprocess

import pytest
from conftest import GREETINGS


@pytest.fixture
def repository(tmp_path):
    """The address of a repository with two versions of a package."""
    package = tmp_path / "Greetings"
    shutil.copytree(GREETINGS, package, ignore=shutil.ignore_patterns(".build"))
    source = package / "Sources/Greetings/Greeting.swift"

    def git(*arguments):
        identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
        subprocess.run(["git", *identity, *arguments], cwd=package, check=True, capture_output=True)

    git("init", "--quiet")
    for version, word in [("1.0.0", "hello"), ("1.1.0", "good day")]:
        source.write_text(source.read_text().replace("hello", word))
        git("add", "--all")
        git("commit", "--quiet", "--message", version)
        git("tag", version)
    return package.as_uri()


def test_help_names_every_magic(notebook):
    text = notebook.run("%help").stdout
    assert all(magic in text for magic in ("%package", "%dynamic", "%include", "%time ", "%timeit", "!COMMAND", "%help", "display("))


def test_timeit_tells_the_time_of_one_loop(notebook):
    text = notebook.run("let upTo = 1000\n%timeit (0..<upTo).reduce(0, &+)").stdout
    assert re.fullmatch(r"[\d.e+]+ (ns|µs|ms|s) ± [\d.e+]+ \S+ per loop \(mean ± .* of 7 runs, \d+ loops each\)\n", text)


@pytest.mark.parametrize(
    "code, value",
    [
        ("%time (0..<1000).reduce(0, &+)", "499500"),
        ("%time let timed = [3, 4]\ntimed.count", "2"),
        ("%%time\nvar sum = 0\nfor i in 0..<10 { sum += i }\nsum", "45"),
    ],
)
def test_time_tells_how_long_a_statement_or_a_cell_took_and_keeps_its_value(notebook, code, value):
    cell = notebook.run(code)
    assert re.fullmatch(r"[\d.e+]+ (ns|µs|ms|s), [\d.e+]+ (ns|µs|ms|s) of processor time\n", cell.stdout)
    assert cell.value == value


def test_time_counts_running_and_not_compiling(notebook):
    text = notebook.run("import Foundation\n%time usleep(50_000)\nusleep(100_000);").stdout
    assert 50 <= float(re.match(r"([\d.]+) ms,", text)[1]) < 100


def test_a_command_runs_in_the_shell_where_it_stands(notebook, tmp_path):
    cell = notebook.run(f'print("before")\n!cd {tmp_path} && touch "a b#c" && ls; echo "$((1 + 2))"\nprint("after")')
    assert cell.stdout == "before\na b#c\n3\nafter\n"


def test_a_command_that_fails_tells_its_status(notebook):
    assert "[exit status 3]" in notebook.run("!exit 3").stdout
    assert "belongs in parentheses" in notebook.run("!noSuchCommand").stdout


def test_a_command_can_be_interrupted(notebook):
    assert notebook.run("!sleep 60", interrupt_after=0.7).seconds < 2.5


def test_swifts_own_exclamation_marks_stay(notebook):
    assert notebook.run("let yes = true\nlet no = yes &&\n!yes\nno").value == "false"
    assert notebook.run("  !true").value == "false"
    assert notebook.run('"""\n!ls\n"""').value == '"!ls"'


def test_include_compiles_a_file_with_its_own_name_in_errors(notebook, tmp_path):
    good, bad = tmp_path / "good.swift", tmp_path / "bad.swift"
    good.write_text("let included = 5\n")
    bad.write_text("let fine = 1\nlet wrong = nonsense\n")
    assert notebook.run(f"%include {good}\nincluded + 1").value == "6"
    assert "bad.swift:2:13: error" in notebook.run(f"%include {bad}").traceback
    assert "can't be read" in notebook.run("%include nowhere.swift").error["evalue"]


def test_an_unknown_magic_names_the_known_ones(notebook):
    assert "%timeit" in notebook.run("%unknown").error["evalue"]


def test_a_percent_sign_within_a_string_or_expression_is_no_magic(notebook):
    assert notebook.run('let text = """\n%help\n"""\ntext').value == '"%help"'
    assert notebook.run("7\n  % 4").value == "3"


def test_a_package_with_a_c_target_can_be_imported_and_its_types_are_shown(notebook):
    cell = notebook.run(f'%package {GREETINGS} Greetings\nimport Greetings\nGreeting("Ada")')
    assert cell.result["image/svg+xml"] == "<svg>Ada</svg>"
    assert notebook.run('Greeting("Ada").length').value == "11"


def test_a_trap_in_a_package_quotes_the_packages_line(notebook):
    notebook.run(f"%dynamic {GREETINGS}\nimport Greetings")
    cell = notebook.run('Greeting("Ada").said(times: 0)')
    assert "precondition failure" in cell.error["evalue"]
    assert 'precondition(times > 0, "a greeting is said at least once")' in cell.traceback


def test_internal_declarations_of_a_package_stay_hidden(notebook):
    notebook.run(f"%package {GREETINGS} Greetings\nimport Greetings")
    assert notebook.run("extension Int { func thrice() -> Int { self * 30 } }\n1.thrice()").value == "30"


def test_a_package_of_a_repository_comes_in_the_version_named(start, repository):
    notebook = start()
    cell = notebook.run(f'%package {repository} 1.1.0\nimport Greetings\nGreeting("Ada").said(times: 1)')
    assert cell.value == '"good day Ada"'
    assert "1.1.0 is loaded" in notebook.run(f"%package {repository} 1.0.0").error["evalue"]


def test_a_package_of_a_repository_needs_a_version_that_there_is(notebook):
    assert "no version was given" in notebook.run("%package https://example.com/a/b.git").error["evalue"]
    assert "Name one in full" in notebook.run("%package https://example.com/a/b.git main").error["evalue"]


def test_a_package_that_changed_is_built_again(start, tmp_path):
    package = tmp_path / "Greetings"
    shutil.copytree(GREETINGS, package, ignore=shutil.ignore_patterns(".build"))
    imported = f'%package {package}\nimport Greetings\nGreeting("Ada").said(times: 1)'
    assert start().run(imported).value == '"hello Ada"'
    source = package / "Sources/Greetings/Greeting.swift"
    source.write_text(source.read_text().replace("hello", "good day"))
    assert start().run(imported).value == '"good day Ada"'


def test_a_package_that_does_not_build_tells_the_compilers_error(notebook, tmp_path):
    package = tmp_path / "Broken"
    shutil.copytree(GREETINGS, package, ignore=shutil.ignore_patterns(".build"))
    (package / "Sources/Greetings/Greeting.swift").write_text("let x: Int = nonsense\n")
    cell = notebook.run(f"%package {package}")
    assert cell.error["ename"] == "Package error"
    assert "does not build" in cell.traceback and "cannot find 'nonsense'" in cell.traceback


def test_a_folder_without_a_package_is_told(notebook, tmp_path):
    assert f"no Package.swift in {tmp_path}" in notebook.run(f"%package {tmp_path}").error["evalue"]
