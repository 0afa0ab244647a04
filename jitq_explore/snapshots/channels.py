"""The ranges of a value's channels, and what one scale for all of them would leave of each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from jitq_explore.snapshots.observations import Observation
from jitq_explore.snapshots.observers import ObserverReading
from jitq_explore.snapshots.recording import Recording
from jitq_explore.snapshots.what_if import grid_for, weight_stats

FEW = 3
"""Steps to either side of 0 that are too few for a channel to mean much."""


@dataclass(frozen=True)
class ChannelRanges:
    """The ends of each channel, and the step of one scale for all of them (None: not known).

    `is_present`: the value is quantized with that one scale now.
    """

    low: Sequence[float]
    high: Sequence[float]
    step: float | None
    is_present: bool

    @cached_property
    def killed(self) -> Sequence[int]:
        """The channels of which that scale leaves nothing but zeros, without those that are 0."""
        return [number for number, steps in self._steps() if steps == 0]

    @cached_property
    def starved(self) -> Sequence[int]:
        """Those of which it leaves at most `FEW` steps to either side of 0, but more than that."""
        return [number for number, steps in self._steps() if 0 < steps <= FEW]

    def _steps(self) -> Iterator[tuple[int, int]]:
        """How many steps the largest magnitude of each channel is rounded to."""
        for number, (low, high) in enumerate(zip(self.low, self.high, strict=True)):
            size = max(-low, high)
            if size > 0 and self.step:
                yield number, round(size / self.step)


def channel_ranges(recording: Recording, seen: Observation) -> ChannelRanges | None:
    """What is known of an observed value's channels; None where that is nothing.

    A per-channel observer has the range of each. Of a weight that is quantized per tensor the
    largest magnitude of each row is known, and taken for both ends.
    """
    reading = seen.reading
    low, high = reading.minimum, reading.maximum
    if len(low) > 1 and len(low) == len(high):
        if not all(map(math.isfinite, (*low, *high))):
            return None
        return ChannelRanges(low, high, _one_step(reading, low, high), is_present=False)
    stats = weight_stats(recording, seen)
    if stats is None or len(stats.channel_abs_max) < 2:
        return None
    most = stats.channel_abs_max
    step = reading.scale[0] if len(reading.scale) == 1 else None
    return ChannelRanges([-size for size in most], most, step, is_present=True)


def _one_step(
    reading: ObserverReading, low: Sequence[float], high: Sequence[float]
) -> float | None:
    """The scale that the value would have per tensor, around 0 as torch's weight observers do."""
    if reading.quant_min is None or reading.quant_max is None:
        return None
    most = max(-min(low), *high)
    return grid_for(reading, -most, most).scale
