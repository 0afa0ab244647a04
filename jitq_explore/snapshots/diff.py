"""Which node of one graph is which node of another: `GraphDiff`."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from jitq_explore.snapshots.graph import (
    Attribute,
    Graph,
    Node,
    constant_value,
    show_attributes,
)
from jitq_explore.snapshots.matching import Pair, Side, match_nodes
from jitq_explore.snapshots.pause import collector_paused
from jitq_explore.snapshots.recording import Recording
from jitq_explore.snapshots.settled import settled_branch


@dataclass(frozen=True, slots=True)
class Match:
    """Nodes that are the same before and after: one to one, several into one (fused, folded,
    pooled), or one into several (copied).

    `reason` says what spoke for it; `confidence` runs from 0 to 1. `changes` lists what differs
    ("kind", "attributes", "inputs", "copies", "blocks", "outputs of a block"), each as (what, old,
    new), as text.
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
    compare = _Comparison(before, after, pairs)
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

    def __init__(self, before: Graph, after: Graph, pairs: tuple[Pair, ...]) -> None:
        self.before, self.after = Side.of(before), Side.of(after)
        self.group_before: dict[str, int] = {}
        self.group_after: dict[str, int] = {}
        # New value -> old value, for what is paired one to one: most of all comparisons.
        self.same_value = dict(zip(after.inputs, before.inputs, strict=False))
        for number, pair in enumerate(pairs):
            for node in pair.before:
                self.group_before[node.id] = number
            for node in pair.after:
                self.group_after[node.id] = number
                self.same_value.update(zip(node.outputs, pair.before[-1].outputs, strict=False))

    def changes(self, pair: Pair) -> tuple[tuple[str, str, str], ...]:
        """What differs, each as (what, old, new)."""
        if len(pair.before) == len(pair.after) == 1:
            if self._are_one_constant(pair.before[0], pair.after[0]):
                return ()
            return self._changes_of_one(pair.before[0], pair.after[0])
        kinds = [
            " + ".join(dict.fromkeys(n.kind for n in side)) for side in (pair.before, pair.after)
        ]
        if kinds[0] != kinds[1]:
            return (("kind", *_all_kinds(pair)),)
        return (("copies", str(len(pair.before)), str(len(pair.after))),)

    def _are_one_constant(self, old: Node, new: Node) -> bool:
        """A list that is built of constants, and that list folded, are one constant."""
        was = constant_value(self.before.graph, old.outputs[0]) if old.outputs else None
        if was is None or not new.outputs:
            return False
        # By repr, since NaN is not equal to itself.
        return repr(was) == repr(constant_value(self.after.graph, new.outputs[0]))

    def _changes_of_one(self, old: Node, new: Node) -> tuple[tuple[str, str, str], ...]:
        found = []
        if old.kind != new.kind:
            found.append(("kind", old.kind, new.kind))
        if (old.attributes or new.attributes) and _differ(old.attributes, new.attributes):
            texts = show_attributes(old.attributes), show_attributes(new.attributes)
            found.append(("attributes", *texts))
        if not self._are_fed_alike(old.inputs, new.inputs):
            found.append(("inputs", _show_values(old.inputs), _show_values(new.inputs)))
        if old.blocks or new.blocks:
            found.extend(self._changed_blocks(old, new))
        return tuple(found)

    def _changed_blocks(self, old: Node, new: Node) -> Iterator[tuple[str, str, str]]:
        """Blocks that hand on other values."""
        if len(old.blocks) != len(new.blocks):
            yield "blocks", str(len(old.blocks)), str(len(new.blocks))
        for mine, theirs in zip(old.blocks, new.blocks, strict=False):
            outputs = (
                self.before.graph.blocks[mine].outputs,
                self.after.graph.blocks[theirs].outputs,
            )
            if not self._are_fed_alike(*outputs):
                yield "outputs of a block", _show_values(outputs[0]), _show_values(outputs[1])

    def _are_fed_alike(self, old: tuple[str, ...], new: tuple[str, ...]) -> bool:
        if len(old) != len(new):
            return False
        same_value = self.same_value
        for one, other in zip(old, new, strict=True):
            if same_value.get(other) != one and not self._are_same(one, other):
                return False
        return True

    def _are_same(self, old: str, new: str) -> bool:
        before, after = self.before, self.after
        one, other = before.seen_through(old), after.seen_through(new)
        both_fixed = one in before.fixed and other in after.fixed
        if both_fixed and before.literal(one) == after.literal(other):
            return True
        return not self._origins_before(old).isdisjoint(self._origins_after(new))

    def _origins_before(self, value: str) -> set[Hashable]:
        return _origins(self.before, value, self.group_before)

    def _origins_after(self, value: str) -> set[Hashable]:
        return _origins(self.after, value, self.group_after)


_FURTHEST = 32
"""How many nodes without a partner are looked through on the way to one that has."""


def _origins(side: Side, value: str, group: dict[str, int]) -> set[Hashable]:
    """What a value comes from: an output of a pair, an input of the graph or of a block.

    Behind a node without a partner that is whatever this one takes.
    """
    graph = side.graph
    found: set[Hashable] = set()
    waiting, seen = [value], {value}
    while waiting and len(seen) < _FURTHEST:
        value = waiting.pop()
        node = graph.producers.get(value)
        if node is None:
            found.add(_input_of(side, value, group))
        elif node.id in group:
            found.add((group[node.id], node.outputs.index(value) if len(node.outputs) > 1 else 0))
        elif value in side.fixed:
            found.add(("fixed", side.literal(value)))
        else:
            settled = settled_branch(graph, value)
            behind = (settled,) if settled is not None else node.inputs
            waiting.extend(name for name in behind if name not in seen and name not in side.fixed)
            seen.update(behind)
    return found


def _input_of(side: Side, value: str, group: dict[str, int]) -> Hashable:
    """Which input of the graph or of which block of a pair it is."""
    if value in side.graph.inputs:
        return "input", side.graph.inputs.index(value)
    number = side.maker.get(value)
    if number is None or side.ops[number].id not in group:
        return "input", value
    return "block input", group[side.ops[number].id], side.results[number].index(value)


def _differ(old: Mapping[str, Attribute], new: Mapping[str, Attribute]) -> bool:
    """Whether attributes differ; True is not 1 here, and NaN is NaN."""
    if old.keys() != new.keys():
        return True
    return any(
        value is not new[name]
        and (type(value) is not type(new[name]) or value != new[name] or isinstance(value, tuple))
        and repr(value) != repr(new[name])
        for name, value in old.items()
    )


def _all_kinds(pair: Pair) -> tuple[str, str]:
    return (
        " + ".join(node.kind for node in pair.before),
        " + ".join(node.kind for node in pair.after),
    )


def _show_values(names: tuple[str, ...]) -> str:
    return ", ".join(f"%{name}" for name in names)
