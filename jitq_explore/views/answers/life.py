"""The life of a node through the stages, a row each."""

from __future__ import annotations

from collections.abc import Sequence

from jitq_explore.snapshots.graph import Node
from jitq_explore.snapshots.lineage import lineage
from jitq_explore.snapshots.lives import Event
from jitq_explore.snapshots.recording import Recording
from jitq_explore.views.answers.pages import Book, Page, shown
from jitq_explore.views.answers.wording import without_packed_names
from jitq_explore.views.printable import printable, shorten_end

_LONG = 240


def life_section(book: Book, page: Page, node: Node, gone: bool) -> dict[str, object]:
    """What each stage did to the node; each row leads to the node at that stage."""
    recording, stage = book.origin(page.name, gone)
    life = lineage(recording, node.id, stage)
    by_stage: dict[str, list[Event]] = {}
    for event in life.steps:
        by_stage.setdefault(event.stage, []).append(event)
    rows = [
        _row(book, recording, book.pages.get(name), events) for name, events in by_stage.items()
    ]
    for row in rows:
        row["here"] = row["stage"] == page.name
    return {
        "type": "life",
        "title": "Life through the stages",
        "hint": "What each stage did to it, and to what it was made of or became part of",
        "rows": rows,
    }


def _row(
    book: Book, recording: Recording, page: Page | None, events: Sequence[Event]
) -> dict[str, object]:
    said = dict.fromkeys(f"{event.what} {event.detail}".strip() for event in events)
    if len(said) > 1:
        said.pop("survived", None)
    new = list(dict.fromkeys(node.id for event in events for node in event.nodes_after))
    old = list(dict.fromkeys(node.id for event in events for node in event.nodes_before))
    there, gone = shown(book, page, recording, new) if page is not None else ([], [])
    if page is not None and len(book.runs) == 1:
        gone = [each for each in old if each in page.removed_by_id]
    return {
        "stage": events[0].stage,
        "what": shorten_end(printable(without_packed_names("; ".join(said))), _LONG),
        "nodes": there or gone,
        "gone": bool(gone) and not there,
    }
