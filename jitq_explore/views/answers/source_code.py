"""The user's own Python line that a node comes from, with a few lines around it."""

from __future__ import annotations

import linecache
from collections.abc import Iterator

from jitq_explore.snapshots.graph import Node
from jitq_explore.snapshots.lineage import sources_of
from jitq_explore.snapshots.source import is_library, short_source
from jitq_explore.views.answers.pages import Book, Page
from jitq_explore.views.answers.sections import code_line
from jitq_explore.views.printable import printable

_AROUND = 3
_MOST = 4
"""Places that a fused kernel shows."""

_SUFFIX = ".py"


def source_section(book: Book, page: Page, node: Node, gone: bool) -> Iterator[dict[str, object]]:
    """A section for each of the lines that the node stands for."""
    recording, stage = book.origin(page.name, gone)
    graph = page.snapshot(gone).graph()
    places = dict.fromkeys(
        source.rpartition(":")[0] for source in sources_of(recording, stage, node.id)
    )
    for place in list(places)[:_MOST]:
        known = _known_text(book, place) or graph.line_of(f"{place}:0")
        lines = list(_lines(place, known))
        if lines:
            whose = "torch's own code" if is_library(place) else "your own code"
            yield {
                "type": "code",
                "title": printable(short_source(f"{place}:0")),
                "hint": f"The line of {whose} that it comes from: {printable(place)}",
                "lines": lines,
            }


def _known_text(book: Book, place: str) -> str:
    """The text of the line as the model keeps it, whichever stage still has it."""
    for page in book.pages.values():
        text = page.graph.lines.get(place, "")
        if text:
            return text
    return ""


def _lines(place: str, known: str) -> Iterator[dict[str, object]]:
    """The line and those around it, where the file still has what the model itself keeps of it.

    Where that is not known either there is no telling whether it is the same file.
    """
    name, _, number_text = place.rpartition(":")
    number = int(number_text) if number_text.isdigit() else 0
    around = _read(name) if number else []
    is_there = 0 < number <= len(around)
    if is_there and known and around[number - 1].strip() == known.strip():
        for each in range(max(1, number - _AROUND), min(len(around), number + _AROUND) + 1):
            yield code_line(around[each - 1], each, each == number)
    elif known:
        yield code_line(known, number or None, True)
    elif number:
        yield code_line(f"line {number} of {name} (not readable here)", number, True)


def _read(name: str) -> list[str]:
    """The lines of a Python file, or of a notebook's cell; none for what is neither.

    A recording may come from anywhere: it shall not make the page show other files.
    """
    if not name.endswith(_SUFFIX) and name not in linecache.cache:
        return []
    linecache.checkcache(name)
    return [line.rstrip("\n") for line in linecache.getlines(name)]
