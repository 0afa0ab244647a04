"""What is recommended, as a pandas frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import pandas as pd

from jitq_explore.diagnostics.recommendation import Recommendation
from jitq_explore.snapshots.recording import Recording

RECOMMENDATION_COLUMNS = (
    "value", "role", "modules", "reason", "predicted_gain", "gain_at_value", "gain_at_output",
    "error", "write", "change",
)  # fmt: skip


class Gain(Protocol):
    """dB gained."""

    @property
    def value(self) -> float:
        """At the value."""

    @property
    def output(self) -> float:
        """At the model's output."""


def recommendation_table(
    recording: Recording,
    found: Sequence[Recommendation],
    tried: Sequence[tuple[Gain, str]] = (),
) -> pd.DataFrame:
    """A row each; the columns of measured gains are NaN where nothing was tried."""
    rows = []
    for place, each in enumerate(found):
        gain, error = tried[place] if tried else (None, "")
        rows.append(
            (
                each.seen.value,
                each.seen.role,
                ", ".join(path or "(the model itself)" for path in each.change.modules),
                each.reason,
                each.gain,
                gain.value if gain else math.nan,
                gain.output if gain else math.nan,
                error,
                each.change.code(recording.qconfig),
                each.change,
            )
        )
    return pd.DataFrame(rows, columns=list(RECOMMENDATION_COLUMNS))
