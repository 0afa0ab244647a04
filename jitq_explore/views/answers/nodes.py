"""All nodes of a stage in a list: what a search looks through and a hover card says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate

from jitq_explore.snapshots.diff import Match
from jitq_explore.snapshots.graph import (
    Graph,
    Node,
    attribute_path,
    constant_value,
    show_attribute,
)
from jitq_explore.snapshots.lineage import module_of
from jitq_explore.snapshots.source import short_source
from jitq_explore.views import labels
from jitq_explore.views.answers.conditions import condition_of
from jitq_explore.views.answers.pages import Book, Page
from jitq_explore.views.answers.wording import is_packed_name
from jitq_explore.views.boxes import Status
from jitq_explore.views.printable import printable, shorten_end
from jitq_explore.views.wiring import Wiring

_WIDTH = 90


def nodes(book: Book, stage: Page) -> list[dict[str, object]]:
    """The answer to "nodes"."""
    if "nodes" not in stage.kept:
        stage.kept["nodes"] = _told_apart([*_there(book, stage), *_gone(book, stage)], stage)
    found: list[dict[str, object]] = stage.kept["nodes"]
    return found


def _there(book: Book, page: Page) -> Iterator[dict[str, object]]:
    wiring = page.scene.wiring
    matches = page.diff.match_after if page.diff is not None else {}
    before = page.diff.before if page.diff is not None else page.graph
    for node in page.graph.nodes:
        match = matches.get(node.id)
        said = words_of(node, page.graph, _old_words(match, before) if match else "")
        yield _entry(book, page, node, wiring, said, False)


def _gone(book: Book, page: Page) -> Iterator[dict[str, object]]:
    if page.diff is None:
        return
    before = page.diff.before
    wiring = Wiring(before) if "_wiring" not in before.__dict__ else before.__dict__["_wiring"]
    for node in page.removed:
        yield _entry(book, page, node, wiring, words_of(node, before), True)


def _told_apart(entries: list[dict[str, object]], page: Page) -> list[dict[str, object]]:
    """Of changed nodes whose titles are alike "where" tells which is which: the module and, where
    that is the same as well, the line of the user's own code."""
    for alike in _alike(entries, "status", "title"):
        in_one_module = {id(entry) for group in _alike(alike, "module") for entry in group}
        for entry in alike:
            node = page.removed_by_id if entry["gone"] else page.graph.by_id
            source = printable(short_source(node[str(entry["id"])].source))
            line = source if id(entry) in in_one_module else ""
            entry["where"] = " · ".join(filter(None, (str(entry["module"]), line)))
    return entries


def _alike(entries: Iterable[dict[str, object]], *keys: str) -> Iterator[list[dict[str, object]]]:
    """The changed entries in groups that agree in those keys; none of a single one."""
    groups: dict[tuple[object, ...], list[dict[str, object]]] = {}
    for entry in entries:
        if entry["status"] != str(Status.SAME):
            groups.setdefault(tuple(entry[key] for key in keys), []).append(entry)
    return (group for group in groups.values() if len(group) > 1)


def _entry(
    book: Book, page: Page, node: Node, wiring: Wiring, words: str, gone: bool
) -> dict[str, object]:
    recording, stage = book.origin(page.name, gone)
    return {
        "id": node.id,
        "gone": gone,
        "kind": printable(node.kind),
        "module": printable(node.module_path),
        "status": str(page.status(node, gone)),
        "title": title_of(
            node, wiring, lambda: module_of(recording, stage, _owner(node, wiring.graph))
        ),
        "words": words,
    }


def title_of(node: Node, wiring: Wiring, module: Callable[[], str]) -> str:
    """A node in a line: what it does, what its result is called, and its settings. `module` tells
    the path of the one that it belongs to."""
    graph = wiring.graph
    name = f"%{printable(graph.values[node.outputs[0]].debug_name)}" if node.outputs else ""
    if node.kind in ("prim::Constant", "prim::GetAttr"):
        shown = labels.operand(node.outputs[0], graph, wiring.folded) or ""
        is_made_up = is_packed_name(shown)
        parts = [f"{labels.title_of(node)} {_packed('weight', module) if is_made_up else shown}"]
        parts += [] if is_made_up else [name]
    elif node.is_observer:
        parts = [labels.title_of(node), f"of {printable(_observed(node, graph))}"]
    elif node.kind == "prim::If":
        parts = [f"{labels.title_of(node)} {printable(condition_of(node, graph))}", name]
    elif node.kind == "prim::RaiseException":
        parts = [labels.title_of(node), printable(_message(node, graph))]
    elif node.id in wiring.folded:
        parts = [labels.title_of(node), name]
    else:
        lines = labels.detail_lines(node, graph, wiring.folded)
        parts = [labels.title_of(node), name, *(_plain(line, module) for line in lines)]
    return _fitting(" · ".join(filter(None, parts)).split(" · "))


def _message(node: Node, graph: Graph) -> str:
    """What is raised, with {} for what is known at run time alone."""
    message = node.inputs[0]
    made = graph.producers.get(message)
    if made is not None and made.kind == "aten::format":
        message = made.inputs[0]
    found = constant_value(graph, message)
    return show_attribute(found[0]) if found else ""


def _fitting(parts: Sequence[str]) -> str:
    """As many of the parts as there is room for."""
    lines = list(accumulate(parts, "{} · {}".format))
    return next((line for line in reversed(lines) if len(line) <= _WIDTH), None) or shorten_end(
        lines[0], _WIDTH
    )


def _owner(node: Node, graph: Graph) -> str:
    """Whose module tells where the node belongs: of what is read from the model, who takes it."""
    users = graph.consumers.get(node.outputs[0], ()) if node.kind == "prim::GetAttr" else ()
    return users[0].id if users else node.id


def _observed(observer: Node, graph: Graph) -> str:
    """A weight by its place in the model: many are called %weight.1."""
    place = attribute_path(graph, observer.inputs[0]) if observer.inputs else None
    return place or f"%{observer.attributes.get('value', '')}"


def _plain(line: str, module: Callable[[], str]) -> str:
    """A line of a label; of a packed weight whose it is, not what torch calls it."""
    what, _, path = line.partition(": ")
    if not is_packed_name(path):
        return line
    return _packed(what, module)


def _packed(what: str, module: Callable[[], str]) -> str:
    return f"packed {what} of {printable(module() or 'the model itself')}"


def words_of(node: Node, graph: Graph, more: str = "") -> str:
    """What can be searched for in a node, in small letters."""
    values = node.outputs + (node.inputs if node.is_observer else ())
    names = (graph.values[value].debug_name for value in values)
    observer = map(str, node.attributes.values()) if node.is_observer else ()
    parts = (node.kind, node.module_path, *values, *names, *observer, more)
    return " ".join(dict.fromkeys(" ".join(parts).casefold().split()))


def _old_words(match: Match, before: Graph) -> str:
    """What a node is found by that was called otherwise before."""
    return " ".join(words_of(node, before) for node in match.before)
