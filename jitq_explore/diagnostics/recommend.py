"""The few changes of a qconfig that would gain most, with the reason and the gain predicted.

Gains are in dB of SQNR at the value itself, for its typical values: where one batch, or one value
in a thousand, spoils a range, the sums of squares over everything would be those of the outliers
alone, and any range that keeps these would look good. What no observer cures is left in float.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from jitq_explore.diagnostics.keep_float import kept_float
from jitq_explore.diagnostics.recommendation import MIN_GAIN, Recommendation
from jitq_explore.snapshots.changes import choice_like
from jitq_explore.snapshots.grid import bin_edges
from jitq_explore.snapshots.observations import Observation, observations
from jitq_explore.snapshots.observers import Histogram, ObserverReading
from jitq_explore.snapshots.recording import Recording
from jitq_explore.snapshots.settling import OBSERVERS, histogram_of, settled_range
from jitq_explore.snapshots.what_if import (
    NothingToPredictError,
    WhatIf,
    compare_channels,
    compare_grid,
    fixed_choice,
    grid_for,
    present_grids,
    weight_stats,
)

FEW = 8
"""More than these nobody tries one by one."""

OUTLIER_SHARE = 1e-3
"""Values rarer than these may be outliers: more are a part of what the value is."""

OUTLIER_RATIO = 4.0
"""So many times the range of all other values wastes two of eight bits on the outliers."""

FEWEST_BATCHES = 3
"""Of two, nobody can say which one is the odd one."""

FEWEST_TOGETHER = 3
"""Values that a batch has to spoil to be called the cause of it all: it spoils what comes behind
as well."""

FEWEST_BINS = 8
"""In fewer the histogram does not tell values from the zeros between them."""

SATURATED_SHARE = 1e-3
"""A calibrated range cuts off less than that: torch's HistogramObserver begins with 1e-5."""

LARGE_ROW_RATIO = 4.0
"""A row so many times larger than the median one costs that one two of its eight bits."""

FIXED_ADVANTAGE = 3.0
"""dB that a range written into the qconfig must gain over the best observer: it does not follow
when the data changes."""


def recommendations(recording: Recording) -> tuple[Recommendation, ...]:
    """What would gain at least `MIN_GAIN`, best first; at most one for each observer and module.

    What a batch has spoilt together comes before: to mend one of these values alone changes little
    of what the model returns.
    """
    found: dict[object, Recommendation] = {}
    for seen in observations(recording):
        for each in _for_value(recording, seen):
            key = (each.change.modules, seen.role)
            if each.gain >= MIN_GAIN and (key not in found or found[key].gain < each.gain):
                found[key] = each
    alone = [*found.values(), *kept_float(recording, found.values())]
    together = list(_spoilt_together(recording))
    return (*together, *sorted(alone, key=lambda each: -each.gain)[: FEW - len(together)])


def count_unjudged(recording: Recording) -> int:
    """How many activations were quantized of which no histogram tells whether their range fits."""
    return sum(
        1
        for seen in observations(recording)
        if seen.role == "activation" and seen.reading.scale and histogram_of(seen.reading) is None
    )


def _for_value(recording: Recording, seen: Observation) -> Iterator[Recommendation]:
    try:
        present_grids(seen.reading)
    except NothingToPredictError:
        return
    if seen.role == "weight":
        yield from _weight_per_channel(recording, seen)
    else:
        yield from _better_range(recording, seen)


def _weight_per_channel(recording: Recording, seen: Observation) -> Iterator[Recommendation]:
    """A scale for all rows is that of the largest one."""
    stats = weight_stats(recording, seen)
    # Of a transposed convolution rows are input channels, which torch does not scale one by one.
    if stats is None or len(seen.reading.scale) != 1 or "transpose" in seen.op:
        return
    compared = compare_channels(recording, seen, stats, seen.reading)
    largest, median = max(stats.channel_abs_max), float(np.median(stats.channel_abs_max))
    row = stats.channel_abs_max.index(largest)
    if largest >= LARGE_ROW_RATIO * median:
        ratio = f"{largest / median:.3g} times" if median else "the only one not 0,"
        reason = f"row {row} is {ratio} the median row, and one scale for all has to reach it"
    else:
        reason = "rows of different size share one scale"
    yield Recommendation(seen, compared.change, f"{reason}: a scale per channel", compared.gain)


def _better_range(recording: Recording, seen: Observation) -> Iterator[Recommendation]:
    """The best of the ranges that other observers would settle on, for the typical values."""
    histogram = histogram_of(seen.reading)
    if histogram is None:
        return
    typical, spoilt = typical_part(histogram, seen.reading)
    if not spoilt and np.count_nonzero(typical.counts) < FEWEST_BINS:
        return
    best = _best(list(_candidates(recording, seen, typical)))
    if best is None:
        return
    reason = spoilt or _cut_off(best) or "its range fits its values badly"
    low, high = typical.low, typical.high
    remedy = f"{best.asked} ({best.predicted.low:.4g} … {best.predicted.high:.4g})"
    yield Recommendation(seen, best.change, f"{reason}: {remedy}", best.gain, low, high)


def _spoilt_together(recording: Recording) -> Iterator[Recommendation]:
    """Another observer for all values whose range one batch has spoilt: the most of them."""
    by_batch: dict[int, list[_Spoilt]] = {}
    for seen in observations(recording):
        each = _spoilt(seen) if seen.role == "activation" else None
        if each is not None:
            by_batch.setdefault(each.batch.number, []).append(each)
    most = max(by_batch.values(), key=len, default=[])
    if len(most) < FEWEST_TOGETHER:
        return
    ways = [way for name in OBSERVERS for way in _for_all(recording, most, name)]
    # Of what is not finite no gain is known: NaN is left out as well.
    good = [way for way in ways if _gain_of(way) >= MIN_GAIN * len(most)]
    if not good:
        return
    way = max(good, key=_gain_of)
    worst, best = max(way, key=lambda pair: pair[1].gain)
    modules = tuple(dict.fromkeys(path for _, each in way for path in each.change.modules))
    reason = (
        f"the ranges of {len(most)} values are spoilt by one batch: here {worst.batch}: "
        f"{best.asked} for all of them, or leave that batch out"
    )
    change = replace(best.change, modules=modules)
    yield Recommendation(best.seen, change, reason, best.gain, worst.batch.low, worst.batch.high)


def _gain_of(way: list[tuple[_Spoilt, WhatIf]]) -> float:
    return sum(each.gain for _, each in way)


def _for_all(
    recording: Recording, spoilt: list[_Spoilt], name: str
) -> Iterator[list[tuple[_Spoilt, WhatIf]]]:
    """What one observer would make of each, where one entry of a qconfig can serve them all."""
    found = [
        (each, compare_grid(recording, each.seen, OBSERVERS[name], grid, choice, each.typical))
        for each in spoilt
        if (settled := settled_range(each.seen.reading, name)) is not None
        for grid in [grid_for(each.seen.reading, *settled)]
        for choice in [choice_like(each.seen.reading, OBSERVERS[name])]
    ]
    choices = [each.change.activation for _, each in found]
    if len(found) == len(spoilt) and all(choice == choices[0] for choice in choices):
        yield found


def _spoilt(seen: Observation) -> _Spoilt | None:
    histogram = histogram_of(seen.reading)
    batch = _spoiling_batch(seen.reading)
    if histogram is None or batch is None or not seen.reading.scale:
        return None
    return _Spoilt(seen, batch, _within(histogram, batch.low, batch.high))


def _cut_off(best: WhatIf) -> str:
    now = best.present
    if now.clipped < SATURATED_SHARE:
        return ""
    return f"{now.clipped:.2%} of the values saturate at {now.low:.4g} … {now.high:.4g}"


def _candidates(recording: Recording, seen: Observation, typical: Histogram) -> Iterator[WhatIf]:
    reading = seen.reading
    for name, class_name in OBSERVERS.items():
        found = settled_range(reading, name)
        if found is not None and class_name != reading.short_class:
            choice = choice_like(reading, class_name)
            grid = grid_for(reading, *found)
            yield compare_grid(recording, seen, class_name, grid, choice, typical)
    grid = grid_for(reading, typical.low, typical.high)
    choice = fixed_choice(reading, grid)
    yield compare_grid(recording, seen, "a fixed range", grid, choice, typical)


def _best(candidates: list[WhatIf]) -> WhatIf | None:
    """The fixed range, which is the last, only where it is a good deal better."""
    *observers, fixed = candidates
    best = max(observers, key=lambda each: each.gain, default=None)
    if best is None or fixed.gain >= max(best.gain, 0.0) + FIXED_ADVANTAGE:
        return fixed
    return best


def typical_part(histogram: Histogram, reading: ObserverReading) -> tuple[Histogram, str]:
    """The histogram without what a single batch, or a few values, brought in, and what that was.

    The histogram itself, and "", where nothing spoils it.
    """
    whole = _reach(histogram.low, histogram.high)
    batch = _spoiling_batch(reading)
    if batch is not None:
        return _within(histogram, batch.low, batch.high), str(batch)
    low, high, share = _bulk(histogram)
    fewest = FEWEST_BINS * (histogram.high - histogram.low) / len(histogram.counts)
    if high - low < fewest or _reach(low, high) * OUTLIER_RATIO > whole:
        return histogram, ""
    reason = (
        f"{share:.3%} of the values reach to {histogram.low:.4g} … {histogram.high:.4g}, "
        f"all others stay within {low:.4g} … {high:.4g}"
    )
    return _within(histogram, low, high), reason


@dataclass(frozen=True)
class _Batch:
    """One that reaches much further than all others, which stay within `low` to `high`."""

    number: int
    of: int
    reach: tuple[float, float]
    low: float
    high: float

    def __str__(self) -> str:
        return (
            f"batch {self.number} of {self.of} alone reaches to {self.reach[0]:.4g} … "
            f"{self.reach[1]:.4g}, all others stay within {self.low:.4g} … {self.high:.4g}"
        )


@dataclass(frozen=True)
class _Spoilt:
    """A value whose range one batch has spoilt, and what it is without that one."""

    seen: Observation
    batch: _Batch
    typical: Histogram


def _spoiling_batch(reading: ObserverReading) -> _Batch | None:
    """What all batches but one reach to, where that one reaches much further."""
    pairs = list(zip(reading.batch_minimum, reading.batch_maximum, strict=True))
    if len(pairs) < FEWEST_BATCHES:
        return None
    worst = max(range(len(pairs)), key=lambda batch: _reach(*pairs[batch]))
    others = [pair for batch, pair in enumerate(pairs) if batch != worst]
    low, high = min(low for low, _ in others), max(high for _, high in others)
    if not 0 < OUTLIER_RATIO * _reach(low, high) <= _reach(*pairs[worst]):
        return None
    return _Batch(worst + 1, len(pairs), pairs[worst], low, high)


def _reach(low: float, high: float) -> float:
    """The width of a range, which always takes in 0."""
    return max(high, 0.0) - min(low, 0.0)


def _bulk(histogram: Histogram) -> tuple[float, float, float]:
    """The narrowest range that leaves out at most `OUTLIER_SHARE`, and the share it leaves out."""
    counts, edges = np.asarray(histogram.counts, dtype=np.float64), bin_edges(histogram)
    total = counts.sum()
    sums = np.concatenate([[0.0], np.cumsum(counts)])
    most = OUTLIER_SHARE * total
    # Of each number of bins left out below, the fewest that have to be kept.
    begins = np.arange(np.searchsorted(sums, most, side="right"))
    ends = np.searchsorted(sums, total - most + sums[begins], side="left")
    widths = edges[ends] - edges[begins]
    best = int(np.argmin(widths))
    begin, end = int(begins[best]), int(ends[best])
    left_out = float(total - (sums[end] - sums[begin])) / float(total)
    return float(edges[begin]), float(edges[end]), left_out


def _within(histogram: Histogram, low: float, high: float) -> Histogram:
    edges = bin_edges(histogram)
    begin, end = (int(np.argmin(np.abs(edges - bound))) for bound in (low, high))
    return Histogram(histogram.counts[begin:end], float(edges[begin]), float(edges[end]))
