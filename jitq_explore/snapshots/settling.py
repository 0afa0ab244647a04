"""The range that one of torch's observers would have settled on, had it seen the same values."""

from __future__ import annotations

from jitq_explore.snapshots.observers import Histogram, ObserverReading
from jitq_explore.snapshots.qparams import ranges_of

OBSERVERS = {
    "MinMax": "MinMaxObserver",
    "MovingAverage": "MovingAverageMinMaxObserver",
    "Histogram": "HistogramObserver",
}
"""Short names of the observers that can be asked for -> torch's classes."""

QUANT_RANGES = {"quint8": (0, 255), "qint8": (-128, 127), "quint4x2": (0, 15)}
"""dtype -> the integers that it has."""

Range = tuple[float, float]


def stored_integers(reading: ObserverReading) -> tuple[int, int]:
    """The least and the most that the dtype holds: there torch's kernels clip.

    An observer's quant_min and quant_max, such as 0 and 127 with reduce_range, only go into the
    scale: what lies beyond the observed range takes the integers that are left.
    """
    given = reading.quant_min or 0, reading.quant_max or 0
    return QUANT_RANGES.get(reading.dtype, given)


def settled_range(reading: ObserverReading, observer: str) -> Range | None:
    """The range for one of `OBSERVERS`; None where the recording does not hold what it takes.

    MinMax takes the ends of the histogram, Histogram runs torch's search on it, MovingAverage goes
    by the ends of each batch.
    """
    histogram = histogram_of(reading)
    if histogram is None or (observer == "MovingAverage" and not reading.batch_minimum):
        return None
    lowest, highest = QUANT_RANGES.get(reading.dtype, QUANT_RANGES["quint8"])
    return ranges_of(
        histogram,
        OBSERVERS[observer],
        levels=highest - lowest + 1,
        batch_minimum=reading.batch_minimum,
        batch_maximum=reading.batch_maximum,
    )


def histogram_of(reading: ObserverReading) -> Histogram | None:
    """The observer's own histogram, or the one collected beside it; None without any value."""
    for histogram in (reading.histogram, reading.collected):
        if histogram is not None and any(histogram.counts):
            return histogram
    return None
