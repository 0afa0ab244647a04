"""Where in the graph of every stage that is which a row of a table is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from jitq_explore.snapshots.endings import is_kernel
from jitq_explore.snapshots.observations import observations, observing_stage
from jitq_explore.snapshots.observed_values import ObservedValue, observed_values
from jitq_explore.snapshots.once import once
from jitq_explore.snapshots.quant_node import role_of
from jitq_explore.snapshots.quant_nodes import quant_nodes
from jitq_explore.snapshots.recording import Recording
from jitq_explore.snapshots.tracking import Spot, Tracker


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """`by_stage` has ids of nodes of the graph after each stage, those that say most first;
    `stage` is the one that the row belongs to ("" for all)."""

    by_stage: Mapping[str, list[str]]
    stage: str = ""


def of_stages(recording: Recording) -> Sequence[Whereabouts]:
    """A row that is about a stage as a whole is about no node."""
    return [Whereabouts({}, name) for name in recording.names]


@once
def of_observed_values(recording: Recording) -> Sequence[Whereabouts]:
    """Of each observed value: its observer, quantize and dequantize, the op that makes it, the
    kernel that computes with it."""
    stage = observing_stage(recording)
    if stage is None:
        return []
    finder = _Finder(Tracker.of(recording))
    index = finder.tracker.names.index(stage.name)
    return [
        Whereabouts(finder.of_value(index, seen, node_id), stage.name)
        for seen, node_id in zip(
            observed_values(recording), (o.node.id for o in observations(recording)), strict=True
        )
    ]


@once
def of_quant_nodes(recording: Recording) -> Sequence[Whereabouts]:
    """Of each quantization node: itself; before it was inserted what the value's row is about."""
    finder = _Finder(Tracker.of(recording))
    of_observer: dict[str, Mapping[str, list[str]]] = {}
    for seen, where in zip(observed_values(recording), of_observed_values(recording), strict=True):
        of_observer.setdefault(seen.reading.path, where.by_stage)
    found = []
    for row in quant_nodes(recording):
        index = finder.tracker.names.index(row.inserted_by)
        known = of_observer.get(row.observer, {})
        earlier = {name: known[name] for name in finder.tracker.names[:index] if name in known}
        own = finder.onward(index, finder.spots(index, [row.node.id], row.node))
        found.append(Whereabouts({**earlier, **finder.named(own)}, row.inserted_by))
    return found


class _Finder:
    """Follows nodes from stage to stage, and keeps those that are in the main graphs."""

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker
        self.main = [snapshot.main_method for snapshot in tracker.snapshots]

    def of_value(self, index: int, seen: ObservedValue, observer: str) -> dict[str, list[str]]:
        """Stage -> ids of nodes, of an observed value; `index` is the stage that observes it."""
        gates = [Spot(index, self.main[index], observer)]
        found = self.onward(index, gates)
        if seen.quantizer is not None:
            self.merge(found, self.onward(seen.quantizer.index, self.with_dequantize(seen)))
        if seen.op is not None:
            self.merge(found, self.backward(seen.op))
            self.merge(found, self.onward(seen.op.index, [seen.op]))
        for kernel in seen.kernels:
            self.merge(found, self.while_kernel(kernel))
        return self.named(found)

    def with_dequantize(self, seen: ObservedValue) -> list[Spot]:
        """The quantize node and what dequantizes its result again."""
        quantizer = seen.quantizer
        assert quantizer is not None
        graph = self.tracker.graph(quantizer.index, quantizer.method)
        node = graph.by_id[quantizer.node_id]
        users = (user for name in node.outputs for user in graph.consumers.get(name, ()))
        ids = [user.id for user in users if role_of(user) == "dequantize"]
        return [quantizer, *(Spot(quantizer.index, quantizer.method, each) for each in ids)]

    def spots(self, index: int, ids: Iterable[str], node: object) -> list[Spot]:
        """The spots of a node, in whichever method has it."""
        snapshot = self.tracker.snapshots[index]
        methods = dict.fromkeys((self.main[index], *snapshot.method_names))
        return [
            Spot(index, method, each)
            for each in ids
            for method in methods
            if self.tracker.graph(index, method).by_id.get(each) is node
        ][:1]

    def onward(self, index: int, spots: Sequence[Spot]) -> dict[int, list[Spot]]:
        """Index -> where these are from there on."""
        found = {index: list(spots)}
        while spots and index < self.tracker.last:
            links = [self.tracker.onward(spot) for spot in spots]
            spots = list(dict.fromkeys(s for link in links if link for s in link.after))
            index += 1
            found[index] = list(spots)
        return found

    def backward(self, spot: Spot) -> dict[int, list[Spot]]:
        """Index -> where a node was until there."""
        found: dict[int, list[Spot]] = {}
        spots = [spot]
        while spots:
            found[spots[0].index] = spots
            links = [self.tracker.back(each) for each in spots]
            spots = list(dict.fromkeys(s for link in links if link for s in link.before))
        return found

    def while_kernel(self, spot: Spot) -> dict[int, list[Spot]]:
        """The same of a kernel, as long as it has been one."""
        return {
            index: spots
            for index, spots in self.backward(spot).items()
            if all(is_kernel(self.tracker.node(each)) for each in spots)
        }

    def merge(self, found: dict[int, list[Spot]], more: Mapping[int, Sequence[Spot]]) -> None:
        """Add to what has been found."""
        for index, spots in more.items():
            found.setdefault(index, []).extend(spots)

    def named(self, found: Mapping[int, Sequence[Spot]]) -> dict[str, list[str]]:
        """By the names of the stages, each node once; without what is in other methods."""
        by_name = {}
        for index in sorted(found):
            ids = [s.node_id for s in found[index] if s.method == self.main[index]]
            if ids:
                by_name[self.tracker.names[index]] = list(dict.fromkeys(ids))
        return by_name
