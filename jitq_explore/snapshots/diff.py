"""Which node of one graph is which node of another: `GraphDiff`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from jitq_explore.snapshots.graph import Graph, Node
from jitq_explore.snapshots.recording import Recording


@dataclass(frozen=True, slots=True)
class Match:
    """Nodes that are the same before and after: one to one, or several into one.

    `reason` says what spoke for it; `confidence` runs from 0 to 1. `changes` lists what differs
    ("kind", "attributes", "inputs"), each as (what, old, new), as text.
    """

    before: tuple[Node, ...]
    after: tuple[Node, ...]
    reason: str
    confidence: float
    changes: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class GraphDiff:
    """The difference of two flattened graphs.

    `added` are nodes of `after` without a partner, `removed` nodes of `before` without one; every
    other node is in one of `matched`.
    """

    before: Graph
    after: Graph
    matched: tuple[Match, ...]
    added: tuple[Node, ...]
    removed: tuple[Node, ...]
    before_name: str = "before"
    after_name: str = "after"

    @cached_property
    def changed(self) -> tuple[Match, ...]:
        """The matches whose two sides differ."""
        return tuple(match for match in self.matched if match.changes)

    @property
    def is_empty(self) -> bool:
        return not (self.added or self.removed or self.changed)

    def summary(self) -> str:
        """One line: "+3 added, -1 removed, ~2 changed, 40 the same"."""
        if self.is_empty:
            return f"nothing changed ({len(self.matched)} nodes)"
        same = len(self.matched) - len(self.changed)
        return (
            f"+{len(self.added)} added, -{len(self.removed)} removed, "
            f"~{len(self.changed)} changed, {same} the same"
        )


def diff(recording: Recording, before: str, after: str, method: str | None = None) -> GraphDiff:
    """The difference between the model after stage `before` and after stage `after`.

    Either may be "input", the model as given. `method` names the method compared (default: the one
    that shows the quantization at each side).
    """
    raise NotImplementedError


def diff_graphs(
    before: Graph, after: Graph, before_name: str = "before", after_name: str = "after"
) -> GraphDiff:
    """The difference of any two graphs."""
    raise NotImplementedError
