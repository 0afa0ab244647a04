"""The lives of all observed values as one pandas frame."""

from __future__ import annotations

import math

import pandas as pd

from jitq_explore.snapshots.observed_values import ObservedValue, observed_values
from jitq_explore.snapshots.recording import Recording
from jitq_explore.snapshots.source import short_source
from jitq_explore.views.tables import with_zero_points

LINEAGE_COLUMNS = (
    "value", "module", "role", "source_line", "observer", "class", "min", "max", "scale",
    "zero_point", "dtype", "quantize_node", "fate", "kernel", "float_ops",
)  # fmt: skip


def lineage_table(recording: Recording) -> pd.DataFrame:
    """A row an observed value, through all stages: value, observer, range, qparams, quantize node,
    kernel.

    The rows are those of `observer_table`, in the same order. `min`, `max` and `scale` are real
    values, as there (per channel: the smallest, the largest, the largest); NaN or NA is what is not
    known. `source_line` ("net.py:9") is the user's own line of the op that makes an activation or
    uses a weight. `quantize_node` is "kind %result" of the node that took the observer's place and
    `fate` what became of it by the newest stage. `kernel` is the kind of the op of the newest graph
    that it went into or that computes with its result; `float_ops` are the ops of the float model
    that this kernel stands for ("aten::conv2d + aten::relu").
    """
    frame = pd.DataFrame(
        [_row(seen) for seen in observed_values(recording)], columns=list(LINEAGE_COLUMNS)
    )
    real = dict.fromkeys(("min", "max", "scale"), "float64")
    return with_zero_points(frame.astype(real))


def _row(seen: ObservedValue) -> tuple[object, ...]:
    reading = seen.reading
    points = set(reading.zero_point)
    return (
        seen.value,
        seen.module,
        seen.role,
        short_source(seen.source),
        reading.path,
        reading.short_class,
        min(reading.minimum, default=math.nan),
        max(reading.maximum, default=math.nan),
        max(reading.scale, default=math.nan),
        points.pop() if len(points) == 1 else None,
        reading.dtype,
        seen.quantize_node,
        seen.fate,
        seen.kernel,
        seen.float_ops,
    )
