"""Inner steps of `insert_quant_dequant`: each method's values, its observers, what is handed on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from jitq_explore.capture.inner_steps.context import Context, counted
from jitq_explore.capture.log_entries import LogEntry
from jitq_explore.snapshots.steps import Event, Step, StepGraph

_QUANTIZE = ("Before Quantize Tensors:", "After Quantize Tensors:")
_REMOVE = ("Before Remove Observers:", "After remove observers :")
_REMOVED = "Trying to remove: "
_CHECKED = re.compile(r"checking if input:(?P<value>\S+) in node:(?P<node>.*)", re.DOTALL)
_QUANTIZED = re.compile(r"\s*%(?P<value>[\w.]+) : \S+ = aten::quantize_per_\w+\(%(?P<float>[\w.]+)")
_KIND = re.compile(r" = (?P<kind>[\w:]+)")


def quantizing_steps(entries: Sequence[LogEntry], context: Context) -> Iterator[Step]:
    """A step for each method that gets quantize nodes or loses observers, and one for the rest."""
    told: set[Step] = set()
    for step in _steps_of_methods(entries, context):
        if step not in told:
            told.add(step)
            yield step
    checked = tuple(_checks(entries))
    if checked:
        title = f"{counted(len(checked), 'value')} looked at: are they quantized already?"
        yield Step("propagate", title, checked, after=context.main_after)


def _steps_of_methods(entries: Sequence[LogEntry], context: Context) -> Iterator[Step]:
    opened: LogEntry | None = None
    removed: list[Event] = []
    for entry in entries:
        if entry.text in (_QUANTIZE[0], _REMOVE[0]):
            opened, removed = entry, []
        elif entry.text.startswith(_REMOVED):
            observer = entry.text.removeprefix(_REMOVED).strip()
            removed.append(Event("removed", entry.text, (observer,)))
        elif opened is not None and entry.text in (_QUANTIZE[1], _REMOVE[1]):
            before, after = opened.graph, entry.graph
            if before is not None and after is not None and before is not after:
                yield _step(before, after, removed, context)
            opened = None


def _step(before: StepGraph, after: StepGraph, removed: Sequence[Event], context: Context) -> Step:
    where = context.where(before) or "the model"
    if removed:
        title = f"{where}: {counted(len(removed), 'observer')}"
        return Step("remove observers", title, tuple(removed), before, after)
    values = tuple(_quantized(before, after, context))
    return Step("quantize", f"{where}: {counted(len(values), 'value')}", values, before, after)


def _quantized(before: StepGraph, after: StepGraph, context: Context) -> Iterator[Event]:
    known = set(before.lines)
    for line in after.lines:
        found = _QUANTIZED.match(line)
        if found and line not in known:
            values = (found["float"], found["value"])
            yield Event("quantized", line.strip(), values, context.where(before))


def _checks(entries: Sequence[LogEntry]) -> Iterator[Event]:
    """The inputs of ops that need no observer of their own; torch does not log what it found."""
    for entry in entries:
        found = _CHECKED.match(entry.text)
        if found is not None:
            kind = _KIND.search(found["node"])
            cause = f"made by {kind['kind']}" if kind else ""
            yield Event("checked", entry.text, (found["value"],), cause=cause)
