"""What there is to show of a recording: a `Page` a stage, made when first looked at.

No ipywidgets here.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from jitq_explore.snapshots.diff import GraphDiff, diff_graphs
from jitq_explore.snapshots.graph import Graph, Node
from jitq_explore.snapshots.recording import INPUT, Recording, Snapshot, StageRecord
from jitq_explore.views.boxes import Level, region_id, svg_id
from jitq_explore.views.dot import Drawing, diff_dot, graph_dot
from jitq_explore.views.render import RenderError, RenderTimeout, render_svg
from jitq_explore.views.tables import observer_table, quant_node_table
from jitq_explore.views.text import diff_text

_LIMITS = (100, 50, 25)
"""How many boxes are tried, in turn, until a drawing is narrow enough."""

_WIDTH = 1400
"""The widest drawing that is legible when shrunk to the width of a page, in points."""

_SECONDS = 10.0
"""How long a single drawing may take."""

_SIZE = re.compile(r'<svg width="([\d.]+)pt" height="[\d.]+pt"')
_BOX = re.compile(r'<g id="([^"]+)" class="node')


@dataclass(frozen=True, slots=True)
class Drawn:
    """A drawing as SVG text, its width in points, what it leaves out, and the ids of its boxes.

    Where there is none `svg` is "" and `problem` says why.
    """

    svg: str
    width: float = 0.0
    note: str = ""
    boxes: frozenset[str] = frozenset()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """Which nodes a filter found, of how many, and the ids of the boxes that show them.

    `folded` counts those that are not drawn as a box of their own.
    """

    nodes: tuple[Node, ...]
    total: int
    boxes: frozenset[str]
    folded: int


@dataclass(frozen=True, eq=False)
class Page:
    """One stage, or the model as it was given (then `record` is None)."""

    name: str
    snapshot: Snapshot
    before_name: str = ""
    record: StageRecord | None = None
    _drawn: dict[int | None, Drawn] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def graph(self) -> Graph:
        """The flattened graph after the stage."""
        return self.snapshot.graph()

    @cached_property
    def diff(self) -> GraphDiff | None:
        """What the stage did; None for the model as it was given."""
        if self.record is None:
            return None
        return diff_graphs(self.record.before.graph(), self.graph, self.before_name, self.name)

    @cached_property
    def text(self) -> str:
        """The text twin of the drawing."""
        return str(self.graph) if self.diff is None else diff_text(self.diff)

    def drawn(self, limit: int | None = None) -> Drawn:
        """The drawing with at most `limit` boxes (None: as many as are legible on a page)."""
        if limit not in self._drawn:
            self._drawn[limit] = self._draw(limit)
        return self._drawn[limit]

    def _draw(self, limit: int | None) -> Drawn:
        drawn = Drawn("")
        for boxes in _LIMITS if limit is None else (limit,):
            try:
                drawn = _rendered(self._drawing(boxes))
            except RenderTimeout as error:
                drawn = Drawn("", problem=str(error))
                continue
            except Exception as error:
                # Whatever is wrong with a drawing, the text and the tables shall still be shown.
                return Drawn("", problem=_said(error))
            if drawn.width <= _WIDTH:
                break
        return drawn

    def _drawing(self, boxes: int) -> Drawing:
        if self.diff is None:
            return graph_dot(self.graph, max_nodes=boxes)
        return diff_dot(self.diff, max_nodes=boxes)

    def find(self, words: str, drawn: Drawn) -> Found:
        """The nodes with all these words in kind, module path or names of values, in any case."""
        wanted = words.casefold().split()
        found = {
            box: node
            for box, (node, said) in self._searchable.items()
            if all(word in said for word in wanted)
        }
        drawn_as = {box: _place(box, node, drawn) for box, node in found.items()}
        return Found(
            nodes=tuple(found.values()),
            total=len(self._searchable),
            boxes=frozenset(drawn_as.values()) - {""},
            folded=sum(place != box for box, place in drawn_as.items()),
        )

    @cached_property
    def _searchable(self) -> Mapping[str, tuple[Node, str]]:
        """Id of a box -> its node and what can be searched for: of both sides, where it has two."""
        said = {svg_id("after", n.id): (n, _words(n, self.graph)) for n in self.graph.nodes}
        if self.diff is None:
            return said
        for match in self.diff.matched:
            old = " ".join(_words(node, self.diff.before) for node in match.before)
            for node in match.after:
                box = svg_id("after", node.id)
                said[box] = (node, f"{said[box][1]} {old}")
        gone = {svg_id("before", n.id): (n, _words(n, self.diff.before)) for n in self.diff.removed}
        return {**said, **gone}


@dataclass(frozen=True, eq=False)
class Book:
    """All pages of a recording by name, "input" first, and its tables."""

    recording: Recording
    pages: Mapping[str, Page]

    @staticmethod
    def of(recording: Recording, before: Book | None = None) -> Book:
        """The pages of the book `before` are kept for stages that are still the same."""
        known = before.pages if before is not None else {}
        pages = {INPUT: Page(INPUT, recording.input)}
        previous = INPUT
        for record in recording:
            pages[record.name] = Page(record.name, record.after, previous, record)
            previous = record.name
        for name, page in pages.items():
            if name in known and _is_same(known[name], page):
                pages[name] = known[name]
        return Book(recording, pages)

    @property
    def names(self) -> tuple[str, ...]:
        """Those of the pages, in order."""
        return tuple(self.pages)

    @cached_property
    def observers(self) -> pd.DataFrame:
        """A row an observed value."""
        return observer_table(self.recording)

    @cached_property
    def quant_nodes(self) -> pd.DataFrame:
        """A row an inserted quantize, dequantize, … node."""
        return quant_node_table(self.recording)


def _is_same(old: Page, new: Page) -> bool:
    return old.snapshot is new.snapshot and old.record is new.record


def _rendered(drawing: Drawing) -> Drawn:
    # Title and counts stand above the drawing, where they do not scroll away.
    drawing.dot.graph_attr["label"] = ""
    svg = render_svg(drawing.dot.source, timeout=_SECONDS)
    size = _SIZE.match(svg)
    return Drawn(
        svg=svg,
        width=float(size[1]) if size else 0.0,
        note=drawing.note,
        boxes=frozenset(html.unescape(box) for box in _BOX.findall(svg)),
    )


def _said(error: Exception) -> str:
    """The message; of an error that nobody foresaw its type too."""
    return str(error) if isinstance(error, RenderError) else f"{type(error).__name__}: {error}"


def _words(node: Node, graph: Graph) -> str:
    """What can be searched for in a node, in small letters."""
    values = node.outputs + (node.inputs if node.is_observer else ())
    names = (graph.values[value].debug_name for value in values)
    observer = map(str, node.attributes.values()) if node.is_observer else ()
    return " ".join((node.kind, node.module_path, *values, *names, *observer)).casefold()


def _place(box: str, node: Node, drawn: Drawn) -> str:
    """The id of the box that shows a node: its own, that of a folded module around it, or ""."""
    names = node.module_path.split(".") if node.module_path else []
    around = [
        tuple(Level(name, name) for name in names[:depth]) for depth in range(len(names), 0, -1)
    ]
    return next((each for each in (box, *map(region_id, around)) if each in drawn.boxes), "")
