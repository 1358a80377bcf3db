"""The package that this kernel's folder lies in, where it does: the kernel itself needs none."""

import pytest
from conftest import KERNEL, Notebook, install

PACKAGE = KERNEL.parent


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    if not (PACKAGE / "Sources/LoRAKit").exists():
        pytest.skip("the kernel stands alone")
    prefix = tmp_path_factory.mktemp("prefix")
    installed = install(prefix, "--package", PACKAGE)
    assert installed.returncode == 0, installed.stderr
    notebook = Notebook(prefix / "share/jupyter/kernels")
    notebook.run("import LoRAKit\nvar generator = SeededGenerator(seed: 0)")
    yield notebook
    notebook.close()


def test_a_broken_contract_is_told_with_its_words_and_the_cells_line(notebook):
    cell = notebook.run("let a = Tensor.zeros([2, 3])\nlet b = Tensor.zeros([5, 4])\n\nlet c = a.matmul(b)")
    assert cell.error["ename"] == "Fatal error"
    assert cell.error["evalue"].startswith("matmul: ") and "[2, 3]" in cell.error["evalue"] and "[5, 4]" in cell.error["evalue"]
    lines = cell.traceback.splitlines()
    assert lines[1].endswith(", line 4: let c = a.matmul(b)"), "the cell's own line comes first"


def test_a_model_is_shown_as_its_layers(notebook):
    shown = notebook.run(
        "let model = DigitClassifier(using: &generator)\n"
        "try model.attach(LoRAConfiguration(rank: 2, alpha: 6), to: .names([\"hidden1\"]), using: &generator)\nmodel"
    ).result
    assert "LoRA, rank 2, scale 3.0" in shown["text/plain"] and "[1000, 784]" in shown["text/plain"]
    assert "2,807,010" in shown["text/plain"] and "<table" in shown["text/html"]


def test_a_data_set_is_shown_as_a_contact_sheet_at_once(notebook):
    cell = notebook.run("let digits = try MNIST.sample()\ndigits")
    assert "4,000 images" in cell.value and "1,000 images" in cell.value and len(cell.value) < 2000
    assert cell.result["text/html"].count("data:image/png") == 20
    assert cell.seconds < 3
