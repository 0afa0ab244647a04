"""The scoreboard's report, of measurements made up here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from peers_report import Board, write_report
from peers_ways import STAGES, TOOLS


def run(marks: int, seconds: float = 1.0, error: str = "") -> dict[str, Any]:
    counts = {"marks": marks, "of": 20, "nodes": 1234, "bytes": 2048}
    return {**counts, "seconds": seconds, "start": 2.0, "browser": 0.5, "error": error}


def found(**stages: list[dict[str, Any]]) -> dict[str, Any]:
    """What was measured of all tools, the same of each."""
    cells = [
        {"tool": tool, "way": "file", "net": "resnet18", "stage": stage, "runs": stages[stage]}
        for tool in TOOLS
        for stage in STAGES
    ]
    pairs = {"float → final": {tool: [1, 2, 3, 4] for tool in ("jitq_explore", "print + difflib")}}
    return {"versions": {"torch": "2"}, "cells": cells, "differences": {"resnet18": pairs}}


MEASURED = found(
    float=[run(20, 3.0), run(20, 1.0)],
    prepared=[run(17)],
    debug=[run(0, error="TypeError: no | pipe\nmore")],
    final=[run(18)],
)


@pytest.mark.parametrize(
    ("stage", "shown"), [("float", True), ("prepared", False), ("debug", False), ("final", True)]
)
def test_stage_is_shown_from_nine_tenths_of_its_marks(stage, shown):
    assert Board(MEASURED).cell("Netron", "resnet18", stage).shown is shown


def test_way_that_shows_the_stage_is_preferred_to_a_quicker_one_that_does_not():
    cells = [{"tool": "Netron", "net": "resnet18", "stage": "float"} | more for more in (
        {"way": "object", "runs": [run(3, 0.1)]}, {"way": "file", "runs": [run(20, 9.0)]}
    )]  # fmt: skip
    assert Board({"cells": cells}).cell("Netron", "resnet18", "float").way == "file"


def test_report_fills_the_readme_and_nothing_else_of_it(tmp_path: Path):
    readme, folder = tmp_path / "README.md", tmp_path / ".board"
    folder.mkdir()
    readme.write_text("before\n<!-- peers -->\nold\n<!-- /peers -->\nafter\n")
    write_report(MEASURED, folder, readme)
    text = readme.read_text("utf-8")
    assert text.startswith("before\n<!-- peers -->\n<picture>")
    assert text.endswith("<!-- /peers -->\nafter\n")
    assert "\nold\n" not in text
    assert "| Netron | 2 | no | no | 1.0 / 1.0 | 2.5 / 2.5 | 1,234 | 2 KB |" in text
    assert (folder / "peers-dark.svg").read_text().count("<svg") == 1


def test_report_keeps_what_the_tool_said_in_one_cell(tmp_path: Path):
    write_report(MEASURED, tmp_path, None)
    said = "| Netron | file | debug | TypeError: no ¦ pipe |"
    assert said in (tmp_path / "peers.md").read_text("utf-8")


def test_readme_without_a_place_for_it_is_refused(tmp_path: Path):
    readme = tmp_path / "README.md"
    readme.write_text("nothing")
    with pytest.raises(SystemExit, match="<!-- peers -->"):
        write_report(MEASURED, tmp_path, readme)
