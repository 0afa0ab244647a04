"""One change of a qconfig that is recommended."""

from __future__ import annotations

import math
from dataclasses import dataclass

from jitq_explore.snapshots.changes import Change
from jitq_explore.snapshots.observations import Observation

MIN_GAIN = 3.0
"""dB; half a bit. Less is within what another calibration batch would change."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One change, why, and the dB that it is predicted to gain at the value.

    `low` and `high` bound the typical values that the prediction is about. For a module to be kept
    float, `float_value` is the value of the model as given that the gain is predicted for, as the
    mean over its channels; `seen` is then what quantizes it, or the weight.
    """

    seen: Observation
    change: Change
    reason: str
    gain: float
    low: float = -math.inf
    high: float = math.inf
    float_value: str = ""
