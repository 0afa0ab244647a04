"""What models cost, as a pandas frame."""

from __future__ import annotations

import math

import pandas as pd

from jitq_explore.snapshots.costs import Costs, ModelCost

COST_COLUMNS = (
    "model", "engine", "op", "calls", "milliseconds", "share", "speedup", "bytes", "note",
)  # fmt: skip


def cost_frame(costs: Costs) -> pd.DataFrame:
    """A row for every model (without an op), each followed by its ops, most expensive first.

    For a model `milliseconds` is the median time of a call and `speedup` how often it fits into
    that of the float model; for an op it is its own time in one call, as torch's profiler sees it,
    and `share` that of all ops. `note` says why a model could not be measured.
    """
    reference = costs.models[0].milliseconds
    rows = [row for model in costs.models for row in _rows(model, reference)]
    return pd.DataFrame(rows, columns=list(COST_COLUMNS)).astype({"bytes": "Int64"})


def _rows(model: ModelCost, reference: float) -> list[tuple[object, ...]]:
    total = sum(op.milliseconds for op in model.ops) or math.nan
    speedup = reference / model.milliseconds
    whole = (
        model.name, model.engine, "", 1.0, model.milliseconds, 1.0, speedup, model.nbytes,
        model.error,
    )  # fmt: skip
    return [
        whole,
        *(
            (model.name, model.engine, op.kind, op.calls, op.milliseconds,
             op.milliseconds / total, math.nan, None, "")
            for op in model.ops
        ),
    ]  # fmt: skip
