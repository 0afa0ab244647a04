"""The difference of two graphs as lines of text, aligned by which node is which."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from typing import TypeAlias

from jitq_explore.snapshots.diff import GraphDiff, Match
from jitq_explore.snapshots.graph import Block, Graph, Node, graph_rows
from jitq_explore.views.answers.pages import AskError, Book, Page
from jitq_explore.views.printable import printable

Words: TypeAlias = list[list[object]]
"""Pieces of a line, each with whether it is marked."""

_WORD = re.compile(r"%[^\s,()\[\]]+|[\w.:]+|\s+|.")

_NO_CODE = "This recording keeps no TorchScript code: only the graphs, which are shown under “IR”."


def text(book: Book, stage: Page, what: object) -> dict[str, object]:
    """The answer to "text"."""
    if what not in ("ir", "code"):
        raise AskError(f"unknown text {what!r} (must be 'ir' or 'code')")
    if what == "code":
        return {"title": f"Code of {stage.name}", "note": _NO_CODE, "lines": []}
    if "ir" not in stage.kept:
        stage.kept["ir"] = _ir(stage)
    found: dict[str, object] = stage.kept["ir"]
    return found


def _ir(page: Page) -> dict[str, object]:
    note = (
        "One method with all submodules inlined; observers are single nodes. "
        "Lines are paired by which node is which, not by their text."
    )
    if page.diff is None:
        title = f"Graph of {printable(page.name)}"
        return {"title": title, "note": note, "lines": list(_all_the_same(page.graph))}
    old, new = map(printable, page.names)
    lines = list(_Listing(page.diff).lines())
    return {"title": f"{old} → {new}", "note": note, "lines": lines}


def _all_the_same(graph: Graph) -> Iterator[dict[str, object]]:
    for line, about in graph_rows(graph):
        yield _line("same", after=line, node=about)


class _Listing:
    """Both graphs in one listing: in the order of the graph after, what is gone where it stood."""

    def __init__(self, diff: GraphDiff) -> None:
        self.diff = diff
        self.old_lines = {
            about.id: line for line, about in graph_rows(diff.before) if about is not None
        }
        self.renamed = _renamed(diff)
        self.gone = self._gone_after()

    def lines(self) -> Iterator[dict[str, object]]:
        """The lines, those of the graph's inputs and outputs too."""
        old_heads = (line for line, about in graph_rows(self.diff.before) if about is None)
        for line, about in graph_rows(self.diff.after):
            if isinstance(about, Node):
                yield self.node_line(line, about)
                yield from self.gone.get(about.id, ())
            elif about is not None:
                yield self.end_line(line, about)
            else:
                yield self.compared(next(old_heads), line)
                yield from self.gone.pop("", ())

    def node_line(self, line: str, node: Node) -> dict[str, object]:
        """The line of a node of the graph after."""
        match = self.diff.match_after.get(node.id)
        if match is None:
            return _line("added", after=line, node=node)
        if not match.changes:
            return _line("same", after=line, node=node)
        return self.changed(match, line, node)

    def changed(self, match: Match, line: str, node: Node) -> dict[str, object]:
        """Old and new; several old nodes, one behind the other."""
        olds = [self.old_lines[old.id] for old in match.before]
        if match.after[0].id != node.id or len(olds) > 1:
            before = [word for old in olds for word in _whole(old, is_last=old is olds[-1])]
            after = _whole(line)
        else:
            before, after = marked(olds[0], line, self.renamed)
        found = _line("changed", node=node)
        return {**found, "before": before, "after": after}

    def end_line(self, line: str, block: Block) -> dict[str, object]:
        """The line that ends a block: what the block hands on."""
        match = self.diff.match_after.get(block.owner)
        if match is None:
            return _line("added", after=line)
        place = self.diff.after.by_id[block.owner].blocks.index(block.id)
        blocks = match.before[0].blocks
        old = self.old_lines.get(blocks[place]) if place < len(blocks) else None
        return self.compared(old, line) if old is not None else _line("added", after=line)

    def compared(self, old: str, new: str) -> dict[str, object]:
        """A line that belongs to no node."""
        before, after = marked(old, new, self.renamed)
        if not any(is_marked for _, is_marked in (*before, *after)):
            return _line("same", after=new)
        return {**_line("changed"), "before": before, "after": after}

    def _gone_after(self) -> dict[str, list[dict[str, object]]]:
        """Id of a node after ("": the beginning) -> the lines that stood behind it."""
        removed = {node.id for node in self.diff.removed}
        found: dict[str, list[dict[str, object]]] = {}
        anchor = ""
        for line, about in graph_rows(self.diff.before):
            if isinstance(about, Node) and about.id in removed:
                found.setdefault(anchor, []).append(_line("removed", before=line, gone=about))
            elif isinstance(about, Node):
                anchor = self.diff.match_before[about.id].after[-1].id
            elif about is not None and about.owner in removed:
                found.setdefault(anchor, []).append(_line("removed", before=line))
        return found


def marked(old: str, new: str, renamed: Mapping[str, str]) -> tuple[Words, Words]:
    """Two lines in pieces, those that differ marked; a value that was only renamed does not."""
    olds, news = _WORD.findall(old), _WORD.findall(new)
    seen = [renamed.get(word, word) for word in olds]
    matcher = SequenceMatcher(None, seen, news, autojunk=False)
    before: Words = []
    after: Words = []
    for tag, i, j, k, m in matcher.get_opcodes():
        is_marked = tag != "equal"
        _add(before, olds[i:j], is_marked)
        _add(after, news[k:m], is_marked)
    return before, after


def _add(words: Words, more: list[str], is_marked: bool) -> None:
    if more:
        words.append([printable("".join(more)), is_marked])


def _whole(line: str, is_last: bool = True) -> Words:
    """A line that is marked as a whole, but for its indent."""
    text = line.lstrip()
    end = "" if is_last else "\n"
    return [[line[: len(line) - len(text)], False], [printable(text) + end, True]]


def _renamed(diff: GraphDiff) -> dict[str, str]:
    """%old -> %new, of values that are the same in both graphs."""
    found = dict(zip(diff.before.inputs, diff.after.inputs, strict=False))
    for match in diff.matched:
        found.update(zip(match.before[-1].outputs, match.after[0].outputs, strict=False))
    return {f"%{old}": f"%{new}" for old, new in found.items()}


def _line(
    status: str,
    before: str | None = None,
    after: str | None = None,
    node: Node | Block | None = None,
    gone: Node | None = None,
) -> dict[str, object]:
    return {
        "status": status,
        "before": [[printable(before), False]] if before is not None else None,
        "after": [[printable(after), False]] if after is not None else None,
        "node": node.id if isinstance(node, Node) else None,
        "gone": gone.id if gone is not None else None,
    }
