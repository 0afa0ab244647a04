"""The difference of two graphs as lines of text, aligned by which node is which."""

from __future__ import annotations

from collections.abc import Iterator

from jitq_explore.snapshots.diff import GraphDiff, Match
from jitq_explore.snapshots.graph import Block, Graph, Node, graph_rows
from jitq_explore.views.answers.code import code_text
from jitq_explore.views.answers.pages import AskError, Book, Page
from jitq_explore.views.answers.text_lines import Words, compared, marked, text_line
from jitq_explore.views.printable import printable


def text(book: Book, stage: Page, what: object) -> dict[str, object]:
    """The answer to "text"."""
    makers = {"ir": _ir, "code": code_text}
    if not isinstance(what, str) or what not in makers:
        raise AskError(f"unknown text {what!r} (must be 'ir' or 'code')")
    if what not in stage.kept:
        stage.kept[what] = makers[what](stage)
    found: dict[str, object] = stage.kept[what]
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
        yield text_line("same", after=line, node=about)


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
                yield compared(next(old_heads), line, self.renamed)
                yield from self.gone.pop("", ())

    def node_line(self, line: str, node: Node) -> dict[str, object]:
        """The line of a node of the graph after."""
        match = self.diff.match_after.get(node.id)
        if match is None:
            return text_line("added", after=line, node=node)
        if not match.changes:
            return text_line("same", after=line, node=node)
        return self.changed(match, line, node)

    def changed(self, match: Match, line: str, node: Node) -> dict[str, object]:
        """Old and new; several old nodes, a line each.

        Of these the one of the same kind is compared word by word, the others are new to it.
        """
        lines = [_whole(self.old_lines[old.id]) for old in match.before]
        after = _whole(line)
        alike = [at for at, old in enumerate(match.before) if old.kind == node.kind]
        if match.after[0].id == node.id and (len(lines) == 1 or len(alike) == 1):
            at = alike[0] if alike else 0
            lines[at], after = marked(self.old_lines[match.before[at].id], line, self.renamed)
        ends: list[Words] = [[["\n", False]]] * (len(lines) - 1) + [[]]
        before = [word for words, end in zip(lines, ends, strict=True) for word in words + end]
        found = text_line("changed", node=node)
        return {**found, "before": before, "after": after}

    def end_line(self, line: str, block: Block) -> dict[str, object]:
        """The line that ends a block: what the block hands on."""
        match = self.diff.match_after.get(block.owner)
        if match is None:
            return text_line("added", after=line)
        place = self.diff.after.by_id[block.owner].blocks.index(block.id)
        blocks = match.before[0].blocks
        old = self.old_lines.get(blocks[place]) if place < len(blocks) else None
        return (
            compared(old, line, self.renamed) if old is not None else text_line("added", after=line)
        )

    def _gone_after(self) -> dict[str, list[dict[str, object]]]:
        """Id of a node after ("": the beginning) -> the lines that stood behind it."""
        removed = {node.id for node in self.diff.removed}
        found: dict[str, list[dict[str, object]]] = {}
        anchor = ""
        for line, about in graph_rows(self.diff.before):
            if isinstance(about, Node) and about.id in removed:
                found.setdefault(anchor, []).append(text_line("removed", before=line, gone=about))
            elif isinstance(about, Node):
                anchor = self.diff.match_before[about.id].after[-1].id
            elif about is not None and about.owner in removed:
                found.setdefault(anchor, []).append(text_line("removed", before=line))
        return found


def _whole(line: str) -> Words:
    """A line that is marked as a whole, but for its indent."""
    text = line.lstrip()
    return [[line[: len(line) - len(text)], False], [printable(text), True]]


def _renamed(diff: GraphDiff) -> dict[str, str]:
    """%old -> %new, of values that are the same in both graphs."""
    found = dict(zip(diff.before.inputs, diff.after.inputs, strict=False))
    for match in diff.matched:
        found.update(zip(match.before[-1].outputs, match.after[0].outputs, strict=False))
    return {f"%{old}": f"%{new}" for old, new in found.items()}
