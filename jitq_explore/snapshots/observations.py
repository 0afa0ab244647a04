"""Which values are observed, by what, and in which role."""

from __future__ import annotations

from dataclasses import dataclass

from jitq_explore.snapshots.diff import GraphDiff
from jitq_explore.snapshots.graph import (
    Graph,
    Node,
    attribute_names,
    attribute_path,
)
from jitq_explore.snapshots.matching import Side
from jitq_explore.snapshots.modules import QPARAM
from jitq_explore.snapshots.observers import ObserverReading
from jitq_explore.snapshots.once import once
from jitq_explore.snapshots.recording import Recording, Snapshot, StageRecord
from jitq_explore.snapshots.settled import settled_branch
from jitq_explore.snapshots.timeline import RangeTrack

WEIGHT_INPUT = {
    "aten::conv1d": 1,
    "aten::conv2d": 1,
    "aten::conv3d": 1,
    "aten::conv_transpose1d": 1,
    "aten::conv_transpose2d": 1,
    "aten::conv_transpose3d": 1,
    "aten::_convolution": 1,
    "aten::linear": 1,
    "aten::embedding_bag": 0,
}
"""Kind -> which of its inputs is a weight: the table torch's own passes go by."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One observed value.

    `node` is the observer's node in the flattened graph, `value` the observed value's name as torch
    keeps it, `role` is "weight" or "activation". `op` is the kind of the op that makes an
    activation ("input" for an input of the model) or that uses a weight, `source` that op's line.
    """

    node: Node
    reading: ObserverReading
    role: str
    value: str
    op: str
    source: str


@once
def observing_stage(recording: Recording) -> StageRecord | None:
    """The stage that inserted the observers: the first after which the graph has any."""
    for stage in recording.stages:
        if any(node.is_observer for node in stage.after.graph().nodes):
            return stage
    return None


@once
def calibrated_stage(recording: Recording) -> StageRecord | None:
    """The newest stage that calibrated, with a timeline of its ranges."""
    return next((stage for stage in reversed(recording.stages) if stage.timeline), None)


def range_track(recording: Recording, observer: str) -> RangeTrack | None:
    """How the range of the observer with that path grew in the newest calibration; None where it
    saw nothing."""
    stage = calibrated_stage(recording)
    if stage is None or stage.timeline is None:
        return None
    return stage.timeline.by_observer.get(observer)


@once
def observations(recording: Recording) -> tuple[Observation, ...]:
    """Every observed value in the order of the graph, with the newest reading of its observer.

    A value observed in a submodule that is called twice comes once for each call.
    """
    stage = observing_stage(recording)
    if stage is None:
        return ()
    graph = stage.after.graph()
    newest = newest_readings(recording)
    return tuple(
        _observation(graph, node, newest[str(node.attributes["observer"])])
        for node in graph.nodes
        if node.is_observer and node.attributes["observer"] in newest
    )


def newest_readings(recording: Recording) -> dict[str, ObserverReading]:
    """Observer's module path -> the last reading that was taken of it."""
    snapshots: list[Snapshot] = [recording.input, *(stage.after for stage in recording.stages)]
    newest: dict[str, ObserverReading] = {}
    for snapshot in snapshots:
        newest.update(snapshot.readings)
    return newest


def _observation(graph: Graph, node: Node, reading: ObserverReading) -> Observation:
    observed = node.inputs[0]
    user = _weight_user(graph, node)
    role = "weight" if user is not None or attribute_path(graph, observed) else "activation"
    maker = _maker(graph, observed)
    op = (user or _first_user(graph, node)) if role == "weight" else maker
    return Observation(
        node=node,
        reading=reading,
        role=role,
        value=str(node.attributes["value"]),
        op=op.kind if op is not None else "input",
        source=(op.source if op is not None else "") or node.source,
    )


def _maker(graph: Graph, value: str) -> Node | None:
    """The op that computes a value, looked for inside an If that always goes one way."""
    while (yielded := settled_branch(graph, value)) is not None:
        value = yielded
    return graph.producers.get(value)


def _weight_user(graph: Graph, observer: Node) -> Node | None:
    """The op that takes what the observer hands on as its weight."""
    handed_on = observer.outputs[0]
    for node in graph.consumers.get(handed_on, ()):
        place = WEIGHT_INPUT.get(node.kind)
        if place is not None and place < len(node.inputs) and node.inputs[place] == handed_on:
            return node
    return None


def _first_user(graph: Graph, observer: Node) -> Node | None:
    return next(iter(graph.consumers.get(observer.outputs[0], ())), None)


def observers_of_quantizers(diff: GraphDiff) -> dict[str, str]:
    """Id of a quantize (or saturate) node after -> path of the observer before that decided on it.

    They stand on the same value. The name torch gives the qparams is asked only where several
    observers stand on one value, as on a shared weight: unnamed values change their numbers.
    """
    before, after = Side.of(diff.before), Side.of(diff.after)
    standing: dict[str, list[Node]] = {}
    for node in diff.before.nodes:
        if node.is_observer:
            standing.setdefault(before.origin(node.inputs[0]), []).append(node)
    found = {}
    for node in diff.after.nodes:
        value = _value_before(diff, after.origin(node.inputs[0])) if node.inputs else None
        observers = standing.get(before.origin(value), []) if value is not None else []
        if observers:
            name = _qparam_name(diff.after, node)
            named = (seen for seen in observers if seen.attributes["value"] == name)
            found[node.id] = str(next(named, observers[0]).attributes["observer"])
    return found


def _value_before(diff: GraphDiff, value: str) -> str | None:
    if value in diff.after.inputs:
        place = diff.after.inputs.index(value)
        return diff.before.inputs[place] if place < len(diff.before.inputs) else None
    node = diff.after.producers.get(value)
    match = diff.match_after.get(node.id) if node is not None else None
    if node is None or match is None:
        return None
    place = node.outputs.index(value)
    outputs = match.before[-1].outputs
    return outputs[place] if place < len(outputs) else None


def _qparam_name(graph: Graph, quantizer: Node) -> str | None:
    """The value that the quantize node's qparams are named after."""
    for value in quantizer.inputs[1:]:
        names = attribute_names(graph, value)
        qparam = QPARAM.match(names[-1]) if names else None
        if qparam:
            return qparam["value"]
    return None
