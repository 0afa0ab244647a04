"""A deep recording while a notebook's kernel runs, which reads standard error itself."""

from __future__ import annotations

import sys

import nbformat
from nbclient import NotebookClient

DEEP = """
import sys
sys.path[:0] = {path!r}
import os, threading, torch
import jitq_explore as jq
from runs import session
os.write(2, b"before\\n")
recording = session("residual", deep=True).run()
os.write(2, b"after\\n")
print([len(stage.steps) for stage in recording], repr(torch._C._jit_get_logging_option()))
"""


def test_it_ends_and_standard_error_is_the_kernels_again(tmp_path, monkeypatch):
    # With this a kernel leaves standard error alone.
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    source = DEEP.format(path=[path for path in sys.path if "tests" in path])
    cells = [nbformat.v4.new_code_cell(text) for text in (source, "print('alive')")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    said = {"stdout": "", "stderr": ""}
    for cell in notebook.cells:
        for output in cell.outputs:
            if output.output_type == "stream":
                said[output.name] += output.text
    assert "[2, 3, 0, 19, 9, 0, 0] ''\n" in said["stdout"]
    assert "alive" in said["stdout"]
    assert [line for line in said["stderr"].split() if line in ("before", "after")] == [
        "before",
        "after",
    ]
    assert "subgraph_matcher" not in said["stderr"]
