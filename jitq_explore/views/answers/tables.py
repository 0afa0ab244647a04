"""The tables: rows of cells, each with the nodes that it is about at every stage.

A further table is one more entry in `TABLES`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import pandas as pd

from jitq_explore.snapshots.recording import Recording
from jitq_explore.views.answers.columns import COLUMNS
from jitq_explore.views.answers.pages import AskError, Book, shown
from jitq_explore.views.answers.whereabouts import (
    Whereabouts,
    of_observed_values,
    of_quant_nodes,
    of_stages,
)
from jitq_explore.views.answers.wording import plain_number, plural
from jitq_explore.views.lineage_table import lineage_table
from jitq_explore.views.printable import printable
from jitq_explore.views.tables import observer_table, quant_node_table, stage_table


@dataclass(frozen=True, slots=True)
class TableKind:
    """One table: how it is made of a recording, and where its rows are in the graphs.

    `columns` are shown in that order, what is asked for most first. `key` tells which row of one
    run is which of another. `stage` is the column that names the stage a row belongs to, `bad` maps
    a column to what tells that a cell of it is bad.
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
    note: Callable[[pd.DataFrame], str] = lambda frame: ""


def _not_calibrated(frame: pd.DataFrame) -> str:
    idle = int((~frame["calibrated"].astype(bool)).sum())
    return f"{plural(idle, 'observer')} not calibrated" if idle else ""


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
        title="Quantize / dequantize",
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


def _count(book: Book, kind: TableKind) -> int:
    """How many rows there are. A table that cannot be made says why when it is asked for."""
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
    notes = (
        kind.note(each.frame) + (name if len(made) > 1 else "")
        for each, name in zip(made, names, strict=True)
        if kind.note(each.frame)
    )
    return {
        "name": kind.name,
        "title": kind.title,
        "hint": kind.hint,
        "note": "; ".join(notes) if joined else kind.none,
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
    cells += [_cell(record[column]) if record else None for column in own for record in records]
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


def _column(kind: TableKind, column: str, frame: pd.DataFrame, run: str = "") -> dict[str, str]:
    label, hint = COLUMNS.get((kind.name, column)) or COLUMNS["", column]
    name, label = f"{column}{run}", f"{label}{run}"
    return {"name": name, "label": label, "hint": hint, "kind": _kind(frame[column])}


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
    return printable(str(value))


def _bad(kind: TableKind, record: Mapping[str, Any]) -> Iterator[str]:
    for column, is_bad in (kind.bad or {}).items():
        if is_bad(record[column]):
            yield column
