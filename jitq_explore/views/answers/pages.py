"""What there is to show: a `Page` a stage, and the `Book` that holds them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from jitq_explore.snapshots.diff import GraphDiff, diff_graphs
from jitq_explore.snapshots.graph import Graph, Node
from jitq_explore.snapshots.recording import INPUT, Recording, Snapshot, StageRecord
from jitq_explore.views.boxes import Status
from jitq_explore.views.film import Film, film
from jitq_explore.views.folds import Folds
from jitq_explore.views.reel import Scene


class AskError(ValueError):
    """A question that cannot be answered: the message says what was wrong and what is valid."""


@dataclass(frozen=True, eq=False)
class Page:
    """One stage: the model after it and before it (None: nothing is before).

    Where two runs are compared "before" is the first run and "after" the second, both after that
    stage; `both` has the records with the names of their runs, and `only` names the run where just
    one has the stage. `kept` is what has been answered already and stays true as long as the page
    does.
    """

    name: str
    after: Snapshot
    before: Snapshot | None = None
    names: tuple[str, str] = ("before", "after")
    record: StageRecord | None = None
    both: tuple[tuple[str, StageRecord], ...] = ()
    only: str | None = None
    kept: dict[str, Any] = field(default_factory=dict, repr=False)

    @cached_property
    def graph(self) -> Graph:
        """The flattened graph after the stage."""
        return self.after.graph()

    @cached_property
    def diff(self) -> GraphDiff | None:
        """What the stage did; None where nothing is before."""
        if self.before is None:
            return None
        return diff_graphs(self.before.graph(), self.graph, *self.names)

    @cached_property
    def scene(self) -> Scene:
        """The page as it is drawn."""
        return Scene(self.name, self.graph, self.diff)

    @property
    def removed(self) -> tuple[Node, ...]:
        """The nodes that the stage took away."""
        return self.diff.removed if self.diff is not None else ()

    @cached_property
    def removed_by_id(self) -> Mapping[str, Node]:
        """Id -> node, of those."""
        return {node.id: node for node in self.removed}

    def known_as(self, ids: Iterable[str]) -> tuple[list[str], list[str]]:
        """What nodes of the graph before are after: ids of their partners, and of those gone."""
        old = list(ids)
        gone = [each for each in old if each in self.removed_by_id]
        matches = self.diff.match_before if self.diff is not None else {}
        new = (node.id for each in old if each in matches for node in matches[each].after)
        return list(dict.fromkeys(new)), gone

    def lead(self, node: Node, gone: bool) -> tuple[str, bool] | None:
        """How the page knows a node of the graph after, or (`gone`) of the one before: its id, and
        whether the stage took it away."""
        if not gone or self.diff is None:
            return node.id, False
        there, taken = self.known_as([node.id])
        return (taken[0], True) if taken else (there[0], False) if there else None

    def snapshot(self, gone: bool) -> Snapshot:
        """The model that a node is from."""
        return self.before if gone and self.before is not None else self.after

    def status(self, node: Node, gone: bool = False) -> Status:
        """That of a node after the stage, or of one that is gone, as it is drawn."""
        return Status.REMOVED if gone else self.scene.status_of(node)

    def node(self, node_id: object, gone: bool) -> Node:
        """The node of that id; AskError names some that there are."""
        nodes = self.removed_by_id if gone else self.graph.by_id
        found = nodes.get(node_id) if isinstance(node_id, str) else None
        if found is None:
            few = ", ".join(list(nodes)[:3])
            where = "that the stage took away" if gone else "of the stage"
            raise AskError(f"unknown node {node_id!r}: there are {len(nodes)} {where} ({few}, …)")
        return found


class Book(Protocol):
    """All pages by name, in order, and what can be asked of them as a whole."""

    @property
    def pages(self) -> Mapping[str, Page]:
        """Name of a stage -> its page, "input" first."""

    @property
    def runs(self) -> tuple[Recording, ...]:
        """The recording, or the two that are compared."""

    @property
    def run_names(self) -> tuple[str, ...]:
        """What two recordings are called; nothing for one."""

    @property
    def kept(self) -> dict[Any, Any]:
        """What has been answered already about the book as a whole."""

    def film(self, stage: str, folds: Folds | None) -> Film:
        """The film that shows the stage, in that fold state (None: the default one)."""

    def origin(self, stage: str, gone: bool) -> tuple[Recording, str]:
        """The recording, and the stage in it, that the nodes of a page are from."""


@dataclass(frozen=True, eq=False)
class RunBook:
    """The pages of one recording."""

    recording: Recording
    pages: Mapping[str, Page]
    kept: dict[Any, Any] = field(default_factory=dict, repr=False)

    run_names = ()

    @staticmethod
    def of(recording: Recording, before: Book | None = None) -> RunBook:
        """The pages of the book `before` are kept for stages that are still the same."""
        known = before.pages if before is not None else {}
        pages = {page.name: page for page in _pages(recording)}
        for name, page in pages.items():
            old = known.get(name)
            if old is not None and old.after is page.after and old.record is page.record:
                pages[name] = old
        return RunBook(recording, pages)

    @property
    def runs(self) -> tuple[Recording, ...]:
        """The recording."""
        return (self.recording,)

    def film(self, stage: str, folds: Folds | None) -> Film:
        """One layout for all stages."""
        return film(self.recording, folds)

    def origin(self, stage: str, gone: bool) -> tuple[Recording, str]:
        """What is gone is from the stage before."""
        names = list(self.pages)
        return self.recording, names[max(0, names.index(stage) - gone)]


def shown(
    book: Book, page: Page, recording: Recording, ids: Iterable[str]
) -> tuple[list[str], list[str]]:
    """How the page knows nodes of a recording after that stage: those there, and those gone.

    Where two runs are compared, nodes of the first are known by their partners in the second.
    """
    is_first = len(book.runs) > 1 and recording is book.runs[0] and page.only is None
    if is_first:
        return page.known_as(ids)
    return [each for each in ids if each in page.graph.by_id], []


def _pages(recording: Recording) -> Iterator[Page]:
    yield Page(INPUT, recording.input)
    previous = INPUT
    for record in recording:
        yield Page(record.name, record.after, record.before, (previous, record.name), record)
        previous = record.name
