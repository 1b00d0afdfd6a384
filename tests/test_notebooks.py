"""The notebooks run from start to end and show what they promise."""

from pathlib import Path

import jupytext
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parent.parent / "notebooks"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
@pytest.mark.filterwarnings("default")  # Jupyter's own, which are not ours to mend
def test_a_notebook_runs_and_every_cell_with_a_result_shows_one(path, tmp_path):
    notebook = jupytext.read(path)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) >= 3
    assert all(cell.outputs for cell in code[2:])


def test_there_are_notebooks_for_a_first_diagram_for_reading_and_for_comparing():
    assert {path.stem for path in FOLDER.glob("*.py")} >= {"first_diagram", "reading_a_diagram", "comparing_runs"}
