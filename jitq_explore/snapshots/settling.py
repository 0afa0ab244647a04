"""The range that one of torch's observers would have settled on, had it seen the same values."""

from __future__ import annotations

from jitq_explore.snapshots.observers import ObserverReading
from jitq_explore.snapshots.qparams import ranges_of
from jitq_explore.snapshots.recording import Recording

OBSERVERS = {
    "MinMax": "MinMaxObserver",
    "MovingAverage": "MovingAverageMinMaxObserver",
    "Histogram": "HistogramObserver",
}
"""Short names of the observers that can be asked for -> torch's classes."""

Range = tuple[float, float]


def settled_range(recording: Recording, reading: ObserverReading, observer: str) -> Range | None:
    """The range for one of `OBSERVERS`; None where the recording does not hold what it takes.

    MinMax takes the ends of the histogram, Histogram runs torch's search on it, MovingAverage goes
    by the ends of each batch.
    """
    if reading.histogram is None:
        return None
    try:
        return ranges_of(reading.histogram, OBSERVERS[observer])
    except ValueError:
        return None
