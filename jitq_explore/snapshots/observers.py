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
    torch computes from them, empty where the observer has none. `settings` are the observer's other
    scalar attributes (averaging constant, number of bins, …).
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
    zero_point: tuple[int, ...]
    calibrated: bool
    histogram: Histogram | None = None
    settings: Mapping[str, Attribute] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The observer's own module path."""
        return f"{self.module}.{self.name}" if self.module else self.name

    @property
    def short_class(self) -> str:
        """The class name without its module."""
        return self.class_name.rpartition(".")[2]
