"""All that is known of one node, in sections."""

from __future__ import annotations

from collections.abc import Iterator

from jitq_explore.snapshots.graph import Node
from jitq_explore.snapshots.lineage import module_of
from jitq_explore.views.answers.life import life_section
from jitq_explore.views.answers.operation import operation_sections
from jitq_explore.views.answers.pages import AskError, Book, Page
from jitq_explore.views.answers.quantization import quantization_sections
from jitq_explore.views.answers.source_code import source_section
from jitq_explore.views.answers.why import why_section
from jitq_explore.views.labels import kind_of
from jitq_explore.views.printable import printable


def details(book: Book, stage: Page, node: object, gone: object = False) -> dict[str, object]:
    """The answer to "details"."""
    if not isinstance(gone, bool):
        raise AskError(f"gone must be true or false, not {gone!r}")
    key = "details", stage.name, node, gone
    if key not in book.kept:
        book.kept[key] = _details(book, stage, stage.node(node, gone), gone)
    found: dict[str, object] = book.kept[key]
    return found


def _details(book: Book, page: Page, node: Node, gone: bool) -> dict[str, object]:
    recording, stage = book.origin(page.name, gone)
    module = module_of(recording, stage, node.id)
    known = (page.snapshot(gone), recording.input)
    state = next(filter(None, (snapshot.by_path.get(module) for snapshot in known)), None)
    return {
        "title": kind_of(node),
        "status": str(page.status(node, gone)),
        "module": printable(module),
        "moduleClass": printable(state.short_class) if state is not None else "",
        "sections": list(_sections(book, page, node, gone)),
    }


def _sections(book: Book, page: Page, node: Node, gone: bool) -> Iterator[dict[str, object]]:
    yield from why_section(book, page, node, gone)
    yield from operation_sections(page, node, gone)
    yield from quantization_sections(book, page, node, gone)
    yield from source_section(book, page, node, gone)
    yield life_section(book, page, node, gone)
