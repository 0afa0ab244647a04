"""The tables as answers: rows of cells, each with the nodes that it is about at every stage."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import pandas as pd

from jitq_explore.snapshots.recording import Recording
from jitq_explore.views.answers.columns import COLUMNS
from jitq_explore.views.answers.pages import AskError, Book, shown
from jitq_explore.views.answers.table_kinds import TABLES, TableKind
from jitq_explore.views.answers.whereabouts import (
    Whereabouts,
)
from jitq_explore.views.answers.wording import (
    plain_number,
    without_packed_names,
)
from jitq_explore.views.printable import printable


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
