"""What stages put on a value: observers and quantize nodes; and the lives of a model's inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jitq_explore.snapshots.graph import Graph, Node
from jitq_explore.snapshots.lives import Event, Life
from jitq_explore.snapshots.observations import newest_readings
from jitq_explore.snapshots.observers import ObserverReading
from jitq_explore.snapshots.quant_node import role_of
from jitq_explore.snapshots.recording import Recording
from jitq_explore.snapshots.tracking import Link, Spot, Tracker


@dataclass(frozen=True, slots=True)
class Place:
    """A value, by its place in one snapshot."""

    index: int
    method: str
    name: str


def put_on_by(recording: Recording, tracker: Tracker, link: Link) -> list[Event]:
    """Observers and quantize nodes that a stage put on what the nodes of a match make."""
    spot = link.after[-1]
    graph = tracker.graph(spot.index, spot.method)
    before = tracker.graph(link.before[-1].index, link.before[-1].method)
    if graph is before:
        return []
    outputs = link.match.after[-1].outputs
    old_outputs = link.match.before[-1].outputs
    return put_on(recording, tracker, spot, (before, old_outputs), (graph, outputs))


def put_on(
    recording: Recording,
    tracker: Tracker,
    spot: Spot,
    old: tuple[Graph, Sequence[str]],
    new: tuple[Graph, Sequence[str]],
) -> list[Event]:
    """Events for what stands on the values of `new` and stood not on those of `old`."""
    there = {(node.kind, role_of(node)) for node in _standing_on(*old)}
    events = []
    for node in _standing_on(*new):
        if (node.kind, role_of(node)) in there:
            continue
        what = "observed" if node.is_observer else "quantized"
        detail = _observed(recording, node) if node.is_observer else f"by {node.kind}"
        stage = tracker.names[spot.index]
        events.append(Event(stage, what, (), (node,), detail, spot.method))
    return events


def _standing_on(graph: Graph, values: Sequence[str]) -> list[Node]:
    return [
        user
        for value in values
        for user in graph.consumers.get(value, ())
        if user.is_observer or role_of(user) in ("quantize", "saturate")
    ]


def _observed(recording: Recording, observer: Node) -> str:
    reading = newest_readings(recording).get(str(observer.attributes["observer"]))
    text = f"by {observer.attributes['class']}"
    return f"{text}: {_range(reading)}" if reading and reading.minimum else text


def _range(reading: ObserverReading) -> str:
    low, high = min(reading.minimum), max(reading.maximum)
    channels = f" over {len(reading.minimum)} channels" if len(reading.minimum) > 1 else ""
    return f"{low:.4g} … {high:.4g}{channels}"


def life_of_input(recording: Recording, tracker: Tracker, place: Place) -> Life:
    """The life of an input of the model, which no node makes."""
    position = tracker.graph(place.index, place.method).inputs.index(place.name)
    steps: list[Event] = []
    last: Graph | None = None
    for index, way in _ways(tracker, place):
        here = tracker.graph(index, way)
        name = here.inputs[position]
        stage = tracker.names[index]
        if last is None:
            steps.append(Event(stage, "created" if index else "given", (), (), f"%{name}", way))
        else:
            old = last.inputs[position]
            renamed = f"%{old} → %{name}" if old != name else ""
            steps.append(Event(stage, "survived", (), (), renamed, way))
            if last is not here:
                steps += put_on(
                    recording, tracker, Spot(index, way, ""), (last, [old]), (here, [name])
                )
        last = here
    subject, stage = f"%{place.name}, an input", tracker.names[place.index]
    return Life(subject, stage, "", (), tuple(steps), alive=steps[-1].stage == tracker.names[-1])


def _ways(tracker: Tracker, place: Place) -> list[tuple[int, str]]:
    """(index, method) of all graphs that a method's inputs go through, oldest first."""
    ways = [(place.index, place.method)]
    while ways[0][0] > 0 and (back := tracker.way_back(*ways[0])) is not None:
        ways.insert(0, (ways[0][0] - 1, back))
    while ways[-1][0] < tracker.last and (on := next(tracker.ways_on(*ways[-1]), None)) is not None:
        ways.append((ways[-1][0] + 1, on))
    return ways
