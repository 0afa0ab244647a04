"""The explorer's pieces of HTML, as text.

Names, messages and IR come from whoever made the model: everything passes through `safe`.
"""

from __future__ import annotations

import html
from collections.abc import Collection, Iterator, Sequence
from importlib.resources import files

import pandas as pd

from jitq_explore.snapshots.recording import Recording, StageRecord
from jitq_explore.views.boxes import SIGNS, Status
from jitq_explore.views.printable import printable
from jitq_explore.widgets.book import Book, Drawn, Found, Page

FAILED = "✖"

# What is asked for most stands first: 18 columns are wider than a page.
_OBSERVER_COLUMNS = (
    "module", "value", "role", "observed_op", "class", "dtype", "min", "max", "scale", "zero_point",
    "calibrated", "batches", "channels", "qscheme", "quant_min", "quant_max", "source_line", "observer",
)  # fmt: skip
_QUANT_NODE_COLUMNS = (
    "kind", "module", "value", "scale", "zero_point", "dtype", "feeds", "fate", "inserted_by",
    "scheme", "axis", "observer",
)  # fmt: skip

_LINE_CLASSES = {"+": "added", "-": "removed", "−": "removed", "~": "changed"}


def safe(text: object) -> str:
    """Text for HTML: escaped, and control characters written out (line ends are kept)."""
    return html.escape("\n".join(printable(line) for line in str(text).splitlines()))


def style() -> str:
    look = files(__package__).joinpath("look.css").read_text(encoding="utf-8")
    return f"<style>{look}</style>"


def heading(recording: Recording) -> str:
    """One line about the run."""
    mode = recording.mode.replace("_", "-")
    count = f"{len(recording)} of {len(recording.planned)} stages"
    facts = (f"engine {recording.engine}", f"torch {recording.torch_version}", count)
    return (
        f'<span class="jitq-title">{safe(mode.capitalize())} quantization</span>'
        f'<span class="jitq-quiet">{safe(" · ".join(facts))}</span>'
    )


def strip_label(page: Page) -> str:
    """A stage's name and, on a second line, what became of it. Plain text."""
    return f"{printable(page.name)}\n{_outcome(page)}"


def _outcome(page: Page) -> str:
    record, diff = page.record, page.diff
    if record is None or diff is None:
        return f"{len(page.graph):,} nodes"
    if record.error is not None:
        return f"{FAILED} failed"
    counts = [
        f"{SIGNS[status]}{count:,}"
        for status, count in _counts(page)
        if count and status is not Status.SAME
    ]
    if counts:
        return " ".join(counts)
    if record.batches is not None:
        return _plural(record.batches, "batch", "batches")
    return "graph unchanged" if record.changed else "no change"


def summary(page: Page) -> str:
    """What the stage did: the counts in the colours of the drawing, and a sentence; its error first."""
    record = page.record
    if record is None:
        return f"The model as it was given: {len(page.graph):,} nodes."
    alarm = _alarm(record) if record.error is not None else ""
    chips = "".join(_chip(status, count) for status, count in _counts(page))
    words = [_sentence(page, record), f"{record.seconds:.3g} s"]
    said = safe(" · ".join(filter(None, words)))
    return f'{alarm}{chips} <span class="jitq-quiet">{said}</span>'


def _counts(page: Page) -> Iterator[tuple[Status, int]]:
    diff = page.diff
    if diff is not None:
        yield Status.ADDED, len(diff.added)
        yield Status.REMOVED, len(diff.removed)
        yield Status.CHANGED, len(diff.changed)
        yield Status.SAME, len(diff.matched) - len(diff.changed)


def _chip(status: Status, count: int) -> str:
    name = "the same" if status is Status.SAME else str(status)
    quiet = " jitq-none" if not count else ""
    return f'<span class="jitq-chip jitq-{status}{quiet}">{SIGNS[status]} {count:,} {name}</span>'


def _sentence(page: Page, record: StageRecord) -> str:
    if page.diff is not None and not page.diff.is_empty:
        return ""
    old, new = record.before.readings, record.after.readings
    renewed = sum(reading != old.get(path) for path, reading in new.items())
    if record.batches is not None:
        batches = _plural(record.batches, "batch", "batches")
        return f"the graph stays as it is; {batches} fed to {_plural(len(new), 'observer')}"
    if record.error is not None:
        return "the graph stays as it was"
    if renewed:
        return f"the graph stays as it is; {_plural(renewed, 'observer')} read anew"
    return "changed nothing" if not record.changed else "changed nothing in this graph"


def _alarm(record: StageRecord) -> str:
    return (
        f'<div class="jitq-alarm" role="alert"><b>{FAILED} {safe(record.name)} failed</b> '
        f"{safe(record.error)}</div>"
    )


def running(stage: str) -> str:
    """What is said while a stage runs."""
    return _quiet(f"Running {stage} …")


def how_it_went(recording: Recording, problem: str, warnings: Sequence[str]) -> str:
    """What is said after stages have run: `problem` is "" or what ended them."""
    said = "".join(f'<div class="jitq-message">{safe(text)}</div>' for text in dict.fromkeys(warnings))
    if recording.error is not None:
        return said + _quiet("The run ended here. session.back() takes the failed stage back.")
    if problem:
        return f'{said}<div class="jitq-alarm" role="alert">{safe(problem)}</div>'
    return said


def drawing(page: Page, drawn: Drawn) -> str:
    """The drawing in a box that scrolls; where there is none the reason, and the text."""
    name = safe(f"Drawing of {page.name}")
    if drawn.problem:
        return (
            f'<div class="jitq-alarm"><b>No drawing.</b> {safe(drawn.problem)}</div>'
            f'<div class="jitq-drawing jitq-text" tabindex="0" role="region" aria-label="{name}">'
            f"{listing(page.text)}</div>"
        )
    svg = drawn.svg.replace("<svg ", f'<svg role="img" aria-label="{name}" ', 1)
    return (
        f'<div class="jitq-drawing" tabindex="0" role="region" aria-label="{name}" '
        f'style="--jitq-width:{drawn.width:g}">{svg}</div>'
    )


def caption(drawn: Drawn) -> str:
    """What the drawing leaves out."""
    note = f"{drawn.note}. " if drawn.note else ""
    return _quiet(f"{note}Point at a box for its details.") if drawn.svg else ""


def highlight(explorer: str, found: Found | None, zoom: float | None) -> str:
    """A style sheet that holds for one explorer: how large its drawing is, and what stands out.

    `explorer` is the explorer's own class; `zoom` None fits the drawing to the page.
    """
    place = f".{explorer} .jitq-drawing"
    rules = []
    if zoom is not None:
        width = f"calc(var(--jitq-width) * {zoom:g}px)"
        rules.append(f"{place} svg {{ width: {width}; max-width: none; }}")
    if found is not None and found.boxes:
        rules.append(f"{place} :is(.node, .edge) {{ opacity: 0.2; }}")
        boxes = ",".join(f'[id="{box}"]' for box in sorted(found.boxes))
        rules.append(f"{place} .node:is({boxes}) {{ opacity: 1; }}")
        shapes = ":is(polygon, path, ellipse)"
        rules.append(f"{place} .node:is({boxes}) > {shapes} {{ stroke-width: 3; }}")
    return f"<style>{' '.join(rules)}</style>"


def found_nodes(found: Found | None) -> str:
    """How many nodes the filter found."""
    if found is None:
        return ""
    count = f"<b>{len(found.nodes):,} of {found.total:,}</b> nodes match"
    if found.folded:
        count += f" ({found.folded:,} folded away)"
    return f'<span class="jitq-quiet">{count}</span>'


def observers(book: Book, words: str) -> str:
    frame = book.observers
    if frame.empty:
        return _quiet("No observers in this run so far.")
    kept = rows_with(frame, words)
    idle = int((~frame["calibrated"].astype(bool)).sum())
    note = f" {_plural(idle, 'observer')} not calibrated." if idle else ""
    return (
        f"{_shown(kept, frame, 'observed values', 'with the newest readings of the run.')}{note}"
        f"{_table(kept, _OBSERVER_COLUMNS, 'Observers')}"
    )


def quant_nodes(book: Book, words: str, stage: str) -> str:
    frame = book.quant_nodes
    if frame.empty:
        return _quiet("No quantize or dequantize nodes in this run so far.")
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
    return (
        f'<div class="jitq-scroll" tabindex="0" role="region" aria-label="{name}">'
        f'<table class="jitq-table"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _cell(value: object, is_number: bool) -> str:
    if value is False:
        return f'<td class="jitq-bad">{FAILED} no</td>'
    return f"<td{_number(is_number)}>{safe(_shown_value(value))}</td>"


def _number(is_number: bool) -> str:
    return ' class="jitq-number"' if is_number else ""


def _shown_value(value: object) -> str:
    if value is True:
        return "yes"
    if value is None or value is pd.NA or value != value:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def text(page: Page) -> str:
    """The text twin of the drawing."""
    return (
        f'<div class="jitq-scroll" tabindex="0" role="region" aria-label="Text">'
        f"{listing(page.text)}</div>"
    )


def listing(lines: str) -> str:
    """Text in fixed width; lines that begin with a sign in its colour."""
    marked = "\n".join(_line(line) for line in lines.splitlines())
    return f"<pre>{marked}</pre>"


def _line(line: str) -> str:
    status = _LINE_CLASSES.get(line.lstrip()[:1])
    if status is None:
        return safe(line)
    return f'<span class="jitq-line jitq-line-{status}">{safe(line)}</span>'


def messages(page: Page, recording: Recording) -> str:
    """The error of the stage with its traceback, what was kept from the screen, and the qconfig."""
    record = page.record
    parts = []
    if record is not None and record.error is not None:
        trace = safe(record.error.traceback) or "no traceback was kept"
        parts.append(f'{_alarm(record)}<pre class="jitq-wrap">{trace}</pre>')
    said = record.messages if record is not None else recording.warnings
    parts += [f'<div class="jitq-message">{safe(message)}</div>' for message in said]
    if not parts:
        parts.append(_quiet("No warnings and no error."))
    rows = "\n".join(f"{key!r}: {value}" for key, value in recording.qconfig.items())
    parts.append(f'<details><summary>qconfig of this run</summary><pre class="jitq-wrap">{safe(rows)}</pre></details>')
    return f'<div class="jitq-scroll" tabindex="0" role="region" aria-label="Messages">{"".join(parts)}</div>'


def count_messages(page: Page, recording: Recording) -> str:
    """The title of the tab that holds them. Plain text."""
    record = page.record
    if record is not None and record.error is not None:
        return f"{FAILED} Error"
    count = len(record.messages if record is not None else recording.warnings)
    return f"Messages ({count})" if count else "Messages"


def _quiet(sentence: str) -> str:
    return f'<span class="jitq-quiet">{safe(sentence)}</span>'


def _plural(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"
