"""What is wrong with the ranges that calibration left."""

from __future__ import annotations

import math
from collections.abc import Iterator

from jitq_explore.diagnostics.causes import CONVERTS
from jitq_explore.diagnostics.findings import ERROR, WARNING, Finding
from jitq_explore.diagnostics.located import at_observation, has_run, plural
from jitq_explore.diagnostics.recommend import typical_part
from jitq_explore.snapshots.graph import Graph
from jitq_explore.snapshots.observations import Observation, observations, observing_stage
from jitq_explore.snapshots.once import once
from jitq_explore.snapshots.qparams import EPS
from jitq_explore.snapshots.recording import Recording
from jitq_explore.snapshots.settling import histogram_of

WASTEFUL_RATIO = 16.0
"""A range so many times wider than what nearly all values fill wastes four of eight bits, 24 dB:
each doubling costs one bit, 6 dB (20·log10 2). Healthy activations stay below 8 (tests)."""

OVERFLOWING_SCALE = 1e30
"""255 steps of it leave the range of float32 (3.4e38) in one or two multiplications; torch then
gives zeros without a word (measured with 3e38 in the calibration data)."""

ALMOST_EPS = 1.01
"""torch's observers never go below eps (1.19e-07): a scale there has seen nothing but zeros."""

RANGE_RATIO = 4.0
"""Two uses of one module whose ranges differ so much cost the smaller one two bits, 12 dB."""


def _activations(recording: Recording) -> list[Observation]:
    return [seen for seen in observations(recording) if seen.role == "activation"]


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
    return tuple(seen for seen in _activations(recording) if not seen.reading.calibrated)


def never_calibrated(recording: Recording) -> Iterator[Finding]:
    """No observer has seen anything."""
    idle = _idle(recording)
    if not idle or len(idle) < len(_activations(recording)):
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
    if not idle or len(idle) == len(_activations(recording)):
        return
    graph = _graph(recording)
    for seen in idle:
        in_branch = bool(seen.node.block)
        if in_branch and not _is_open(graph, seen.node.block):
            continue
        finding = Finding(
            rule="branch_not_calibrated" if in_branch else "partly_calibrated",
            severity=WARNING if in_branch else ERROR,
            title=f"nothing was seen of {_named(seen)}"
            + (": its branch was never taken" if in_branch else ""),
            why="its scale is made up (1): the result is coarse or wrong"
            + (
                ", or an error, whenever the branch is taken"
                if in_branch
                else "; did a call of the model end half-way?"
            ),
            evidence=f"{len(idle)} of {len(_activations(recording))} activations have seen nothing",
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
    for seen in _activations(recording):
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
        evidence=f"{_named(seen)} saw {fed} batches, others {fewest}",
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


def not_finite(recording: Recording) -> Iterator[Finding]:
    """NaN or infinity in the calibration data, or made by the model."""
    found = [seen for seen in _activations(recording) if _is_not_finite(seen)]
    error = recording.error
    if error is not None and "is not finite" in error.message:
        yield Finding(
            rule="not_finite",
            severity=ERROR,
            title="calibration met NaN or infinity",
            why="a histogram has no bin for it",
            evidence=error.message.strip().splitlines()[-1],
            remedy="Look for NaN or infinity in the calibration inputs (torch.isfinite).",
            stage=recording.names[-1],
        )
    if not found:
        return
    seen = found[0]
    finding = Finding(
        rule="not_finite",
        severity=ERROR,
        title=f"the range of {_named(seen)} is not finite",
        why="a min-max observer takes NaN and infinity for values: the scale is no number, and "
        "what is computed with it neither",
        evidence=f"{_range(seen)}; {plural(len(found), 'such value')}",
        remedy="Look for NaN or infinity in the calibration inputs (torch.isfinite); if the model "
        "makes them, keep that module in float.",
    )
    yield at_observation(recording, finding, seen)


def _is_not_finite(seen: Observation) -> bool:
    reading = seen.reading
    if not reading.calibrated:
        return False
    return not all(map(math.isfinite, (*reading.minimum, *reading.maximum, *reading.scale)))


def overflowing(recording: Recording) -> Iterator[Finding]:
    """Values near the largest that float32 can hold."""
    for seen in _activations(recording):
        scale = max(seen.reading.scale, default=0.0)
        if seen.reading.calibrated and OVERFLOWING_SCALE < scale < math.inf:
            finding = Finding(
                rule="overflowing_range",
                severity=ERROR,
                title=f"the scale of {_named(seen)} is {scale:.3g}",
                why="every usual value is rounded to zero, without a word",
                evidence=_range(seen),
                remedy="Take the outlier out of the calibration data.",
            )
            yield at_observation(recording, finding, seen)
            return


def outliers(recording: Recording) -> Iterator[Finding]:
    """A range made for a few values, far wider than nearly all others need."""
    for seen in _activations(recording):
        reading = seen.reading
        histogram = histogram_of(reading)
        if histogram is None or not reading.scale or not reading.calibrated:
            continue
        if reading.quant_min is None or reading.quant_max is None or _is_not_finite(seen):
            continue
        typical, reason = typical_part(histogram, reading)
        covered = reading.scale[0] * (reading.quant_max - reading.quant_min)
        needed = max(typical.high, 0.0) - min(typical.low, 0.0)
        if not reason or not 0 < needed * WASTEFUL_RATIO <= covered:
            continue
        finding = Finding(
            rule="outlier",
            severity=WARNING,
            title=f"the range of {_named(seen)} is {covered / needed:.0f} times as wide as nearly "
            "all of its values need",
            why=f"{math.log2(covered / needed):.1f} of its bits are spent on a few outliers",
            evidence=reason,
            remedy="Take the outliers out of the calibration data, or use a HistogramObserver or a "
            "moving average; jq.recommend() says which one gains most.",
        )
        yield at_observation(recording, finding, seen)


def at_eps(recording: Recording) -> Iterator[Finding]:
    """An activation that was nothing but zero, or hardly more."""
    for seen in _activations(recording):
        reading = seen.reading
        if not reading.calibrated or not reading.scale or recording.mode != "static":
            continue
        if max(reading.scale) > ALMOST_EPS * EPS or _is_not_finite(seen):
            continue
        largest = max(map(abs, (*reading.minimum, *reading.maximum)), default=0.0)
        steps = largest / max(reading.scale)
        if largest and steps * WASTEFUL_RATIO > (reading.quant_max or 0):
            continue
        finding = Finding(
            rule="tiny_range" if largest else "always_zero",
            severity=WARNING,
            title=f"{_named(seen)} was never larger than {largest:.3g}"
            if largest
            else f"{_named(seen)} was zero throughout calibration",
            why="its scale is the smallest that torch allows: "
            + ("few integers are left for it" if largest else "whatever it is later saturates"),
            evidence=f"{_range(seen)}, scale {max(reading.scale):.3g}, {steps:.0f} steps",
            remedy="Calibrate with typical inputs; if it is so in truth, the layer is dead or "
            "the model not trained.",
        )
        yield at_observation(recording, finding, seen)


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


def shared_range(recording: Recording) -> Iterator[Finding]:
    """A module that is called more than once, whose observer takes all calls together."""
    calls: dict[str, list[Observation]] = {}
    for seen in _activations(recording):
        calls.setdefault(seen.reading.path, []).append(seen)
    for group in calls.values():
        if len(group) < 2:
            continue
        widths = _widths(group[0], len(group))
        if not widths or not 0 < min(widths) * RANGE_RATIO <= max(widths):
            continue
        seen = group[0]
        finding = Finding(
            rule="shared_range",
            severity=WARNING,
            title=f"{_named(seen)} has one range for {len(group)} uses that differ",
            why="the module is called more than once, and its observer takes all calls together: "
            "the narrower one has too few steps",
            evidence="widths " + ", ".join(f"{width:.3g}" for width in widths),
            remedy="Give each use a module of its own (copy.deepcopy before scripting).",
        )
        yield at_observation(recording, finding, seen)


def _widths(seen: Observation, uses: int) -> list[float]:
    """The widest range of each of the calls that take turns; nothing where that is not known."""
    low, high = seen.reading.batch_minimum, seen.reading.batch_maximum
    if not low or len(low) % uses:
        return []
    spans = [max(end, 0.0) - min(begin, 0.0) for begin, end in zip(low, high, strict=True)]
    return [max(spans[k::uses]) for k in range(uses)]


def _named(seen: Observation) -> str:
    where = f" of {seen.reading.module!r}" if seen.reading.module else ""
    return f"%{seen.value}{where} ({seen.op})"


def _range(seen: Observation) -> str:
    reading = seen.reading
    low, high = min(reading.minimum, default=math.nan), max(reading.maximum, default=math.nan)
    return f"{low:.4g} … {high:.4g}"


RULES = (
    never_calibrated,
    partly_calibrated,
    half_way,
    not_finite,
    overflowing,
    outliers,
    at_eps,
    accepted_early,
    shared_range,
)
