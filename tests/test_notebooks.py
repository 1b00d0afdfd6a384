"""The notebooks run from start to end and show what they promise."""

from pathlib import Path

import jupytext
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.py"))


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """What the code cells of each notebook show: one kernel, which imports everything once, runs them one by one."""
    notebooks = {path.stem: jupytext.read(path) for path in NOTEBOOKS}
    whole = new_notebook()
    for name, notebook in notebooks.items():
        whole.cells += [new_code_cell(f"%reset -f\n%cd -q {tmp_path_factory.mktemp(name)}"), *notebook.cells]
    NotebookClient(whole, timeout=300, kernel_name="python3").execute()
    return {
        name: [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
        for name, notebook in notebooks.items()
    }


@pytest.mark.parametrize("name", [path.stem for path in NOTEBOOKS])
@pytest.mark.filterwarnings("default")  # Jupyter's own, which are not ours to mend
def test_a_notebook_runs_and_every_cell_with_a_result_shows_one(outputs, name):
    shown = outputs[name]
    assert len(shown) >= 3
    assert all(shown[2:])


def test_there_are_notebooks_for_a_first_diagram_for_reading_and_for_comparing():
    assert {path.stem for path in NOTEBOOKS} >= {"first_diagram", "reading_a_diagram", "comparing_runs"}
