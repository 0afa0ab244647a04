"""The explorer's tables, as HTML text."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pandas as pd

from jitq_explore.widgets.book import Book
from jitq_explore.widgets.markup import FAILED, plural, quiet, safe, scrolling

# What is asked for most stands first: 18 columns are wider than a page.
_OBSERVER_COLUMNS = (
    "module", "value", "role", "observed_op", "class", "dtype", "min", "max", "scale", "zero_point",
    "calibrated", "batches", "channels", "qscheme", "quant_min", "quant_max", "source_line",
    "observer",
)  # fmt: skip
_QUANT_NODE_COLUMNS = (
    "kind", "module", "value", "scale", "zero_point", "dtype", "fate", "feeds", "inserted_by",
    "scheme", "axis", "observer",
)  # fmt: skip

_LONG = 32
"""Texts of more characters are broken into lines."""


def observers(book: Book, words: str) -> str:
    """The observer table, without the rows that the words filter out."""
    frame = book.observers
    if frame.empty:
        return quiet("No observers in this run so far.")
    kept = rows_with(frame, words)
    idle = int((~frame["calibrated"].astype(bool)).sum())
    note = f" {plural(idle, 'observer')} not calibrated." if idle else ""
    return (
        f"{_shown(kept, frame, 'observed values', 'with the newest readings of the run.')}{note}"
        f"{_table(kept, _OBSERVER_COLUMNS, 'Observers')}"
    )


def quant_nodes(book: Book, words: str, stage: str) -> str:
    """The same of quantize and dequantize nodes; those that the stage inserted are marked."""
    frame = book.quant_nodes
    if frame.empty:
        return quiet("No quantize or dequantize nodes in this run so far.")
    kept = rows_with(frame, words)
    here = {index for index, name in kept["inserted_by"].items() if name == stage}
    note = f" {len(here):,} marked: inserted by {stage}." if here else ""
    return (
        f"{_shown(kept, frame, 'quantization nodes', 'inserted in the whole run.' + note)}"
        f"{_table(kept, _QUANT_NODE_COLUMNS, 'Quantize and dequantize nodes', here)}"
    )


def rows_with(frame: pd.DataFrame, words: str) -> pd.DataFrame:
    """The rows whose text holds all these words, in any case."""
    wanted = words.casefold().split()
    texts = frame.select_dtypes(exclude=["number", "bool"])
    said = (" ".join(map(str, row)).casefold() for row in texts.itertuples(index=False))
    return frame[[all(word in row for word in wanted) for row in said]]


def _shown(kept: pd.DataFrame, frame: pd.DataFrame, what: str, more: str) -> str:
    count = f"{len(frame):,}" if len(kept) == len(frame) else f"{len(kept):,} of {len(frame):,}"
    return f'<span class="jitq-quiet">{count} {what} {safe(more)}</span>'


def _table(
    frame: pd.DataFrame, columns: Sequence[str], name: str, here: Collection[object] = ()
) -> str:
    numbers = set(frame.select_dtypes(include="number").columns)
    heads = "".join(f"<th{_number(c in numbers)}>{safe(c.replace('_', ' '))}</th>" for c in columns)
    rows = []
    for index, row in zip(frame.index, frame[list(columns)].itertuples(index=False), strict=True):
        cells = "".join(_cell(v, c in numbers) for c, v in zip(columns, row, strict=True))
        rows.append(f"<tr{' class=jitq-here' if index in here else ''}>{cells}</tr>")
    head, body = f"<thead><tr>{heads}</tr></thead>", f"<tbody>{''.join(rows)}</tbody>"
    return scrolling(name, f'<table class="jitq-table">{head}{body}</table>')


def _cell(value: object, is_number: bool) -> str:
    if value is False:
        return f'<td class="jitq-bad">{FAILED} no</td>'
    shown = _shown_value(value)
    long = ' class="jitq-long"' if len(shown) > _LONG else ""
    return f"<td{_number(is_number) or long}>{safe(shown)}</td>"


def _number(is_number: bool) -> str:
    return ' class="jitq-number"' if is_number else ""


def _shown_value(value: object) -> str:
    if value is True:
        return "yes"
    if value is None or value is pd.NA or value != value:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
