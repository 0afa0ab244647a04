"""What calibration has not seen, or seen in part."""

from __future__ import annotations

from collections.abc import Iterator

from jitq_explore.diagnostics.findings import ERROR, WARNING, Finding
from jitq_explore.diagnostics.located import at_observation, has_run, plural
from jitq_explore.diagnostics.rules_ranges import activations, named
from jitq_explore.diagnostics.stage_groups import CONVERTS
from jitq_explore.snapshots.graph import Graph
from jitq_explore.snapshots.observations import Observation, observations, observing_stage
from jitq_explore.snapshots.once import once
from jitq_explore.snapshots.recording import Recording


def _calibrated_by_now(recording: Recording) -> bool:
    """Whether the observers should have seen data: only static ones ever do."""
    return recording.mode == "static" and has_run(recording, "calibrate", *CONVERTS)


def _graph(recording: Recording) -> Graph:
    stage = observing_stage(recording)
    assert stage is not None, "there is no observation without an observing stage"
    return stage.after.graph()


@once
def _idle(recording: Recording) -> tuple[Observation, ...]:
    """The activations whose observers have seen nothing, though they should have."""
    if not _calibrated_by_now(recording):
        return ()
    return tuple(seen for seen in activations(recording) if not seen.reading.calibrated)


def never_calibrated(recording: Recording) -> Iterator[Finding]:
    """No observer has seen anything."""
    idle = _idle(recording)
    if not idle or len(idle) < len(activations(recording)):
        return
    per_channel = any(
        seen.role == "weight" and seen.reading.qscheme.startswith("per_channel")
        for seen in observations(recording)
    )
    effect = (
        "weights are observed during calibration too: without their channels' scales they cannot "
        "be packed, and the model fails when it is run"
        if per_channel
        else "torch makes up a scale of 1 for every value, silently: the output is nearly zero"
    )
    yield Finding(
        rule="uncalibrated_per_channel" if per_channel else "uncalibrated",
        severity=ERROR,
        title="the model was never calibrated",
        why=effect,
        evidence=f"{plural(len(idle), 'observer')} of activations, and none has seen a value",
        remedy="Run the observed model on typical inputs before converting it.",
    )


def partly_calibrated(recording: Recording) -> Iterator[Finding]:
    """Some observers have seen data, and others on the same way have not."""
    idle = _idle(recording)
    if not idle or len(idle) == len(activations(recording)):
        return
    graph = _graph(recording)
    for seen in idle:
        in_branch = bool(seen.node.block)
        if in_branch and not _is_open(graph, seen.node.block):
            continue
        finding = Finding(
            rule="branch_not_calibrated" if in_branch else "partly_calibrated",
            severity=WARNING if in_branch else ERROR,
            title=f"nothing was seen of {named(seen)}"
            + (": its branch was never taken" if in_branch else ""),
            why="its scale is made up (1): the result is coarse or wrong"
            + (
                ", or an error, whenever the branch is taken"
                if in_branch
                else "; did a call of the model end half-way?"
            ),
            evidence=f"{len(idle)} of {len(activations(recording))} activations have seen nothing",
            remedy="Calibrate with inputs that take this branch too, or keep it in float."
            if in_branch
            else "Calibrate with inputs that run through the whole model.",
        )
        yield at_observation(recording, finding, seen)


def _is_open(graph: Graph, block: str) -> bool:
    """Whether it depends on the model's inputs if a block is run: not on its settings alone."""
    while block:
        owner = graph.by_id[graph.blocks[block].owner]
        waiting, seen = list(owner.inputs), set(owner.inputs)
        while waiting:
            name = waiting.pop()
            if name in graph.inputs[1:]:
                return True
            maker = graph.producers.get(name)
            new = [each for each in maker.inputs if each not in seen] if maker is not None else []
            seen.update(new)
            waiting.extend(new)
        block = owner.block
    return False


def half_way(recording: Recording) -> Iterator[Finding]:
    """A call that ended half-way: what comes first has seen more batches than what comes last."""
    stage = next((s for s in recording if s.timeline is not None), None)
    if stage is None or stage.timeline is None or recording.mode != "static":
        return
    counts = {}
    for seen in activations(recording):
        track = stage.timeline.by_observer.get(seen.reading.path)
        if track is None or seen.node.block or seen.reading.path in counts:
            continue
        fed = len(seen.reading.batch_minimum) or _growths(track.counts)
        if fed:
            counts[seen.reading.path] = (fed, seen)
    fewest = min((fed for fed, _ in counts.values()), default=0)
    odd = [(fed, seen) for fed, seen in counts.values() if fewest and fed % fewest]
    if not odd:
        return
    fed, seen = max(odd, key=lambda pair: pair[0])
    finding = Finding(
        rule="call_ended_half_way",
        severity=WARNING,
        title="some calls of the model ended half-way in calibration",
        why="the first observers keep what such a call showed them, and the later ones never saw "
        "it: their ranges are of different data",
        evidence=f"{named(seen)} saw {fed} batches, others {fewest}",
        remedy="Let no call fail in calibration (leave such inputs out), and calibrate anew.",
    )
    yield at_observation(recording, finding, seen)


def _growths(counts: tuple[float, ...]) -> int:
    """In how many batches a histogram grew."""
    before = 0.0
    grown = 0
    for count in counts:
        grown += count > before
        before = count
    return grown


def accepted_early(recording: Recording) -> Iterator[Finding]:
    """A calibration that was interrupted, and taken as it was."""
    for stage in recording:
        if stage.interrupted and stage.error is None:
            yield Finding(
                rule="calibration_interrupted",
                severity=WARNING,
                title="the calibration was interrupted, and accepted so",
                why="the ranges are those of the batches that had been seen by then",
                evidence=plural(stage.batches or 0, "batch", "batches"),
                remedy="Calibrate with all of the data for a model to be shipped.",
                stage=stage.name,
            )


RULES = (never_calibrated, partly_calibrated, half_way, accepted_early)
