"""How much each node of a stage loses, for the colours of its box."""

from __future__ import annotations

import math
from collections.abc import Iterator

from jitq_explore.snapshots.numerics import ErrorRow
from jitq_explore.snapshots.recording import Recording
from jitq_explore.views.answers.pages import Book, Page, shown
from jitq_explore.views.answers.whereabouts import of_errors, telling_stages
from jitq_explore.views.answers.wording import plain_number

BANDS = (50, 40, 30, 20, 10)
"""dB, where one colour ends and the next begins: about two bits each, the same for every model."""


def errors(book: Book, stage: Page) -> dict[str, object]:
    """The answer to "errors"; `stage` in it is the one whose errors are shown, "" for none.

    Where two runs are compared, `nodes` are about the second, `before` about the first, whose nodes
    are known by their partners, or by their own ids where they have none.
    """
    recording, name = book.origin(stage.name, False)
    return {
        "stage": telling_stages(recording).get(name, ""),
        "bands": list(BANDS),
        "nodes": {node: _numbers(row) for node, row in _worst(recording, name).items()},
        "before": _before(book, stage) if len(book.runs) > 1 and stage.only is None else None,
    }


def _before(book: Book, page: Page) -> dict[str, dict[str, object]]:
    """Of the first of two runs."""
    first = book.runs[0]
    found: dict[str, dict[str, object]] = {"nodes": {}, "gone": {}}
    for node, row in _worst(first, page.name).items():
        for where, ids in zip(found.values(), shown(book, page, first, [node]), strict=True):
            where |= {each: _numbers(row) for each in ids}
    return found


def _worst(recording: Recording, stage: str) -> dict[str, ErrorRow]:
    """Id of a node of that stage -> of the rows about it the one that loses most there."""
    found: dict[str, ErrorRow] = {}
    teller = telling_stages(recording).get(stage)
    for row, ids in _rows(recording, stage):
        for node in ids if row.stage == teller else ():
            if node not in found or _own(row) < _own(found[node]):
                found[node] = row
    return found


def _rows(recording: Recording, stage: str) -> Iterator[tuple[ErrorRow, list[str]]]:
    """The rows, in the order of the numerics table, with their nodes at that stage."""
    measured = recording.numerics
    if measured is None:
        return
    where = iter(of_errors(recording))
    for name in measured.stages:
        for row in measured.at(name):
            yield row, next(where).by_stage.get(stage, [])
        for output in measured.outputs:
            if output.stage == name:
                next(where)  # of no node


def _own(row: ErrorRow) -> float:
    return math.inf if math.isnan(row.own_sqnr) else row.own_sqnr


def _numbers(row: ErrorRow) -> dict[str, object]:
    """dB; null for what is unknown."""
    return {
        name: None if math.isnan(value) else plain_number(round(value, 2))
        for name, value in (
            ("own", row.own_sqnr), ("inherited", row.inherited_sqnr), ("all", row.sqnr)
        )
    }  # fmt: skip
