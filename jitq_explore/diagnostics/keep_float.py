"""Modules that are best kept float: their ops make a large error that no observer cures.

Judged by what `jq.compare` has measured of the last stage.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from jitq_explore.diagnostics.recommendation import MIN_GAIN, Recommendation
from jitq_explore.snapshots.changes import Change
from jitq_explore.snapshots.deciding import deciding_modules, reached_modules
from jitq_explore.snapshots.numerics import EXACT, ErrorRow
from jitq_explore.snapshots.observations import Observation, observations
from jitq_explore.snapshots.observed_values import observed_values
from jitq_explore.snapshots.recording import Recording
from jitq_explore.snapshots.tracking import Tracker

STANDS_OUT = 10.0
"""dB by which an op's own SQNR lies below that of the median op that loses something, to be called
bad."""

WIDER_ADVANTAGE = 6.0
"""dB that floating the ops behind it as well must gain more: each of them costs speed."""


@dataclass(frozen=True)
class _Observed:
    """What is observed of one op: its weight, its result."""

    weight: Observation | None
    result: Observation | None

    @property
    def both(self) -> tuple[Observation, ...]:
        return tuple(seen for seen in (self.weight, self.result) if seen is not None)


def kept_float(recording: Recording, found: Iterable[Recommendation]) -> Iterator[Recommendation]:
    """A recommendation for each op that stands out and that none of those found would help."""
    comparison = recording.numerics
    if comparison is None or not recording.names or comparison.stages[-1] != recording.names[-1]:
        return
    ranked = comparison.rank()
    # What loses nothing was left float: it tells nothing of what rounding costs here.
    losses = [own for row in ranked if (own := _own(row)) < EXACT]
    usual = float(np.median(losses)) if losses else 0.0
    cured = [each.seen for each in found]
    offered: set[Change] = set()
    for row in ranked:
        if _own(row) > usual - STANDS_OUT:
            return
        observed = _observed(recording, row)
        if any(seen in cured for seen in observed.both):
            continue
        for each in _for_op(recording, row, observed, usual):
            if each.change not in offered:
                offered.add(each.change)
                yield each


def _own(row: ErrorRow) -> float:
    return min(row.own_sqnr, row.own_channel_sqnr, EXACT)


def _for_op(
    recording: Recording, row: ErrorRow, observed: _Observed, usual: float
) -> Iterator[Recommendation]:
    """The op alone, its result still rounded for the ops behind it; or these as well."""
    if not observed.both:
        return
    alone = deciding_modules(recording, observed.both[0])
    gain = row.rounded_channel_sqnr - row.channel_sqnr
    wider = row.inherited_channel_sqnr - row.channel_sqnr
    why = (
        f"{row.kind} makes an error of its own of {_own(row):.1f} dB, the median op one of "
        f"{usual:.1f} dB, and no other observer helps"
    )
    if gain >= MIN_GAIN and wider < gain + WIDER_ADVANTAGE:
        change = Change(alone, keep_float=True)
        reason = f"{why}: keep it float"
    elif wider >= MIN_GAIN and observed.result is not None:
        behind = reached_modules(recording, observed.result)
        modules = (*alone, *deciding_modules(recording, observed.result), *behind)
        change, gain = Change(tuple(dict.fromkeys(modules)), keep_float=True), wider
        reason = f"{why}: keep it, and what takes its result, float"
    else:
        return
    yield Recommendation(observed.both[0], change, reason, gain, float_value=row.float_value)


def _observed(recording: Recording, row: ErrorRow) -> _Observed:
    tracker = Tracker.of(recording)
    weight = result = None
    pairs = zip(observations(recording), observed_values(recording), strict=True)
    for seen, value in pairs:
        if seen.role == "weight":
            if any((k.index, k.node_id) == (tracker.last, row.node) for k in value.kernels):
                weight = weight or seen
        elif value.op is not None and row.float_node:
            origins = tracker.origins(value.op)
            if any((o.index, o.node_id) == (0, row.float_node) for o in origins):
                result = result or seen
    return _Observed(weight, result)
