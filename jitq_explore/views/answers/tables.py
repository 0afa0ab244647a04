"""The tables: rows of cells, each with the nodes that it is about at every stage.

A further table is one more entry in `TABLES`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pandas as pd

from jitq_explore.diagnostics.diagnose import diagnose
from jitq_explore.diagnostics.findings import INFO
from jitq_explore.diagnostics.recommend import count_unjudged, recommendations
from jitq_explore.snapshots.numerics import EXACT
from jitq_explore.snapshots.observations import observations
from jitq_explore.snapshots.once import once
from jitq_explore.snapshots.recording import Recording
from jitq_explore.views.answers.columns import COLUMNS
from jitq_explore.views.answers.pages import AskError, Book, shown
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
    plain_number,
    plural,
    without_packed_names,
)
from jitq_explore.views.calibration_table import calibration_table
from jitq_explore.views.findings_table import FINDING_COLUMNS, findings_table
from jitq_explore.views.lineage_table import lineage_table
from jitq_explore.views.numerics_table import NUMERICS_COLUMNS, numerics_table
from jitq_explore.views.printable import printable
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


def table(book: Book, name: object) -> dict[str, object]:
    """The answer to "table"."""
    kind = next((each for each in TABLES if each.name == name), None)
    if kind is None:
        names = [each.name for each in TABLES]
        raise AskError(f"unknown table {name!r} (must be one of {names})")
    key = "table", kind.name
    if key not in book.kept:
        book.kept[key] = _table(book, kind)
    found: dict[str, object] = book.kept[key]
    return found


def tabs(book: Book) -> list[dict[str, object]]:
    """The tables that can be asked for."""
    return [
        {
            "name": kind.name,
            "title": kind.title,
            "hint": kind.hint,
            "count": _count(book, kind),
        }
        for kind in TABLES
    ]


def _count(book: Book, kind: TableKind) -> int | None:
    """How many rows there are, if that is known at once. A table that cannot be made says why when
    it is asked for."""
    if kind.is_slow and ("table", kind.name) not in book.kept:
        return None
    try:
        rows = table(book, kind.name)["rows"]
    except Exception:
        return 0
    return len(rows) if isinstance(rows, list) else 0


Record: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class _Made:
    """One table of one recording: its rows, each with where it is."""

    recording: Recording
    frame: pd.DataFrame
    rows: tuple[tuple[Record, Whereabouts], ...]

    @staticmethod
    def of(kind: TableKind, recording: Recording) -> _Made:
        frame = kind.make(recording)
        rows = zip(_records(frame), kind.where(recording), strict=True)
        return _Made(recording, frame, tuple(rows))


def _table(book: Book, kind: TableKind) -> dict[str, object]:
    made = [_Made.of(kind, recording) for recording in book.runs]
    joined = _joined(kind, made)
    names = [f" ({name})" for name in book.run_names] or [""]
    own = [column for column in kind.columns if column not in kind.key or len(made) == 1]
    shared = [column for column in kind.key if len(made) > 1]
    columns = [_column(kind, column, made[0].frame) for column in shared]
    for column in own:
        columns += [
            _column(kind, column, each.frame, name) for each, name in zip(made, names, strict=True)
        ]
    notes = [
        kind.note(each.recording) + name
        for each, name in zip(made, names, strict=True)
        if kind.note(each.recording)
    ]
    return {
        "name": kind.name,
        "title": kind.title,
        "hint": kind.hint,
        "note": printable("; ".join(notes) if joined else " ".join([kind.none, *notes])),
        "columns": columns,
        "rows": [_row(book, kind, made, row, shared, own, names) for row in joined],
    }


def _joined(
    kind: TableKind, made: Sequence[_Made]
) -> list[list[tuple[Record, Whereabouts] | None]]:
    """The rows of all recordings; those with one key are one (several with one, in their order)."""
    found: dict[Hashable, list[tuple[Record, Whereabouts] | None]] = {}
    for place, each in enumerate(made):
        times: Counter[Hashable] = Counter()
        for record, where in each.rows:
            own = tuple(record[column] for column in kind.key)
            times[own] += 1
            row = found.setdefault((own, times[own]), [None] * len(made))
            row[place] = record, where
    return list(found.values())


def _row(
    book: Book,
    kind: TableKind,
    made: Sequence[_Made],
    row: Sequence[tuple[Record, Whereabouts] | None],
    shared: Sequence[str],
    own: Sequence[str],
    names: Sequence[str],
) -> dict[str, object]:
    records = [part[0] if part else None for part in row]
    newest, where = next(part for part in reversed(row) if part)
    cells = [_cell(newest[column]) for column in shared]
    cells += [
        _within(_cell(record[column]), kind.limits.get(column)) if record else None
        for column in own
        for record in records
    ]
    bad = [
        f"{column}{name}"
        for record, name in zip(records, names, strict=True)
        for column in (_bad(kind, record) if record else ())
    ]
    at: dict[str, list[str]] = {}
    gone: dict[str, list[str]] = {}
    for each, part in reversed(list(zip(made, row, strict=True))):
        for stage, ids in (part[1].by_stage if part else {}).items():
            there, taken = shown(book, book.pages[stage], each.recording, ids)
            if there:
                at.setdefault(stage, there)
            if taken:
                gone[stage] = taken
    return {
        "cells": cells,
        "at": at,
        "gone": gone,
        "module": printable(str(newest.get("module", ""))),
        "stage": printable(str(newest[kind.stage])) if kind.stage else where.stage,
        "bad": bad,
    }


def _records(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for row in frame.astype(object).itertuples(index=False, name=None):
        yield dict(zip(frame.columns, row, strict=True))


def _column(kind: TableKind, column: str, frame: pd.DataFrame, run: str = "") -> dict[str, object]:
    label, hint = COLUMNS.get((kind.name, column)) or COLUMNS["", column]
    name, label = f"{column}{run}", f"{label}{run}"
    return {
        "name": name,
        "label": label,
        "hint": hint,
        "kind": _kind(frame[column]),
        "isWide": column in kind.wide,
        "isCode": column in kind.code,
    }


def _kind(column: pd.Series[Any]) -> str:
    if pd.api.types.is_bool_dtype(column.dtype):
        return "bool"
    return "number" if pd.api.types.is_numeric_dtype(column.dtype) else "text"


def _cell(value: Any) -> object:
    if value is None or value is pd.NA or value != value:
        return None
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return plain_number(float(value))
    return printable(without_packed_names(str(value)))


def _within(cell: object, limits: tuple[float, float] | None) -> object:
    """A cell that says so where the number has come to a limit, but for rounding."""
    if limits is None or not isinstance(cell, float):
        return cell
    for limit, sign in zip(limits, "≤≥", strict=True):
        if math.isclose(cell, limit, abs_tol=1e-6):
            return f"{sign} {limit:g}"
    return cell


def _bad(kind: TableKind, record: Mapping[str, Any]) -> Iterator[str]:
    for column, is_bad in (kind.bad or {}).items():
        if is_bad(record[column]):
            yield column
