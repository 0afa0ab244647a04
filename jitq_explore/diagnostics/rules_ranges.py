"""What is wrong with the ranges that calibration left."""

from __future__ import annotations

import math
from collections.abc import Iterator

from jitq_explore.diagnostics.findings import ERROR, WARNING, Finding
from jitq_explore.diagnostics.located import at_observation, plural
from jitq_explore.diagnostics.recommend import FEWEST_BATCHES, typical_part
from jitq_explore.snapshots.observations import Observation, observations, observing_stage
from jitq_explore.snapshots.qparams import EPS
from jitq_explore.snapshots.recording import Recording
from jitq_explore.snapshots.settling import histogram_of
from jitq_explore.snapshots.timeline import RangeTrack

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


def activations(recording: Recording) -> list[Observation]:
    """What stands on values that ops make or take, not on weights."""
    return [seen for seen in observations(recording) if seen.role == "activation"]


def not_finite(recording: Recording) -> Iterator[Finding]:
    """NaN or infinity in the calibration data, or made by the model."""
    found = [seen for seen in activations(recording) if _is_not_finite(seen)]
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
        title=f"the range of {named(seen)} is not finite",
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
    for seen in activations(recording):
        scale = max(seen.reading.scale, default=0.0)
        if seen.reading.calibrated and OVERFLOWING_SCALE < scale < math.inf:
            finding = Finding(
                rule="overflowing_range",
                severity=ERROR,
                title=f"the scale of {named(seen)} is {scale:.3g}",
                why="every usual value is rounded to zero, without a word",
                evidence=_range(seen),
                remedy="Take the outlier out of the calibration data.",
            )
            yield at_observation(recording, finding, seen)
            return


def outliers(recording: Recording) -> Iterator[Finding]:
    """A range made for a few values, far wider than nearly all others need."""
    for seen in activations(recording):
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
        is_histogram = reading.short_class == "HistogramObserver"
        other = "a moving average" if is_histogram else "a HistogramObserver or a moving average"
        finding = Finding(
            rule="outlier",
            severity=WARNING,
            title=f"the range of {named(seen)} is {covered / needed:.0f} times as wide as nearly "
            "all of its values need",
            why=f"{math.log2(covered / needed):.1f} of its bits are spent on a few outliers",
            evidence=reason,
            remedy=f"Take the outliers out of the calibration data, or use {other}; "
            "jq.recommend() says which one gains most.",
        )
        yield at_observation(recording, finding, seen)


def widened_by_one_batch(recording: Recording) -> Iterator[Finding]:
    """The same where no histogram shows it: the range grew by far in one batch of several."""
    stage = observing_stage(recording)
    timelines = [s.timeline for s in recording if s.timeline is not None]
    if stage is None or recording.mode != "static" or not timelines:
        return
    told = {finding.node for finding in outliers(recording)}
    jumps: dict[int, list[tuple[Observation, RangeTrack, int]]] = {}
    for seen in activations(recording):
        track = timelines[-1].by_observer.get(seen.reading.path)
        if track is None or seen.node.id in told or _is_not_finite(seen):
            continue
        jump = _jump(track)
        if jump is not None:
            jumps.setdefault(track.batches[jump], []).append((seen, track, jump))
    # An outlier goes on through the model: what comes first in it says most.
    for batch, group in jumps.items():
        seen, track, jump = group[0]
        before, after = (
            f"{track.minimum[k]:.4g} … {track.maximum[k]:.4g}" for k in (jump - 1, jump)
        )
        ratio = _width(track, jump) / _width(track, jump - 1)
        others = f", and {plural(len(group) - 1, 'other range')} wide too" if group[1:] else ""
        finding = Finding(
            rule="outlier",
            severity=WARNING,
            title=f"one batch made the range of {named(seen)} {ratio:.0f} times as wide{others}",
            why=f"where that is an outlier, {math.log2(ratio):.1f} bits of all other values are "
            "spent on it",
            evidence=f"batch {batch} of {track.batches[-1]} widened it from {before} to {after}",
            remedy="Look at that batch: take outliers out of the calibration data, or cut them "
            "off in the model; histograms=True shows how many values there are.",
        )
        yield at_observation(recording, finding, seen)


def _jump(track: RangeTrack) -> int | None:
    """Where a range that had been seen before grew to a multiple, for good."""
    places = range(1, len(track.batches))
    if len(track.batches) < FEWEST_BATCHES:
        return None
    found = (
        k
        for k in places
        if 0 < _width(track, k - 1) * WASTEFUL_RATIO <= min(_width(track, k), _width(track, -1))
    )
    return next(found, None)


def _width(track: RangeTrack, place: int) -> float:
    """Of the range after a batch, 0 taken in."""
    return max(track.maximum[place], 0.0) - min(track.minimum[place], 0.0)


def at_eps(recording: Recording) -> Iterator[Finding]:
    """An activation that was nothing but zero, or hardly more."""
    for seen in activations(recording):
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
            title=f"{named(seen)} was never larger than {largest:.3g}"
            if largest
            else f"{named(seen)} was zero throughout calibration",
            why="its scale is the smallest that torch allows: "
            + ("few integers are left for it" if largest else "whatever it is later saturates"),
            evidence=f"{_range(seen)}, scale {max(reading.scale):.3g}, {steps:.0f} steps",
            remedy="Calibrate with typical inputs; if it is so in truth, the layer is dead or "
            "the model not trained.",
        )
        yield at_observation(recording, finding, seen)


def shared_range(recording: Recording) -> Iterator[Finding]:
    """A module that is called more than once, whose observer takes all calls together."""
    calls: dict[str, list[Observation]] = {}
    for seen in activations(recording):
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
            title=f"{named(seen)} has one range for {len(group)} uses that differ",
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


def named(seen: Observation) -> str:
    """The observed value in words."""
    where = f" of {seen.reading.module!r}" if seen.reading.module else ""
    return f"%{seen.value}{where} ({seen.op})"


def _range(seen: Observation) -> str:
    reading = seen.reading
    low, high = min(reading.minimum, default=math.nan), max(reading.maximum, default=math.nan)
    return f"{low:.4g} … {high:.4g}"


RULES = (not_finite, overflowing, outliers, widened_by_one_batch, at_eps, shared_range)
