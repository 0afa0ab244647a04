"""`to_html`: a recording, or two compared, as a page of its own."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jitq_explore.snapshots.pause import collector_paused
from jitq_explore.snapshots.recording import Recording
from jitq_explore.snapshots.writing import check_target, replace_file
from jitq_explore.views import page
from jitq_explore.views.answers import Answers
from jitq_explore.views.html.contents import answer_key, contents_of
from jitq_explore.views.html.document import Document
from jitq_explore.views.html.packing import packed
from jitq_explore.views.printable import printable

_FOLDER = Path(__file__).parent
_COLUMNS = ("stage", "nodes", "added", "removed", "changed", "seconds", "what happened")


def to_html(
    recording: Recording,
    path: str | os.PathLike[str],
    other: Recording | None = None,
    names: tuple[str, str] = ("A", "B"),
) -> Path:
    """Write the explorer of a recording as one HTML file, at once or not at all; returns the path.

    With `other` the two runs are compared, stage by stage, and called by `names`. The page holds
    all it shows and loads nothing; it can be opened from a disk, in any browser of 2023 or later.
    An existing file is replaced. FileNotFoundError where the folder does not exist,
    IsADirectoryError where the path is a folder, TypeError for anything but recordings, ValueError
    where both names are the same.
    """
    for given in (recording,) if other is None else (recording, other):
        if not isinstance(given, Recording):
            raise TypeError(
                f"to_html takes a Recording, not a {type(given).__name__}: session.recording, "
                "jq.load(path), or one of jq.record()'s recorder.recordings"
            )
    path = Path(path)
    check_target(path)
    with collector_paused():
        if other is None:
            answers = Answers.of(recording)
        else:
            answers = Answers.of_pair(recording, other, names)
        replace_file(path, page_of(answers).encode())
    return path


def page_of(answers: Answers) -> str:
    """The text of the file."""
    contents = contents_of(answers)
    run_key = answer_key("run", {})
    run = contents.answers[run_key]
    shown = _last_change(run["stages"])
    drawn = contents.answers[
        answer_key("drawing", {"stage": shown, "folds": None, "side": "union"})
    ]
    facts = [*run["facts"], _said_of_states(len(contents.states))]
    contents.answers[run_key] = {**run, "facts": facts}
    return Document(
        title=printable(run["title"]),
        sentence=printable(
            f"{', '.join(facts)}. What follows is a summary: with JavaScript this is the explorer, "
            "with the graph of every stage."
        ),
        columns=_COLUMNS,
        rows=[_row(stage) for stage in run["stages"]],
        caption=printable(f"What {shown} did"),
        picture=drawn["svg"],
        style=page.style() + _read("standalone.css"),
        script=page.script() + _read("unpack.js") + _read("start.js"),
        answers=packed({"answers": contents.answers, "states": contents.states}),
    ).html()


def _said_of_states(count: int) -> str:
    if count < 1:
        return "no drawings"
    return f"{count} fold states in this file" if count > 1 else "1 fold state in this file"


def _last_change(stages: Sequence[Mapping[str, Any]]) -> str:
    """The name of the last stage that changed the graph, else of the last."""
    changed = [s["name"] for s in stages if s["added"] or s["removed"] or s["changed"]]
    name: str = (changed or [stages[-1]["name"]])[-1]
    return name


def _row(stage: Mapping[str, Any]) -> list[str]:
    error = stage["error"]
    counts = [str(stage[name]) for name in ("nodes", "added", "removed", "changed")]
    seconds = "" if stage["seconds"] is None else f"{stage['seconds']:.3f}"
    said = error["message"] if error else stage["sentence"]
    return [printable(cell) for cell in (stage["name"], *counts, seconds, said)]


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
