"""The tables: rows of cells, each with the nodes that it is about at every stage.

A further table is one more entry in `TABLES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from jitq_explore.snapshots.recording import Recording
from jitq_explore.views.answers.columns import COLUMNS
from jitq_explore.views.answers.pages import AskError, Book
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
            "count": len(table(book, kind.name)["rows"]),  # type: ignore[arg-type]
        }
        for kind in TABLES
    ]


def _table(book: Book, kind: TableKind) -> dict[str, object]:
    frame, where = kind.make(book.runs[0]), kind.where(book.runs[0])
    rows = [
        {
            "cells": [_cell(record[column]) for column in kind.columns],
            "at": at.by_stage,
            "module": printable(str(record.get("module", ""))),
            "stage": printable(str(record[kind.stage])) if kind.stage else at.stage,
            "bad": list(_bad(kind, record)),
        }
        for record, at in zip(_records(frame), where, strict=True)
    ]
    return {
        "name": kind.name,
        "title": kind.title,
        "hint": kind.hint,
        "note": kind.note(frame) if rows else kind.none,
        "columns": [_column(kind.name, column, frame) for column in kind.columns],
        "rows": rows,
    }


def _records(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for row in frame.astype(object).itertuples(index=False, name=None):
        yield dict(zip(frame.columns, row, strict=True))


def _column(table_name: str, column: str, frame: pd.DataFrame) -> dict[str, str]:
    label, hint = COLUMNS.get((table_name, column)) or COLUMNS["", column]
    return {"name": column, "label": label, "hint": hint, "kind": _kind(frame[column])}


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
