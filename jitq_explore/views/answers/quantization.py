"""Ranges, qparams and histograms of the observed values that a node has to do with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from jitq_explore.snapshots.graph import Node
from jitq_explore.snapshots.observed_values import ObservedValue, observed_values
from jitq_explore.snapshots.observers import ObserverReading
from jitq_explore.snapshots.quant_node import QuantNode, role_of
from jitq_explore.snapshots.quant_nodes import quant_nodes
from jitq_explore.snapshots.recording import Recording
from jitq_explore.snapshots.what_if import present_grids
from jitq_explore.views.answers.pages import Book, Page
from jitq_explore.views.answers.plots import plot_sections
from jitq_explore.views.answers.sections import pair_row, pairs
from jitq_explore.views.answers.whereabouts import of_observed_values, of_quant_nodes
from jitq_explore.views.answers.wording import (
    number_text,
    numbers_text,
    without_packed_names,
)
from jitq_explore.views.printable import printable

_HINTS = {
    "range": "The smallest and the largest number seen during calibration",
    "scale": "How much one integer step is worth: real value = scale × (integer − zero point)",
    "zero point": "The integer that stands for the real number 0",
    "dtype": "The integer type that the value is stored in",
    "scheme": "One scale for all numbers or one a channel; symmetric puts 0 in the middle",
    "clips at": "Numbers beyond this are cut off: no integer stands for them",
    "integers": "The integers that the scale is made for",
    "axis": "The dimension along which each channel has a scale of its own",
}
_MOST = 3
"""Observed values that a node shows: its own first."""


@dataclass(frozen=True)
class _Known:
    """What is known of the values and quantize nodes of a recording, by (stage, node id)."""

    values: Mapping[tuple[str, str], Sequence[ObservedValue]]
    nodes: Mapping[tuple[str, str], QuantNode]


def quantization_sections(
    book: Book, page: Page, node: Node, gone: bool
) -> Iterator[dict[str, object]]:
    """The node's own qparams, then each observed value with its range and histogram."""
    recording, stage = book.origin(page.name, gone)
    known = _known(book, recording)
    own = known.nodes.get((stage, node.id))
    if own is not None:
        yield pairs("Quantization of this node", _of_quant_node(own))
    is_gate = node.is_observer or role_of(node) is not None
    values = known.values.get((stage, node.id), ())
    for seen in values[: 1 if is_gate else _MOST]:
        reading = _reading_at(recording, stage, seen.reading)
        title = f"Observed {seen.role} %{seen.value}"
        # What the node itself says need not be said twice.
        rows = _of_reading(reading) if own is None else _range_rows(reading)
        yield pairs(printable(title), rows, _about(recording, stage, reading))
        yield from plot_sections(book, recording, seen.reading, reading)
        if len(book.runs) == 1:
            yield from _what_if(seen)


def _known(book: Book, recording: Recording) -> _Known:
    key = "observed", id(recording)
    if key not in book.kept:
        values: dict[tuple[str, str], list[ObservedValue]] = {}
        for seen, where in zip(
            observed_values(recording), of_observed_values(recording), strict=True
        ):
            for stage, ids in where.by_stage.items():
                for each in ids:
                    values.setdefault((stage, each), []).append(seen)
        nodes = {
            (stage, each): row
            for row, where in zip(quant_nodes(recording), of_quant_nodes(recording), strict=True)
            for stage, ids in _since(recording, row, where.by_stage)
            for each in ids
        }
        book.kept[key] = _Known(values, nodes)
    found: _Known = book.kept[key]
    return found


def _since(
    recording: Recording, row: QuantNode, by_stage: Mapping[str, list[str]]
) -> Iterator[tuple[str, list[str]]]:
    """Where a quantization node is itself: from the stage on that inserted it."""
    first = recording.names.index(row.inserted_by)
    later = recording.names[first:]
    return ((stage, by_stage[stage]) for stage in later if stage in by_stage)


def _reading_at(recording: Recording, stage: str, newest: ObserverReading) -> ObserverReading:
    """What the observer had seen by then; after it is gone, what it had seen at last."""
    return recording.snapshot(stage).readings.get(newest.path, newest)


def _of_quant_node(row: QuantNode) -> Iterator[dict[str, object]]:
    if row.scale:
        yield pair_row("scale", numbers_text(row.scale), hint=_HINTS["scale"])
        yield pair_row("zero point", numbers_text(row.zero_point), hint=_HINTS["zero point"])
    elif row.role in ("quantize", "choose_qparams"):
        yield pair_row("scale", "computed from the data at run time", hint=_HINTS["scale"])
    if row.dtype:
        yield pair_row("dtype", row.dtype, hint=_HINTS["dtype"])
    if row.scheme:
        yield pair_row("scheme", row.scheme, hint=_HINTS["scheme"])
    if row.axis is not None:
        yield pair_row("axis", str(row.axis), hint=_HINTS["axis"])
    yield pair_row("inserted by", row.inserted_by, hint="The stage that put it in")
    yield pair_row("what became of it", without_packed_names(row.fate))


def _of_reading(reading: ObserverReading) -> Iterator[dict[str, object]]:
    yield from _range_rows(reading)
    if reading.scale:
        yield pair_row("scale", numbers_text(reading.scale), hint=_HINTS["scale"])
        yield pair_row("zero point", numbers_text(reading.zero_point), hint=_HINTS["zero point"])
    yield pair_row("dtype", reading.dtype, hint=_HINTS["dtype"])
    yield pair_row("scheme", reading.qscheme.replace("_", " "), hint=_HINTS["scheme"])
    if reading.axis is not None and "channel" in reading.qscheme:
        yield pair_row("axis", str(reading.axis), hint=_HINTS["axis"])
    if reading.quant_min is not None and reading.quant_max is not None:
        text = f"{reading.quant_min} … {reading.quant_max}"
        yield pair_row("integers", text, hint=_HINTS["integers"])


def _range_rows(reading: ObserverReading) -> Iterator[dict[str, object]]:
    seen = _range_text(reading) if reading.minimum else _not_seen(reading)
    yield pair_row("range", seen, hint=_HINTS["range"])
    ends = clip_points(reading)
    if ends is not None and reading.minimum:
        text = f"{number_text(ends[0])} … {number_text(ends[1])}"
        yield pair_row("clips at", text, hint=_HINTS["clips at"])


def _not_seen(reading: ObserverReading) -> str:
    """Why there is no range: some observers never look at data."""
    return "none kept: computed at run time" if reading.calibrated else "nothing seen yet"


def _range_text(reading: ObserverReading) -> str:
    text = f"{number_text(min(reading.minimum))} … {number_text(max(reading.maximum))}"
    count = len(reading.minimum)
    return f"{text} over {count:,} channels" if count > 1 else text


def clip_points(reading: ObserverReading) -> tuple[float, float] | None:
    """The real numbers beyond which all is cut off; None where there is more than one scale."""
    if len(reading.scale) != 1 or reading.quant_min is None or reading.quant_max is None:
        return None
    (grid,) = present_grids(reading)
    return grid.low, grid.high


def _about(recording: Recording, stage: str, reading: ObserverReading) -> str:
    is_there = reading.path in recording.snapshot(stage).readings
    when = "by the end of this stage" if is_there else "at last"
    return printable(f"What the {reading.short_class} at {reading.path} had seen {when}")


def _what_if(seen: ObservedValue) -> Iterator[dict[str, object]]:
    """The panel, where the observer has settled on integers; the page asks for what is in it."""
    reading = seen.reading
    if reading.scale and reading.quant_min is not None and reading.quant_max is not None:
        yield {
            "type": "whatIf",
            "title": printable(f"What if? · %{seen.value}"),
            "hint": "What another observer, range or dtype would make of the values that were seen",
            "value": reading.path,
        }
