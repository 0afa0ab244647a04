"""What another range, observer, dtype or per-channel scale would do to one observed value.

Computed from the histogram (for a weight: from the magnitudes of its rows) that the recording
holds, without a new calibration.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from jitq_explore.snapshots.changes import Change, ObserverChoice, choice_like
from jitq_explore.snapshots.deciding import agreeing_modules, deciding_modules
from jitq_explore.snapshots.graph import attribute_path
from jitq_explore.snapshots.grid import (
    Grid,
    bin_edges,
    decibels,
    noise_of,
    noise_of_rows,
    power_of,
    share_clipped,
)
from jitq_explore.snapshots.modules import TensorStats
from jitq_explore.snapshots.observations import Observation, observations, observing_stage
from jitq_explore.snapshots.observers import Histogram, ObserverReading
from jitq_explore.snapshots.qparams import affine_qparams
from jitq_explore.snapshots.recording import Recording
from jitq_explore.snapshots.settling import (
    OBSERVERS,
    QUANT_RANGES,
    histogram_of,
    settled_range,
    stored_integers,
)

_SYMMETRIC = ("per_tensor_symmetric", "per_channel_symmetric")


@dataclass(frozen=True, slots=True)
class Prediction:
    """What quantizing a value costs: `sqnr` in dB, `clipped` the share of values (0 to 1) that lie
    outside of what can be represented. One scale and zero point, or one a channel."""

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    quant_min: int
    quant_max: int
    clipped: float
    sqnr: float

    @property
    def grids(self) -> tuple[Grid, ...]:
        """One, or one a channel."""
        pairs = zip(self.scale, self.zero_point, strict=True)
        return tuple(Grid(scale, zero, self.quant_min, self.quant_max) for scale, zero in pairs)

    @property
    def low(self) -> float:
        """The smallest value that can be represented, in any channel."""
        return min(grid.low for grid in self.grids)

    @property
    def high(self) -> float:
        """The largest value that can be represented, in any channel."""
        return max(grid.high for grid in self.grids)


@dataclass(frozen=True, slots=True)
class WhatIf:
    """A value as it is quantized now (`present`), and as it would be (`predicted`).

    `change` is what makes it so, for `Session.with_change`. `histogram` holds the values that both
    were computed for, None where they come from the magnitudes of a weight's rows.
    """

    seen: Observation
    asked: str
    present: Prediction
    predicted: Prediction
    change: Change
    histogram: Histogram | None

    @property
    def gain(self) -> float:
        """How many dB better it would be."""
        return self.predicted.sqnr - self.present.sqnr


class NothingToPredictError(ValueError):
    """The recording does not hold what a prediction is computed from."""


def predict(
    histogram: Histogram,
    low: float,
    high: float,
    quant_min: int,
    quant_max: int,
    symmetric: bool = False,
    *,
    dtype: str = "quint8",
) -> Prediction:
    """What quantizing the values of a histogram with the range `low` to `high` would cost.

    Scale and zero point are those that torch computes of the range; values are clipped where the
    dtype ends, as torch's kernels do, not at `quant_min` and `quant_max`. `sqnr` is
    10·log10(Σ x² / Σ (x − y)²) with x spread evenly within each bin and y the nearest value of the
    grid or, outside, its end; both sums are integrals taken exactly (`grid.noise_of`).
    """
    scale, zero_point = affine_qparams(
        low, high, quant_min, quant_max, symmetric=symmetric, dtype=dtype
    )
    return rate(
        histogram, Grid(scale, zero_point, *QUANT_RANGES.get(dtype, (quant_min, quant_max)))
    )


def rate(histogram: Histogram, grid: Grid) -> Prediction:
    """What rounding the values of a histogram to that grid costs."""
    counts, edges = np.asarray(histogram.counts, dtype=np.float64), bin_edges(histogram)
    return _prediction(
        (grid,),
        share_clipped(counts, edges, grid),
        decibels(power_of(counts, edges), noise_of(counts, edges, grid)),
    )


def rate_weight(stats: TensorStats, grids: Sequence[Grid]) -> Prediction:
    """What rounding a weight costs, with one grid for all or one a row: see `noise_of_rows`."""
    rows = len(stats.channel_rms)
    each = list(grids) * rows if len(grids) == 1 else list(grids)
    noise = noise_of_rows(stats.channel_rms, stats.channel_abs_max, each)
    # Of a row two numbers are known: of those that reach outside one value is sure to be.
    outside = sum(
        most > max(-grid.low, grid.high) + grid.scale / 2
        for most, grid in zip(stats.channel_abs_max, each, strict=True)
    )
    signal = float(np.square(stats.channel_rms).sum())
    clipped = outside / max(math.prod(stats.shape), 1)
    return _prediction(grids, clipped, decibels(signal, float(noise.sum())))


def what_if(
    recording: Recording,
    value: str,
    *,
    observer: str | None = None,
    low: float | None = None,
    high: float | None = None,
    dtype: str | None = None,
    per_channel: bool = False,
) -> WhatIf:
    """What would become of one value with another observer, range, dtype, or per-channel scales.

    `value` is the path of its observer, as in `observer_table`, or its name where only one value
    has it. `observer` is "MinMax", "MovingAverage" or "Histogram"; `low` and `high` are real
    values, what is not given stays; `per_channel` gives each row of a weight a scale of its own.

    KeyError for an unknown value, ValueError for an unknown observer or dtype, and
    `NothingToPredictError` where no histogram was kept: `Session.static(…, histograms=True)`.
    """
    seen = find_observation(recording, value)
    if dtype is not None and dtype not in QUANT_RANGES:
        raise ValueError(f"unknown dtype {dtype!r} (must be one of {list(QUANT_RANGES)})")
    if observer is not None and observer not in OBSERVERS:
        raise ValueError(f"unknown observer {observer!r} (must be one of {list(OBSERVERS)})")
    if observer is not None and (low, high) != (None, None):
        raise ValueError("an observer finds its range itself: give the one or the other")
    wanted = seen.reading
    if dtype is not None:
        quant_min, quant_max = QUANT_RANGES[dtype]
        wanted = replace(wanted, dtype=dtype, quant_min=quant_min, quant_max=quant_max)
    if wanted.quant_min is None or wanted.quant_max is None:
        raise NothingToPredictError(
            f"{wanted.path!r} ({wanted.short_class}) keeps no quant_min and quant_max, from which "
            'a scale would be made: give the integers with dtype="quint8" or another one'
        )
    if per_channel:
        return _per_channel(recording, seen, wanted)
    if observer is not None:
        return _with_observer(recording, seen, wanted, observer)
    return _with_range(recording, seen, wanted, low, high)


def _with_observer(
    recording: Recording, seen: Observation, wanted: ObserverReading, observer: str
) -> WhatIf:
    found = settled_range(seen.reading, observer)
    if found is None:
        raise NothingToPredictError(f"{seen.reading.path!r}: {_NO_HISTOGRAM}")
    choice = choice_like(wanted, OBSERVERS[observer])
    asked = ", ".join((observer, *_other_dtype(seen.reading, wanted)))
    return _compared(recording, seen, asked, (grid_for(wanted, *found),), choice)


def _with_range(
    recording: Recording,
    seen: Observation,
    wanted: ObserverReading,
    low: float | None,
    high: float | None,
) -> WhatIf:
    ends = present_range(seen.reading)
    start = low if low is not None else ends[0]
    end = high if high is not None else ends[1]
    grid = grid_for(wanted, start, end)
    asked = ", ".join((f"{start:.4g} … {end:.4g}", *_other_dtype(seen.reading, wanted)))
    return _compared(recording, seen, asked, (grid,), fixed_choice(wanted, grid))


def _other_dtype(before: ObserverReading, wanted: ObserverReading) -> tuple[str, ...]:
    return (wanted.dtype,) if wanted.dtype != before.dtype else ()


def grid_for(reading: ObserverReading, low: float, high: float) -> Grid:
    """The grid that an observer of that kind makes of a range."""
    assert reading.quant_min is not None
    assert reading.quant_max is not None
    scale, zero_point = affine_qparams(
        low,
        high,
        reading.quant_min,
        reading.quant_max,
        symmetric=reading.qscheme in _SYMMETRIC,
        dtype=reading.dtype,
    )
    return Grid(scale, zero_point, *stored_integers(reading))


def fixed_choice(reading: ObserverReading, grid: Grid) -> ObserverChoice:
    """An observer that sees nothing and always gives that grid."""
    return ObserverChoice(
        "FixedQParamsObserver",
        {
            "scale": grid.scale,
            "zero_point": grid.zero_point,
            "dtype": reading.dtype,
            "quant_min": reading.quant_min,
            "quant_max": reading.quant_max,
        },
    )


def present_grids(reading: ObserverReading) -> tuple[Grid, ...]:
    """What the observer has settled on; NothingToPredictError where it has not."""
    if not reading.scale or reading.quant_min is None or reading.quant_max is None:
        raise NothingToPredictError(
            f"{reading.path!r} has no scale: nothing is quantized by it yet"
        )
    pairs = zip(reading.scale, reading.zero_point, strict=True)
    return tuple(Grid(s, int(z), *stored_integers(reading)) for s, z in pairs)


def present_range(reading: ObserverReading) -> tuple[float, float]:
    """The range that the observer's scale is made for: what its own integers stand for.

    Of several channels the widest. NothingToPredictError where it has not settled on any.
    """
    present_grids(reading)
    least, most = reading.quant_min or 0, reading.quant_max or 0
    own = [
        Grid(scale, int(zero_point), least, most)
        for scale, zero_point in zip(reading.scale, reading.zero_point, strict=True)
    ]
    return min(grid.low for grid in own), max(grid.high for grid in own)


def channel_grids(stats: TensorStats, reading: ObserverReading) -> tuple[Grid, ...]:
    """A grid a row, symmetric, as PerChannelMinMaxObserver makes them for weights."""
    scheme = replace(reading, qscheme="per_channel_symmetric")
    return tuple(grid_for(scheme, -most, most) for most in stats.channel_abs_max)


def weight_stats(recording: Recording, seen: Observation) -> TensorStats | None:
    """The numbers of an observed weight, as it was when it was observed; None for others."""
    stage = observing_stage(recording)
    if stage is None or seen.role != "weight":
        return None
    path = attribute_path(stage.after.graph(), seen.node.inputs[0])
    if path is None:
        return None
    module, _, name = path.rpartition(".")
    state = stage.after.by_path.get(module)
    attribute = state.attributes.get(name) if state is not None else None
    stats = attribute.tensor if attribute is not None else None
    return stats if stats is not None and stats.channel_rms and not stats.non_finite else None


def find_observation(recording: Recording, value: str) -> Observation:
    """The observed value whose observer has that path, or that has that name.

    KeyError where there is none, or where several have the name.
    """
    everything = observations(recording)
    by_path = [seen for seen in everything if seen.reading.path == value]
    found = by_path or [seen for seen in everything if seen.value == value]
    paths = list(dict.fromkeys(seen.reading.path for seen in found or everything))
    if len(paths) == 1:
        return found[0]
    problem = f"several values are called {value!r}" if found else f"unknown value {value!r}"
    raise KeyError(f"{problem} (give the path of its observer, one of {paths[:8]}, …)")


def _per_channel(recording: Recording, seen: Observation, wanted: ObserverReading) -> WhatIf:
    stats = weight_stats(recording, seen)
    if stats is None:
        raise NothingToPredictError(f"{seen.value!r} is no weight: torch quantizes it per tensor")
    return compare_channels(recording, seen, stats, wanted)


def compare_channels(
    recording: Recording, seen: Observation, stats: TensorStats, wanted: ObserverReading
) -> WhatIf:
    """A weight as it is, and with a scale for each row."""
    grids = channel_grids(stats, wanted)
    choice = choice_like(
        replace(wanted, qscheme="per_channel_symmetric"), "PerChannelMinMaxObserver"
    )
    return _compared(recording, seen, "per channel", grids, choice)


def compare_grid(
    recording: Recording,
    seen: Observation,
    asked: str,
    grid: Grid,
    choice: ObserverChoice,
    histogram: Histogram,
) -> WhatIf:
    """An activation as it is, and on another grid, for the values of that histogram."""
    present = rate(histogram, present_grids(seen.reading)[0])
    modules = agreeing_modules(recording, deciding_modules(recording, seen))
    change = Change(modules, activation=choice)
    return WhatIf(seen, asked, present, rate(histogram, grid), change, histogram)


def _compared(
    recording: Recording,
    seen: Observation,
    asked: str,
    grids: tuple[Grid, ...],
    choice: ObserverChoice,
) -> WhatIf:
    now, histogram = present_grids(seen.reading), histogram_of(seen.reading)
    if histogram is not None and len(now) == len(grids) == 1 and seen.role != "weight":
        return compare_grid(recording, seen, asked, grids[0], choice, histogram)
    stats = weight_stats(recording, seen)
    if stats is None:
        raise NothingToPredictError(f"{seen.reading.path!r}: {_NO_HISTOGRAM}")
    change = Change(deciding_modules(recording, seen), weight=choice)
    return WhatIf(seen, asked, rate_weight(stats, now), rate_weight(stats, grids), change, None)


def _prediction(grids: Sequence[Grid], clipped: float, sqnr: float) -> Prediction:
    return Prediction(
        scale=tuple(grid.scale for grid in grids),
        zero_point=tuple(grid.zero_point for grid in grids),
        quant_min=grids[0].quant_min,
        quant_max=grids[0].quant_max,
        clipped=clipped,
        sqnr=sqnr,
    )


_NO_HISTOGRAM = (
    "no histogram of its values was kept; HistogramObserver keeps one, and "
    "Session.static(…, histograms=True) collects one beside any observer"
)
