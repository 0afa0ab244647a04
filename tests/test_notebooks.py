"""Every notebook runs from top to bottom, its hidden solutions too, within a minute."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
SECONDS = 60

_SOLUTION = re.compile(r"<details>.*?```python\n(.*?)```.*?</details>", re.DOTALL)

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@each_notebook
def test_it_and_its_solutions_run_and_print_nothing_red(path, tmp_path):
    notebook = _with_solutions(nbformat.read(path, as_version=4))
    # Away from the checkout, so that it depends on the installed package alone.
    client = NotebookClient(
        notebook, timeout=2 * SECONDS, resources={"metadata": {"path": str(tmp_path)}}
    )
    # Of the kernel's own time: what else the machine has to do does not count.
    notebook.cells.append(new_code_cell("import time\nprint(time.process_time())"))
    client.execute()
    assert float(notebook.cells[-1].outputs[0].text) < SECONDS
    red = [
        output.text
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream" and output.name == "stderr"
    ]
    assert not red
    pictures = [output.data for cell in notebook.cells for output in _shown(cell)]
    assert not [
        data for data in pictures if data.keys() == {"text/plain"} and "<Figure" in str(data)
    ]


@each_notebook
def test_it_asks_a_question_and_ends_with_its_answer(path):
    cells = nbformat.read(path, as_version=4).cells
    assert "**The question:**" in cells[0].source
    assert cells[-1].source.startswith("## The answer")


@each_notebook
def test_every_exercise_has_room_for_an_answer_and_a_hidden_solution(path):
    cells = nbformat.read(path, as_version=4).cells
    exercises = [n for n, cell in enumerate(cells) if cell.source.startswith("## Exercise")]
    assert exercises
    for n in exercises:
        assert cells[n + 1].source == "# your turn"
        assert _solutions(cells[n + 2])


def _shown(cell: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for output in cell.get("outputs", []) if "data" in output]


def _with_solutions(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook as somebody runs it who types every solution in."""
    cells = []
    for cell in notebook.cells:
        cells += [cell, *map(new_code_cell, _solutions(cell))]
    notebook.cells = cells
    return notebook


def _solutions(cell: nbformat.NotebookNode) -> list[str]:
    return _SOLUTION.findall(cell.source) if cell.cell_type == "markdown" else []
