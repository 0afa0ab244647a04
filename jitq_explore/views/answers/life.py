"""The life of a node through the stages, a row each."""

from __future__ import annotations

from collections.abc import Sequence

from jitq_explore.snapshots.graph import Node
from jitq_explore.snapshots.lineage import lineage
from jitq_explore.snapshots.lives import Event
from jitq_explore.views.answers.pages import Book, Page
from jitq_explore.views.printable import printable, shorten_end

_LONG = 240


def life_section(book: Book, page: Page, node: Node, gone: bool) -> dict[str, object]:
    """What each stage did to the node; each row leads to the node at that stage."""
    recording, stage = book.origin(page.name, gone)
    life = lineage(recording, node.id, stage)
    by_stage: dict[str, list[Event]] = {}
    for event in life.steps:
        by_stage.setdefault(event.stage, []).append(event)
    rows = [_row(book, name, events, page) for name, events in by_stage.items()]
    return {
        "type": "life",
        "title": "Life through the stages",
        "hint": "What each stage did to it, and to what it was made of or became part of",
        "rows": rows,
    }


def _row(book: Book, stage: str, events: Sequence[Event], shown: Page) -> dict[str, object]:
    said = dict.fromkeys(f"{event.what} {event.detail}".strip() for event in events)
    page = book.pages.get(stage)
    nodes = dict.fromkeys(node.id for event in events for node in event.nodes_after)
    old = dict.fromkeys(node.id for event in events for node in event.nodes_before)
    there = [each for each in nodes if page is not None and each in page.graph.by_id]
    taken = [each for each in old if page is not None and each in page.removed_by_id]
    return {
        "stage": stage,
        "what": shorten_end(printable("; ".join(said)), _LONG),
        "nodes": there or taken,
        "gone": not there and bool(taken),
        "here": stage == shown.name,
    }
