"""Recordings as pandas frames."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from jitq_explore.snapshots.diff import diff_graphs
from jitq_explore.snapshots.observations import Observation, newest_readings, observations
from jitq_explore.snapshots.observers import ObserverReading
from jitq_explore.snapshots.quant_nodes import quant_nodes
from jitq_explore.snapshots.recording import Recording
from jitq_explore.snapshots.source import short_source

OBSERVER_COLUMNS = (
    "module", "observer", "class", "role", "value", "observed_op", "source_line", "dtype",
    "qscheme", "quant_min", "quant_max", "min", "max", "scale", "zero_point", "channels",
    "batches", "calibrated",
)  # fmt: skip
QUANT_NODE_COLUMNS = (
    "inserted_by", "kind", "value", "module", "scale", "zero_point", "axis", "dtype", "scheme",
    "observer", "feeds", "fate",
)  # fmt: skip
CHANNEL_COLUMNS = ("channel", "min", "max", "scale", "zero_point")
STAGE_COLUMNS = (
    "stage", "nodes", "added", "removed", "changed", "seconds", "batches", "messages", "error",
)  # fmt: skip


def stage_table(recording: Recording) -> pd.DataFrame:
    """A row a stage: nodes of the flattened graph after it, what it added, removed and changed,
    seconds.

    `batches` counts the model's calls in a calibration; `messages` the warnings kept from the
    screen; `error` is "" or the error the stage ended with.
    """
    rows = []
    for stage in recording.stages:
        after = stage.after.graph()
        diff = diff_graphs(stage.before.graph(), after)
        rows.append(
            (
                stage.name, len(after), len(diff.added), len(diff.removed), len(diff.changed),
                stage.seconds, stage.batches, len(stage.messages), str(stage.error or ""),
            )
        )  # fmt: skip
    frame = pd.DataFrame(rows, columns=list(STAGE_COLUMNS))
    return frame.astype({"batches": "Int64"})


def observer_table(recording: Recording) -> pd.DataFrame:
    """A row an observed value, in the order of the graph, with the newest reading of its observer.

    `min`, `max` and `scale` are real values; for a per-channel observer min is the smallest, max
    and scale are the largest of all channels (`channel_table` has each) and `zero_point` is theirs
    where they agree. What an observer has not seen or does not compute is NaN or NA. `observed_op`
    is the op that makes an activation ("input": the model's own input) or that uses a weight;
    `batches` counts the model's calls in the calibration, 0 where the observer saw none.
    """
    calls = sum(stage.batches or 0 for stage in recording.stages)
    rows = [_observer_row(seen, calls) for seen in observations(recording)]
    frame = pd.DataFrame(rows, columns=list(OBSERVER_COLUMNS))
    whole = dict.fromkeys(("quant_min", "quant_max", "channels"), "Int64")
    real = dict.fromkeys(("min", "max", "scale"), "float64")
    return with_zero_points(frame.astype({**whole, **real}))


def _observer_row(seen: Observation, calls: int) -> tuple[object, ...]:
    reading = seen.reading
    return (
        reading.module,
        reading.path,
        reading.short_class,
        seen.role,
        seen.value,
        seen.op,
        short_source(seen.source),
        reading.dtype,
        reading.qscheme,
        reading.quant_min,
        reading.quant_max,
        min(reading.minimum, default=math.nan),
        max(reading.maximum, default=math.nan),
        max(reading.scale, default=math.nan),
        _common(reading.zero_point),
        max(len(reading.minimum), len(reading.scale), 1),
        calls if reading.calibrated and reading.minimum else 0,
        reading.calibrated,
    )


def channel_table(recording: Recording, observer: str) -> pd.DataFrame:
    """A row a channel of one observer: min, max and scale as real values, and the zero point.

    `observer` is its path, as in the column of that name of `observer_table`. A per-tensor observer
    has one row. KeyError lists observers there are.
    """
    reading = _reading(recording, observer)
    count = max(len(reading.minimum), len(reading.scale))
    rows = [
        (
            channel,
            _at(reading.minimum, channel),
            _at(reading.maximum, channel),
            _at(reading.scale, channel),
            _at(reading.zero_point, channel),
        )
        for channel in range(count)
    ]
    frame = pd.DataFrame(rows, columns=list(CHANNEL_COLUMNS))
    return frame.astype({"min": "float64", "max": "float64", "scale": "float64"})


def quant_node_table(recording: Recording) -> pd.DataFrame:
    """A row each quantize, dequantize, choose_qparams, saturate and prepack node that was inserted.

    `inserted_by` is the stage. `scale` is a real value (the largest of all channels), NaN where it
    is computed at run time. `feeds` lists the kinds of the ops that take the result. `fate` is
    "kept", "fused into …", "folded into the packed weight of …", "dropped: …" or "removed".
    """
    rows = [
        (
            node.inserted_by, node.kind, node.value, node.module,
            max(node.scale, default=math.nan), _common(node.zero_point), node.axis, node.dtype,
            node.scheme, node.observer, ", ".join(node.feeds), node.fate,
        )
        for node in quant_nodes(recording)
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=list(QUANT_NODE_COLUMNS))
    return with_zero_points(frame.astype({"scale": "float64", "axis": "Int64"}))


def with_zero_points(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with its column of that name as integers, or as reals where it holds any."""
    whole = all(float(point).is_integer() for point in frame["zero_point"].dropna())
    return frame.astype({"zero_point": "Int64" if whole else "Float64"})


def _reading(recording: Recording, observer: str) -> ObserverReading:
    readings = newest_readings(recording)
    if observer not in readings:
        raise KeyError(f"unknown observer {observer!r} (must be one of {sorted(readings)[:8]}, …)")
    return readings[observer]


def _common(numbers: Sequence[float]) -> float | None:
    return numbers[0] if len(set(numbers)) == 1 else None


def _at(numbers: Sequence[float], index: int) -> float | None:
    return numbers[index] if index < len(numbers) else None
