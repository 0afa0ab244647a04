"""Where in a recording a finding is: the node, its module, the user's line."""

from __future__ import annotations

from dataclasses import replace

from jitq_explore.diagnostics.findings import Finding
from jitq_explore.diagnostics.stage_groups import base_name
from jitq_explore.snapshots.graph import Node
from jitq_explore.snapshots.observations import Observation, observing_stage
from jitq_explore.snapshots.recording import INPUT, Recording
from jitq_explore.snapshots.tracking import Spot, Tracker


def at_spot(recording: Recording, finding: Finding, spot: Spot, module: str = "") -> Finding:
    """The finding, about the node at that spot."""
    tracker = Tracker.of(recording)
    return replace(
        finding,
        stage=tracker.names[spot.index],
        node=spot.node_id,
        module=module or finding.module or tracker.module(spot),
        source=tracker.source(spot),
    )


def at_node(
    recording: Recording, finding: Finding, node: Node, stage: str, module: str = ""
) -> Finding:
    """The finding, about a node of the main graph after that stage."""
    tracker = Tracker.of(recording)
    index = tracker.names.index(stage)
    spot = Spot(index, tracker.snapshots[index].main_method, node.id)
    return at_spot(recording, finding, spot, module)


def at_observation(recording: Recording, finding: Finding, seen: Observation) -> Finding:
    """The finding, about an observed value."""
    stage = observing_stage(recording)
    assert stage is not None, "there is no observation without an observing stage"
    tracker = Tracker.of(recording)
    index = tracker.names.index(stage.name)
    graph = stage.after.graph()
    # The op that makes the value, or that uses the weight, says more than the observer's own place.
    maker = graph.producers.get(seen.node.inputs[0])
    users = graph.consumers.get(seen.node.outputs[0], ())
    computes = maker is not None and maker.kind.startswith("aten::")
    op = maker if maker is not None and computes else next(iter(users), seen.node)
    own = tracker.module(Spot(index, stage.after.main_method, op.id)) or seen.reading.module
    found = at_node(recording, finding, seen.node, stage.name, own)
    return replace(found, source=seen.source or found.source)


def last_name(recording: Recording) -> str:
    """The name of the newest snapshot."""
    return recording.names[-1] if recording.names else INPUT


def has_run(recording: Recording, *names: str) -> bool:
    """Whether any of these stages has run, without an error."""
    return any(base_name(stage.name) in names and stage.error is None for stage in recording)


def plural(count: int, one: str, many: str = "") -> str:
    """A number with its noun."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
