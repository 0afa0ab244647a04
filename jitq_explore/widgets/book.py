"""What there is to show of a recording: a `Page` a stage, made when first looked at.

No ipywidgets here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from jitq_explore.snapshots.diff import GraphDiff, diff_graphs
from jitq_explore.snapshots.graph import Graph, Node
from jitq_explore.snapshots.recording import INPUT, Recording, Snapshot, StageRecord
from jitq_explore.views.film import Film, film
from jitq_explore.views.folds import Folds, is_group
from jitq_explore.views.render import RenderError
from jitq_explore.views.tables import observer_table, quant_node_table
from jitq_explore.views.text import diff_text

_SECONDS = 10.0
"""How long a layout may take."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A stage's drawing as SVG text, its width in points, and what it leaves out.

    Where there is none `svg` is "" and `problem` says why.
    """

    svg: str
    width: float = 0.0
    note: str = ""
    problem: str = ""
    film: Film | None = None


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

    def find(self, words: str, drawn: Drawn) -> Found:
        """The nodes with all these words in kind, module path or names of values, in any case."""
        wanted = words.casefold().split()
        found = [
            (node, is_gone)
            for node, is_gone, said in self._searchable
            if all(word in said for word in wanted)
        ]
        film = drawn.film
        boxes = [film.box_of(self.name, node.id, gone) if film else "" for node, gone in found]
        return Found(
            nodes=tuple(node for node, _ in found),
            total=len(self._searchable),
            boxes=frozenset(boxes) - {""},
            folded=sum(not box or is_group(box) for box in boxes),
        )

    @cached_property
    def _searchable(self) -> tuple[tuple[Node, bool, str], ...]:
        """Each node, whether it is gone, and what can be searched for: of both sides of a match."""
        said = {node.id: _words(node, self.graph) for node in self.graph.nodes}
        if self.diff is None:
            return tuple((node, False, said[node.id]) for node in self.graph.nodes)
        for match in self.diff.matched:
            old = " ".join(_words(node, self.diff.before) for node in match.before)
            said.update({node.id: f"{said[node.id]} {old}" for node in match.after})
        there = ((node, False, said[node.id]) for node in self.graph.nodes)
        gone = ((node, True, _words(node, self.diff.before)) for node in self.diff.removed)
        return (*there, *gone)


@dataclass(frozen=True, eq=False)
class Book:
    """All pages of a recording by name, "input" first, and its tables."""

    recording: Recording
    pages: Mapping[str, Page]
    _problems: dict[Folds | None, str] = field(default_factory=dict, init=False, repr=False)

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

    def drawn(self, name: str, folds: Folds | None = None, hops: int | None = None) -> Drawn:
        """The drawing of a stage in a fold state (None: as much as is legible); see `views.film`.

        The layout of all stages is made at the first drawing in that state.
        """
        if folds in self._problems:
            return Drawn("", problem=self._problems[folds])
        try:
            found = film(self.recording, folds, _SECONDS)
            svg = found.svg(name, hops)
        except Exception as error:
            # Whatever is wrong with a drawing, the text and the tables shall still be shown.
            self._problems[folds] = _said(error)
            return Drawn("", problem=_said(error))
        return Drawn(svg, found.plan.width, found.note(name), film=found)

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


def _said(error: Exception) -> str:
    """The message; of an error that nobody foresaw its type too."""
    return str(error) if isinstance(error, RenderError) else f"{type(error).__name__}: {error}"


def _words(node: Node, graph: Graph) -> str:
    """What can be searched for in a node, in small letters."""
    values = node.outputs + (node.inputs if node.is_observer else ())
    names = (graph.values[value].debug_name for value in values)
    observer = map(str, node.attributes.values()) if node.is_observer else ()
    return " ".join((node.kind, node.module_path, *values, *names, *observer)).casefold()
