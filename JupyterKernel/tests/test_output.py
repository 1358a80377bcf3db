"""What a cell prints and displays arrives while it runs, in its order, and within bounds."""

import base64


def test_output_is_streamed_while_the_cell_runs(notebook):
    code = 'import Foundation\nfor i in 1...3 { print("step", i); usleep(300_000) }'
    cell = notebook.run(code)
    times = [time for kind, _, time in cell.messages if kind == "stream"]
    assert cell.stdout == "step 1\nstep 2\nstep 3\n"
    assert len(times) == 3 and times[-1] - times[0] > 0.5


def test_standard_error_is_told_apart(notebook):
    cell = notebook.run('import Foundation\nfputs("careful\\n", stderr)\nprint("fine")')
    assert (cell.stdout, cell.stderr) == ("fine\n", "careful\n")


def test_what_a_child_process_prints_is_shown(notebook):
    assert notebook.run('import Foundation\nsystem("echo from the shell");').stdout == "from the shell\n"


def test_a_progress_bar_redraws_in_place(notebook):
    code = 'for i in 1...3 { print("\\r\\(i)/3", terminator: "") }\nprint()'
    assert notebook.run(code).stdout == "\r1/3\r2/3\r3/3\n"


def test_text_and_displays_keep_their_order(notebook):
    cell = notebook.run('print("a")\ndisplay(1)\nprint("b")\ndisplay(2)\nprint("c")\n3')
    seen = [
        content.get("text") or content["data"]["text/plain"]
        for kind, content, _ in cell.messages
        if kind in ("stream", "display_data", "execute_result")
    ]
    assert seen == ["a\n", "1", "b\n", "2", "c\n", "3"]


def test_long_text_comes_before_the_display_that_follows_it(notebook):
    cell = notebook.run('print(String(repeating: "x", count: 300_000))\ndisplay(1)')
    kinds = [kind for kind, *_ in cell.messages if kind in ("stream", "display_data")]
    assert kinds[-1] == "display_data" and len(cell.stdout) == 300_001


def test_a_display_with_the_same_name_is_updated_in_place(notebook):
    cell = notebook.run('for i in 1...2 { display(.html("<b>\\(i)</b>"), id: "bar") }')
    kinds = [(kind, content["transient"]) for kind, content, _ in cell.messages if "display" in kind]
    assert kinds == [("display_data", {"display_id": "bar"}), ("update_display_data", {"display_id": "bar"})]


def test_clear_output_is_passed_on(notebook):
    cell = notebook.run('print("old")\nclearOutput()\nprint("new")')
    assert [kind for kind, *_ in cell.messages if kind in ("stream", "clear_output")] == ["stream", "clear_output", "stream"]


def test_html_svg_markdown_latex_and_pictures_are_displayed(notebook):
    cell = notebook.run(
        "import Foundation\n"
        'display(.html("<b>h</b>"))\ndisplay(.svg("<svg/>"))\ndisplay(.markdown("*m*"))\ndisplay(.latex("$x$"))\n'
        "display(.png(Data([137, 80, 78, 71])))"
    )
    assert [{key: value for key, value in data.items() if key != "text/plain"} for data in cell.displays] == [
        {"text/html": "<b>h</b>"},
        {"image/svg+xml": "<svg/>"},
        {"text/markdown": "*m*"},
        {"text/latex": "$x$"},
        {"image/png": base64.b64encode(bytes([137, 80, 78, 71])).decode()},
    ]


def test_a_type_offers_its_picture_through_the_standard_library_alone(notebook):
    notebook.run(
        "struct Chart: CustomPlaygroundDisplayConvertible {\n"
        '  let bars: Int\n  var playgroundDescription: Any { ["image/svg+xml": "<svg>\\(bars)</svg>", "text/plain": "chart"] }\n}\n'
        "struct Report: CustomPlaygroundDisplayConvertible { var playgroundDescription: Any { Chart(bars: 9) } }"
    )
    assert notebook.run("Chart(bars: 3)").result == {"image/svg+xml": "<svg>3</svg>", "text/plain": "chart"}
    assert notebook.run("Report()").result["image/svg+xml"] == "<svg>9</svg>"
    assert notebook.run("Chart(bars: 4) as Chart?").result["image/svg+xml"] == "<svg>4</svg>"


def test_a_gigabyte_of_output_is_cut_and_the_cut_is_told(notebook):
    code = 'let line = String(repeating: "x", count: 1 << 20)\nfor _ in 0..<1024 { print(line) }\n"done"'
    cell = notebook.run(code)
    assert cell.value == '"done"'
    assert len(cell.stdout) <= 8 << 20
    assert "1,065,354,240 bytes were dropped" in cell.stderr


def test_displays_without_end_are_cut_too(notebook):
    code = 'let page = String(repeating: "x", count: 1 << 20)\nfor _ in 0..<80 { display(.html(page)) }\n"done"'
    cell = notebook.run(code)
    assert cell.value == '"done"' and 60 <= len(cell.displays) <= 64
    assert "bytes were dropped" in cell.stderr


def test_a_value_of_a_million_numbers_is_cut(notebook):
    cell = notebook.run("Array(0..<1_000_000)")
    assert len(cell.value) < 110_000 and "cut after" in cell.value
