"""Where in the graph of every stage that is which a row of a table is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from jitq_explore.diagnostics.diagnose import diagnose
from jitq_explore.snapshots.endings import is_kernel
from jitq_explore.snapshots.observations import observations, observing_stage
from jitq_explore.snapshots.observed_values import ObservedValue, observed_values
from jitq_explore.snapshots.once import once
from jitq_explore.snapshots.quant_node import role_of
from jitq_explore.snapshots.quant_nodes import end_of, quant_nodes
from jitq_explore.snapshots.recording import INPUT, Recording
from jitq_explore.snapshots.tracking import Spot, Tracker, serves


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
    """Of each quantization node: itself; before it was inserted what the value's row is about, and
    when it is gone what does its work."""
    finder = _Finder(Tracker.of(recording))
    of_observer: dict[str, Mapping[str, list[str]]] = {}
    for seen, where in zip(observed_values(recording), of_observed_values(recording), strict=True):
        of_observer.setdefault(seen.reading.path, where.by_stage)
    found = []
    for row in quant_nodes(recording):
        index = finder.tracker.names.index(row.inserted_by)
        known = of_observer.get(row.observer, {})
        earlier = {name: known[name] for name in finder.tracker.names[:index] if name in known}
        own = finder.to_its_end(index, finder.spots(index, [row.node.id], row.node))
        found.append(Whereabouts({**earlier, **finder.named(own)}, row.inserted_by))
    return found


@once
def of_errors(recording: Recording) -> Sequence[Whereabouts]:
    """Of each measured error, in the order of the numerics table: the op that makes it, at all
    stages of which that measurement tells most (see `telling_stages`); of an output no node."""
    measured = recording.numerics
    if measured is None:
        return []
    finder = _Finder(Tracker.of(recording))
    telling = telling_stages(recording)
    found = []
    for stage in measured.stages:
        shown = {name for name, teller in telling.items() if teller == stage} | {stage}
        for row in measured.at(stage):
            by_stage = finder.of_error(finder.tracker.names.index(stage), row.node)
            here = {name: ids for name, ids in by_stage.items() if name in shown}
            found.append(Whereabouts(here, stage))
        outputs = sum(output.stage == stage for output in measured.outputs)
        found += [Whereabouts({}, stage)] * outputs
    return found


@once
def telling_stages(recording: Recording) -> Mapping[str, str]:
    """Stage -> the measured one whose errors tell most of it; empty where nothing was measured.

    That is the next one, itself included, after which anything but rounding was lost: of a stage
    that only observes, the one that quantizes what it observed.
    """
    measured = recording.numerics
    if measured is None:
        return {}
    lossy = [
        stage
        for stage in measured.stages
        if any(row.own_sqnr < _ROUNDING for row in measured.at(stage))
    ] or list(measured.stages[-1:])
    names = (INPUT, *recording.names)
    later = {
        name: [stage for stage in lossy if names.index(stage) >= place]
        for place, name in enumerate(names)
    }
    return {name: found[0] if found else lossy[-1] for name, found in later.items()}


_ROUNDING = 100.0
"""dB; what differs by less than a float's rounding is above it."""


def of_values(recording: Recording, observers: Iterable[str]) -> Sequence[Whereabouts]:
    """Of the values with these observers (their module paths), as `of_observed_values`."""
    known: dict[str, Whereabouts] = {}
    for seen, where in zip(observed_values(recording), of_observed_values(recording), strict=True):
        known.setdefault(seen.reading.path, where)
    return [known.get(path, Whereabouts({})) for path in observers]


@once
def of_findings(recording: Recording) -> Sequence[Whereabouts]:
    """Of each finding its node; for an observer what the observed value's row is about."""
    finder = _Finder(Tracker.of(recording))
    values = {
        seen.node.id: where.by_stage
        for seen, where in zip(observations(recording), of_observed_values(recording), strict=True)
    }
    observed = observing_stage(recording)
    found = []
    for each in diagnose(recording):
        by_stage: Mapping[str, list[str]] = {}
        if observed is not None and each.stage == observed.name and each.node in values:
            by_stage = values[each.node]
        elif each.node:
            index = finder.tracker.names.index(each.stage)
            spot = Spot(index, finder.main[index], each.node)
            by_stage = finder.named({**finder.backward(spot), **finder.onward(index, [spot])})
        found.append(Whereabouts(by_stage, each.stage))
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

    def of_error(self, index: int, node: str) -> dict[str, list[str]]:
        """Stage -> ids of nodes, of an op whose error was measured; before it was fused, the ops
        that it was made of."""
        spot = Spot(index, self.main[index], node)
        older = {
            place: [each for each in spots if not serves(self.tracker.node(each))] or spots
            for place, spots in self.backward(spot).items()
        }
        return self.named({**older, **self.onward(index, [spot])})

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

    def to_its_end(self, index: int, spots: Sequence[Spot]) -> dict[int, list[Spot]]:
        """The same of a quantization node, and of what does its work when it is gone."""
        found = self.onward(index, spots)
        *_, last = [place for place, there in found.items() if there] or [self.tracker.last]
        for spot in found[last] if last < self.tracker.last else ():
            for way in self.tracker.ways_on(last, spot.method):
                _, into = end_of(
                    self.tracker.diff(last + 1, spot.method, way), self.tracker.node(spot)
                )
                after = [Spot(last + 1, way, node.id) for node in into.after] if into else []
                self.merge(found, self.onward(last + 1, after))
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
