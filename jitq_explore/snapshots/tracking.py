"""Which node of one stage is which node of the next: the matches of a whole recording, linked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jitq_explore.snapshots.diff import GraphDiff, Match, diff_graphs
from jitq_explore.snapshots.graph import Graph, Node
from jitq_explore.snapshots.observations import WEIGHT_INPUT
from jitq_explore.snapshots.quant_node import role_of
from jitq_explore.snapshots.recording import INPUT, Recording, Snapshot
from jitq_explore.snapshots.settled import settled_branch
from jitq_explore.snapshots.source import is_library

_THREADED = frozenset({"quantize", "dequantize", "saturate"})
"""Roles of the nodes that hand on the real value that they are given."""


@dataclass(frozen=True, slots=True)
class Spot:
    """One node of one snapshot: `index` 0 is the model as given, k the model after the k-th
    stage."""

    index: int
    method: str
    node_id: str


@dataclass(frozen=True, slots=True)
class Link:
    """A match between two neighbouring snapshots.

    `before` and `after` are the spots of its nodes; `before` has the batch norm that was folded
    into the match's op, too, where the match itself does not count it in.
    """

    match: Match
    before: tuple[Spot, ...]
    after: tuple[Spot, ...]


class Tracker:
    """Follows nodes and values through one recording; every difference is computed once.

    The main method is followed from stage to stage, whatever it is called: on the device
    `forward` goes on as `observe_forward`, `quantize_forward` and `quantized_forward`. What has no
    partner there is looked for in the method it was in: the node that quantizes a weight stays in
    `quantize_forward`.
    """

    def __init__(self, recording: Recording) -> None:
        self.names = (INPUT, *recording.names)
        self.snapshots: tuple[Snapshot, ...] = (
            recording.input,
            *(stage.after for stage in recording.stages),
        )
        self._diffs: dict[tuple[int, str, str], GraphDiff] = {}
        self._folded: dict[tuple[int, str, str], dict[str, list[Node]]] = {}
        self._origins: dict[Spot, tuple[Spot, ...]] = {}

    @classmethod
    def of(cls, recording: Recording) -> Tracker:
        """The recording's own tracker, made when first asked for."""
        known = recording.__dict__.get("_tracker")
        if known is None:
            known = recording.__dict__["_tracker"] = cls(recording)
        return known

    @property
    def last(self) -> int:
        """The index of the newest snapshot."""
        return len(self.snapshots) - 1

    def graph(self, index: int, method: str | None = None) -> Graph:
        """The flattened graph of that method (default: the main one) at that index."""
        return self.snapshots[index].graph(method)

    def node(self, spot: Spot) -> Node:
        """The node at that spot."""
        return self.graph(spot.index, spot.method).by_id[spot.node_id]

    def diff(self, index: int, old: str, new: str) -> GraphDiff:
        """Between method `old` one snapshot earlier and method `new` at that index."""
        key = index, old, new
        if key not in self._diffs:
            self._diffs[key] = diff_graphs(self.graph(index - 1, old), self.graph(index, new))
        return self._diffs[key]

    def ways_on(self, index: int, method: str) -> Iterator[str]:
        """The methods one snapshot later in which nodes of this method may go on."""
        before, after = self.snapshots[index], self.snapshots[index + 1]
        main = after.main_method
        if method == before.main_method:
            yield main
        if method in after.method_names and (method != main or method != before.main_method):
            yield method

    def way_back(self, index: int, method: str) -> str | None:
        """The method one snapshot earlier from which this one's nodes come."""
        before, after = self.snapshots[index - 1], self.snapshots[index]
        if method == after.main_method:
            return before.main_method
        return method if method in before.method_names else None

    def onward(self, spot: Spot) -> Link | None:
        """The match that takes a node to the next snapshot."""
        for way in self.ways_on(spot.index, spot.method):
            if self.graph(spot.index, spot.method) is self.graph(spot.index + 1, way):
                return self._same(spot.index + 1, spot.method, way, spot.node_id)
            diff = self.diff(spot.index + 1, spot.method, way)
            match = diff.match_before.get(spot.node_id) or folded_into(diff, self.node(spot))
            if match is not None:
                return self._link(match, spot.index + 1, spot.method, way)
        return None

    def back(self, spot: Spot) -> Link | None:
        """The match that a node comes from."""
        if spot.index == 0:
            return None
        way = self.way_back(spot.index, spot.method)
        if way is None:
            return None
        if self.graph(spot.index - 1, way) is self.graph(spot.index, spot.method):
            return self._same(spot.index, way, spot.method, spot.node_id)
        match = self.diff(spot.index, way, spot.method).match_after.get(spot.node_id)
        return self._link(match, spot.index, way, spot.method) if match is not None else None

    def _same(self, index: int, old: str, new: str, node_id: str) -> Link:
        # Without this, stages that leave a graph alone would each cost a comparison of it.
        node = self.graph(index, new).by_id[node_id]
        match = Match((node,), (node,), "the very same graph", 1.0)
        return Link(match, (Spot(index - 1, old, node_id),), (Spot(index, new, node_id),))

    def _link(self, match: Match, index: int, old: str, new: str) -> Link:
        nodes = (*match.before, *self._folded_in(match, index, old, new))
        return Link(
            match,
            tuple(Spot(index - 1, old, node.id) for node in nodes),
            tuple(Spot(index, new, node.id) for node in match.after),
        )

    def _folded_in(self, match: Match, index: int, old: str, new: str) -> list[Node]:
        """The batch norms without a partner that went into the weights of the match's op."""
        key = index, old, new
        if key not in self._folded:
            found: dict[str, list[Node]] = {}
            diff = self.diff(*key)
            for node in diff.removed:
                into = folded_into(diff, node)
                if into is not None:
                    found.setdefault(into.after[0].id, []).append(node)
            self._folded[key] = found
        return self._folded[key].get(match.after[0].id, [])

    def origins(self, spot: Spot) -> tuple[Spot, ...]:
        """Where a node comes from: the earliest nodes that it, and what was fused into it, were."""
        wanted = [spot]
        while wanted:
            here = wanted[-1]
            link = self.back(here) if here not in self._origins else None
            parts = link.before if link is not None else ()
            older = [part for part in parts if part not in self._origins]
            if older:
                wanted.extend(older)
                continue
            wanted.pop()
            if here not in self._origins:
                found = [origin for part in parts for origin in self._origins[part]]
                self._origins[here] = tuple(dict.fromkeys(found)) or (here,)
        return self._origins[spot]

    def ends(self, spot: Spot) -> tuple[Spot, ...]:
        """Where a node is in the newest snapshot; empty where it did not live to see it."""
        spots: tuple[Spot, ...] = (spot,)
        for _ in range(spot.index, self.last):
            links = [self.onward(here) for here in spots]
            spots = tuple(dict.fromkeys(s for link in links if link for s in link.after))
        return spots

    def value_on(self, index: int, method: str, value: str) -> tuple[str, str] | None:
        """Method and name of a value one snapshot later."""
        graph = self.graph(index, method)
        if value in graph.inputs:
            place = graph.inputs.index(value)
            way = next(self.ways_on(index, method), None)
            inputs = self.graph(index + 1, way).inputs if way else ()
            return (way, inputs[place]) if way and place < len(inputs) else None
        maker = graph.producers.get(value)
        link = self.onward(Spot(index, method, maker.id)) if maker is not None else None
        if maker is None or link is None:
            return None
        outputs = link.match.after[0].outputs
        place = maker.outputs.index(value)
        return (link.after[0].method, outputs[place]) if place < len(outputs) else None

    def source(self, spot: Spot) -> str:
        """See `lineage.source_of`."""
        return next(iter(self.sources(spot)), "")

    def sources(self, spot: Spot) -> tuple[str, ...]:
        """The user's own lines of all that a node stands for, each once, in order."""
        found = [self._own_source(origin) for origin in self.origins(spot)]
        found = found if any(found) else [self.node(spot).source, self._borrowed(spot)]
        own = [source for source in found if source and not is_library(source)]
        return tuple(dict.fromkeys(own)) or tuple(source for source in found if source)[:1]

    def _own_source(self, spot: Spot) -> str:
        source = self.node(spot).source
        return source if source and not is_library(source) else self._borrowed(spot) or source

    def _borrowed(self, spot: Spot) -> str:
        """For a node that serves an op: the line of the op whose value it stands on, or that it
        feeds."""
        graph, served = self.graph(spot.index, spot.method), self.node(spot)
        if not serves(served):
            return ""
        for node in neighbours(graph, served):
            for origin in self.origins(Spot(spot.index, spot.method, node.id)):
                source = self.node(origin).source
                if source and not is_library(source):
                    return source
        return ""

    def module(self, spot: Spot) -> str:
        """See `lineage.module_of`."""
        own = self.node(spot).module_path
        paths = (self.node(origin).module_path for origin in self.origins(spot))
        return own or next(filter(None, paths), "")


def folded_into(diff: GraphDiff, node: Node) -> Match | None:
    """The match of the convolution or linear op that a batch norm without a partner followed."""
    if node.id in diff.match_before:
        return None
    layer = layer_of(diff.before, node)
    return diff.match_before.get(layer.id) if layer is not None else None


def layer_of(graph: Graph, node: Node) -> Node | None:
    """The convolution or linear op that a batch norm follows; None for other nodes."""
    if node.kind != "aten::batch_norm":
        return None
    maker = graph.producers.get(origin_of(graph, node.inputs[0]))
    return maker if maker is not None and maker.kind in WEIGHT_INPUT else None


def origin_of(graph: Graph, value: str) -> str:
    """The value itself, followed back through observers, quantize and dequantize nodes."""
    while (node := graph.producers.get(value)) is not None:
        if node.is_observer or role_of(node) in _THREADED:
            value = node.inputs[0]
        elif (yielded := settled_branch(graph, value)) is not None:
            value = yielded
        else:
            break
    return value


def is_fixed(node: Node) -> bool:
    """Whether a node computes nothing: a constant, a list of them, a fetched attribute."""
    return node.kind in (
        "prim::Constant",
        "prim::GetAttr",
        "prim::ListConstruct",
        "prim::TupleConstruct",
    )


def serves(node: Node) -> bool:
    """Whether a node is there for other nodes' sake: no op of the model."""
    kinds = ("aten::q_scale", "aten::q_zero_point", "prim::dtype")
    return is_fixed(node) or node.is_observer or bool(role_of(node)) or node.kind in kinds


def neighbours(graph: Graph, node: Node) -> Iterator[Node]:
    """The op that makes the value a node hands on, then the ops that take what it gives.

    Nodes that compute nothing and nodes that only hand on are stepped over.
    """
    if not is_fixed(node):
        for value in node.inputs[:1]:
            maker = graph.producers.get(origin_of(graph, value))
            if maker is not None and not is_fixed(maker):
                yield maker
    seen: set[str] = set()
    waiting = [node]
    while waiting:
        for value in waiting.pop(0).outputs:
            for user in graph.consumers.get(value, ()):
                if user.id in seen:
                    continue
                seen.add(user.id)
                if serves(user):
                    waiting.append(user)
                else:
                    yield user
