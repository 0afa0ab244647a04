"""What one observer had seen at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from jitq_explore.snapshots.graph import Attribute


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of real values in equally wide bins from `low` to `high`."""

    counts: tuple[float, ...]
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ObserverReading:
    """The state of one observer module.

    `module` owns the observer, `name` is its attribute there (torch numbers these differently from
    run to run: never key on them). `minimum` and `maximum` are real values, one number a channel
    for a per-channel observer, empty while nothing was seen. `scale` and `zero_point` are what
    torch computes from them, empty where the observer has none; zero points are integers, but real
    numbers for the scheme per_channel_affine_float_qparams. `settings` are the observer's other
    scalar attributes (averaging constant, number of bins, …).

    What was collected beside the observer, where that was asked for: `collected` is a histogram of
    what it was shown, where it keeps none itself; `batch_minimum` and `batch_maximum` are the ends
    of each tensor it was shown, in order (of a weight the first alone: it does not change).
    """

    module: str
    name: str
    class_name: str
    dtype: str
    qscheme: str
    quant_min: int | None
    quant_max: int | None
    axis: int | None
    minimum: tuple[float, ...]
    maximum: tuple[float, ...]
    scale: tuple[float, ...]
    zero_point: tuple[float, ...]
    calibrated: bool
    histogram: Histogram | None = None
    settings: Mapping[str, Attribute] = field(default_factory=dict)
    collected: Histogram | None = None
    batch_minimum: tuple[float, ...] = ()
    batch_maximum: tuple[float, ...] = ()

    @property
    def path(self) -> str:
        """The observer's own module path."""
        return f"{self.module}.{self.name}" if self.module else self.name

    @property
    def short_class(self) -> str:
        """The class name without its module."""
        return self.class_name.rpartition(".")[2]
