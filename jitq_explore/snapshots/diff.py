"""Which node of one graph is which node of another: `GraphDiff`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from jitq_explore.snapshots.graph import (
    Graph,
    Node,
    constant_value,
    settled_branch,
    show_attributes,
)
from jitq_explore.snapshots.matching import Pair, match_nodes
from jitq_explore.snapshots.pause import collector_paused
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

    @cached_property
    def match_before(self) -> Mapping[str, Match]:
        """Id of a node before -> its match."""
        return {node.id: match for match in self.matched for node in match.before}

    @cached_property
    def match_after(self) -> Mapping[str, Match]:
        """Id of a node after -> its match."""
        return {node.id: match for match in self.matched for node in match.after}

    @property
    def is_empty(self) -> bool:
        """Whether nothing was added, removed or changed."""
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

    Either may be "input", the model as given. `method` names the method to compare (default: the
    one that shows the quantization, at each side). KeyError names the stages and methods there are.
    """
    old, new = recording.snapshot(before), recording.snapshot(after)
    return diff_graphs(old.graph(method), new.graph(method), before, after)


def diff_graphs(
    before: Graph, after: Graph, before_name: str = "before", after_name: str = "after"
) -> GraphDiff:
    """The difference of any two graphs; the names are for titles. Computed once for each two."""
    known: dict[int, GraphDiff] = before.__dict__.setdefault("_diffs", {})
    found = known.get(id(after))
    if found is None or found.after is not after:
        with collector_paused():
            found = known[id(after)] = _compare(before, after)
    return replace(found, before_name=before_name, after_name=after_name)


def _compare(before: Graph, after: Graph) -> GraphDiff:
    pairs = match_nodes(before, after)
    taken_before = {node.id for pair in pairs for node in pair.before}
    taken_after = {node.id for pair in pairs for node in pair.after}
    compare = _Comparison(before, after, pairs, taken_before, taken_after)
    return GraphDiff(
        before=before,
        after=after,
        matched=tuple(
            Match(pair.before, pair.after, pair.reason, pair.confidence, compare.changes(pair))
            for pair in pairs
        ),
        added=tuple(node for node in after.nodes if node.id not in taken_after),
        removed=tuple(node for node in before.nodes if node.id not in taken_before),
    )


class _Comparison:
    """Tells what differs between the two sides of a pair.

    Inputs are followed through nodes that were added (after) or removed (before) to the first one
    that has a partner: an observer put between two nodes changes neither of them.
    """

    def __init__(
        self,
        before: Graph,
        after: Graph,
        pairs: tuple[Pair, ...],
        taken_before: set[str],
        taken_after: set[str],
    ) -> None:
        self.before, self.after = before, after
        self.taken_before, self.taken_after = taken_before, taken_after
        self.group_before = {n.id: k for k, pair in enumerate(pairs) for n in pair.before}
        self.group_after = {n.id: k for k, pair in enumerate(pairs) for n in pair.after}

    def changes(self, pair: Pair) -> tuple[tuple[str, str, str], ...]:
        old, new = pair.before, pair.after
        if self._same_constant(old[0], new[0]):
            return ()
        found = []
        kinds = " + ".join(n.kind for n in old), " + ".join(n.kind for n in new)
        if kinds[0] != kinds[1]:
            found.append(("kind", *kinds))
        if len(old) == len(new) == 1:
            if repr(old[0].attributes) != repr(new[0].attributes):
                texts = show_attributes(old[0].attributes), show_attributes(new[0].attributes)
                found.append(("attributes", *texts))
            if self._inputs_differ(old[0], new[0]):
                found.append(("inputs", _show_inputs(old[0]), _show_inputs(new[0])))
        return tuple(found)

    def _same_constant(self, old: Node, new: Node) -> bool:
        """Whether both are one constant: a list built of constants and that list folded are."""
        if not (old.outputs and new.outputs):
            return False
        was = constant_value(self.before, old.outputs[0])
        # By repr, since NaN is not equal to itself.
        return was is not None and repr(was) == repr(constant_value(self.after, new.outputs[0]))

    def _inputs_differ(self, old: Node, new: Node) -> bool:
        if len(old.inputs) != len(new.inputs):
            return True
        return any(
            self._origin_before(a) != self._origin_after(b)
            for a, b in zip(old.inputs, new.inputs, strict=True)
        )

    def _origin_before(self, value: str) -> object:
        return _origin(self.before, value, self.taken_before, self.group_before)

    def _origin_after(self, value: str) -> object:
        return _origin(self.after, value, self.taken_after, self.group_after)


def _origin(graph: Graph, value: str, taken: set[str], group: dict[str, int]) -> object:
    """What a value is: a constant, an output of a pair, an input of the graph or of a block."""
    constant = constant_value(graph, value)
    if constant is not None:
        return "constant", repr(constant)
    node = graph.producers.get(value)
    while node is not None and node.id not in taken and node.inputs:
        value = settled_branch(graph, value) or node.inputs[0]
        node = graph.producers.get(value)
    if node is None:
        return ("input", graph.inputs.index(value)) if value in graph.inputs else "block input"
    if node.id not in taken:
        return "unmatched"
    return group[node.id], node.outputs.index(value) if len(node.outputs) > 1 else 0


def _show_inputs(node: Node) -> str:
    return ", ".join(f"%{name}" for name in node.inputs)
