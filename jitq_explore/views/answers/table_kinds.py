"""Which tables there are, and what each says of itself.

A further table is one more entry in `TABLES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from jitq_explore.diagnostics.diagnose import diagnose
from jitq_explore.diagnostics.findings import INFO
from jitq_explore.diagnostics.recommend import count_unjudged, recommendations
from jitq_explore.snapshots.numerics import EXACT
from jitq_explore.snapshots.observations import observations
from jitq_explore.snapshots.once import once
from jitq_explore.snapshots.recording import Recording
from jitq_explore.views.answers.whereabouts import (
    Whereabouts,
    of_errors,
    of_findings,
    of_observed_values,
    of_quant_nodes,
    of_stages,
    of_values,
)
from jitq_explore.views.answers.wording import (
    number_text,
    plural,
)
from jitq_explore.views.calibration_table import calibration_table
from jitq_explore.views.findings_table import FINDING_COLUMNS, findings_table
from jitq_explore.views.lineage_table import lineage_table
from jitq_explore.views.numerics_table import NUMERICS_COLUMNS, numerics_table
from jitq_explore.views.recommendation_table import recommendation_table
from jitq_explore.views.tables import observer_table, quant_node_table, stage_table


@dataclass(frozen=True, slots=True)
class TableKind:
    """One table: how it is made of a recording, and where its rows are in the graphs.

    `columns` are shown in that order, what is asked for most first. `key` tells which row of one
    run is which of another. `stage` is the column that names the stage a row belongs to, `bad` maps
    a column to what tells that a cell of it is bad. One that `is_slow` is made, and its rows
    counted, when it is asked for. What is in the `wide` columns is long, and to be read; of these
    the `code` columns hold Python, to be copied. `limits`
    are of columns whose numbers are cut off there: one that has come so far may stand for any
    beyond.
    """

    name: str
    title: str
    hint: str
    none: str
    make: Callable[[Recording], pd.DataFrame]
    where: Callable[[Recording], Sequence[Whereabouts]]
    columns: tuple[str, ...]
    key: tuple[str, ...]
    stage: str = ""
    bad: Mapping[str, Callable[[Any], bool]] | None = None
    note: Callable[[Recording], str] = lambda recording: ""
    is_slow: bool = False
    wide: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def _not_calibrated(recording: Recording) -> str:
    idle = sum(not seen.reading.calibrated for seen in observations(recording))
    return f"{plural(idle, 'observer')} not calibrated" if idle else ""


def _measured(recording: Recording) -> pd.DataFrame:
    if recording.numerics is None:
        return pd.DataFrame(columns=list(NUMERICS_COLUMNS))
    return numerics_table(recording)


def _said_of_measuring(recording: Recording) -> str:
    """What the model's output lost, and what was not counted."""
    measured = recording.numerics
    if measured is None:
        return ""
    sqnr = measured.output_sqnr()
    lost = "no output" if math.isnan(sqnr) else f"{number_text(round(sqnr, 2))} dB at the output"
    said = [f"{plural(measured.batches, 'batch', 'batches')}: {lost}"]
    said += map(str, (*measured.branches, *measured.failures)[:_MOST_SAID])
    more = len(measured.branches) + len(measured.failures) - _MOST_SAID
    return "; ".join([*said, f"and {more} more like that"] if more > 0 else said)


_MOST_SAID = 3


def _of_tracks(recording: Recording) -> Sequence[Whereabouts]:
    return of_values(recording, calibration_table(recording)["observer"])


def _found(recording: Recording) -> str:
    """How many findings; of a run without any, whether it can still have some."""
    findings = diagnose(recording)
    if findings or recording.error is not None:
        return findings.summary()
    count = max(len(recording.planned) - len(recording), 0)
    return f"{plural(count, 'stage')} still to come." if count else ""


_recommended = once(recommendations)


def _recommendation_table(recording: Recording) -> pd.DataFrame:
    return recommendation_table(recording, _recommended(recording))


def _of_recommendations(recording: Recording) -> Sequence[Whereabouts]:
    return of_values(recording, (each.seen.reading.path for each in _recommended(recording)))


def _not_judged(recording: Recording) -> str:
    if not observations(recording):
        return "No value was observed so far."
    blind = plural(count_unjudged(recording), "activation")
    if blind.startswith("0 "):
        return ""
    return (
        f"{blind} not judged, as no histogram was kept: Session.static(…, histograms=True) "
        "collects them"
    )


TABLES: tuple[TableKind, ...] = (
    TableKind(
        name="observers",
        title="Observers",
        hint="Every observed value with the newest readings of its observer",
        none="No observers in this run so far.",
        make=observer_table,
        where=of_observed_values,
        columns=(
            "module", "value", "role", "observed_op", "class", "dtype", "min", "max", "scale",
            "zero_point", "calibrated", "batches", "channels", "qscheme", "quant_min", "quant_max",
            "source_line", "observer",
        ),
        key=("module", "value", "role"),
        bad={"calibrated": lambda value: value is False},
        note=_not_calibrated,
    ),
    TableKind(
        name="quant_nodes",
        title="Quant nodes",
        hint="Every quantize, dequantize, … node that a stage inserted, and what became of it",
        none="No quantize or dequantize nodes in this run so far.",
        make=quant_node_table,
        where=of_quant_nodes,
        columns=(
            "kind", "module", "value", "scale", "zero_point", "dtype", "fate", "feeds",
            "inserted_by", "scheme", "axis", "observer",
        ),
        key=("kind", "module", "value"),
        stage="inserted_by",
    ),
    TableKind(
        name="findings",
        title="Findings",
        hint="What is wrong with the run, or worth knowing: the worst first",
        none="Nothing was found.",
        make=findings_table,
        where=of_findings,
        columns=FINDING_COLUMNS,
        key=("rule", "module", "finding"),
        bad={"severity": lambda value: value != INFO},
        wide=("finding", "remedy", "why", "evidence"),
        note=_found,
    ),
    TableKind(
        name="lineage",
        title="Lineage",
        hint="Every observed value from its float op to the kernel that computes with it",
        none="No observed values in this run so far.",
        make=lineage_table,
        where=of_observed_values,
        columns=(
            "value", "module", "role", "float_ops", "class", "min", "max", "scale", "zero_point",
            "dtype", "quantize_node", "fate", "kernel", "source_line", "observer",
        ),
        key=("module", "value", "role"),
    ),
    TableKind(
        name="numerics",
        title="Numerics",
        hint="What each op's value lost against the float model: made by the op itself, inherited "
        "from its inputs, and in all. SQNR in dB: each 6 dB less is one bit less; ∞: nothing is "
        "lost, –: not known",
        none="Not measured yet: jq.compare(session, inputs) runs the same inputs through the float "
        "model and the quantized one.",
        make=_measured,
        where=of_errors,
        columns=(
            "stage", "module", "kind", "value", "own_sqnr", "sqnr", "inherited_sqnr",
            "own_channel_sqnr", "saturated", "max_abs", "mean_abs", "cosine", "float_ops",
            "elements", "batches", "source_line",
        ),
        key=("stage", "module", "kind", "value"),
        stage="stage",
        note=_said_of_measuring,
        limits={"own_channel_sqnr": (0.0, EXACT)},
    ),
    TableKind(
        name="calibration",
        title="Calibration",
        hint="How each observer's range grew, batch after batch",
        none="No observer has seen a batch in this run so far.",
        make=calibration_table,
        where=_of_tracks,
        columns=(
            "module", "value", "role", "min", "max", "moved_by", "moved_percent", "converged_at",
            "batches", "first_min", "first_max", "observer",
        ),
        key=("module", "value", "role"),
    ),
    TableKind(
        name="recommendations",
        title="Advice",
        hint="The few changes of the qconfig that would gain most, as predicted; "
        "jq.recommend(session) tries them",
        none="Nothing that is predicted to gain 3 dB or more.",
        make=_recommendation_table,
        where=_of_recommendations,
        columns=("value", "role", "modules", "predicted_gain", "reason", "write"),
        key=("value", "role", "modules"),
        note=_not_judged,
        is_slow=True,
        wide=("reason", "write"),
        code=("write",),
    ),
    TableKind(
        name="stages",
        title="Stages",
        hint="Every stage that has run: what it did to the graph, and how long it took",
        none="No stage has run so far.",
        make=stage_table,
        where=of_stages,
        columns=(
            "stage", "nodes", "added", "removed", "changed", "seconds", "batches", "messages",
            "error",
        ),
        key=("stage",),
        stage="stage",
        bad={"error": bool},
    ),
)  # fmt: skip
