"""The inner steps of a stage: what its pass said, and what each step did to a graph."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from jitq_explore.snapshots.steps import Event, Step
from jitq_explore.views.answers.pages import AskError, Book, Page
from jitq_explore.views.answers.text_lines import marked, text_line
from jitq_explore.views.answers.wording import plural
from jitq_explore.views.boxes import Status
from jitq_explore.views.printable import printable
from jitq_explore.views.step_lines import StepLine, near_changes, step_lines

MOST_LINES = 2000
"""Lines of one step's text; a graph that is printed anew as a whole has more."""

_HINTS = {
    "fold": "BatchNorms multiplied into the convolutions before them",
    "qconfig": "which key of the qconfig dict a module goes by",
    "decide": "which values are to be observed, and which are not, since they are fused later",
    "insert": "the observers that were put there; what is observed already is left out",
    "quantize": "values of a method that get a quantize and a dequantize node",
    "remove observers": "the observers' calls, which nothing needs any more",
    "propagate": "ops that work on quantized values as they are: asked of each of their inputs",
    "prepack": "ops put before a layer that pack its weight for the quantized kernel",
    "fuse": "a pattern of float ops between dequantize and quantize, replaced by a quantized one",
    "freeze": "attributes that cannot change any more",
    "fold prepack": "the packing done now, its result kept as an attribute",
}


def steps(book: Book, stage: Page) -> dict[str, object]:
    """The answer to "steps"."""
    found = _steps_of(stage)
    said = plural(len(found), "inner step")
    note = f"{said}, as torch's own log tells them" if found else _WHY_NONE
    return {
        "title": f"Inside {printable(stage.name)}",
        "note": note,
        "steps": [_step(step) for step in found],
    }


_WHY_NONE = "no inner steps: they are recorded with deep=True, of passes that log what they do"


def step(book: Book, stage: Page, number: object) -> dict[str, object]:
    """The answer to "step": the text before and after it, what is near to a change."""
    found = _steps_of(stage)
    if not isinstance(number, int) or not 0 <= number < len(found):
        raise AskError(f"unknown step {number!r} of {stage.name!r} (must be below {len(found)})")
    lines = step_lines(found[number])
    shown = list(_lines(lines))
    note = f"the first {MOST_LINES:,} lines" if len(shown) > MOST_LINES else ""
    if lines and (found[number].before is None or found[number].after is None):
        when = "after" if found[number].before is None else "before"
        note = f"the graph {when} the step; the log does not show the other one"
    return {"title": printable(found[number].title), "note": note, "lines": shown[:MOST_LINES]}


def outline(found: Sequence[Step]) -> list[dict[str, object]]:
    """The steps in short, for the strip: each phase with its number of steps, and its first."""
    phases = [
        (name, [number for number, _ in group])
        for name, group in groupby(enumerate(found), lambda pair: pair[1].name)
    ]
    return [
        {
            "name": printable(name),
            "label": f"×{len(numbers)}" if len(numbers) > 1 else "",
            "title": "\n".join(printable(found[number].title) for number in numbers[:_MOST_TITLES]),
            "number": numbers[0],
            "count": len(numbers),
        }
        for name, numbers in phases
    ]


_MOST_TITLES = 12


def _steps_of(page: Page) -> Sequence[Step]:
    return page.record.steps if page.record is not None else ()


def _step(found: Step) -> dict[str, object]:
    return {
        "name": printable(found.name),
        "hint": _HINTS.get(found.name, ""),
        "title": printable(found.title),
        "rule": printable(found.rule),
        "events": [_event(event) for event in found.events],
        "hasText": bool(found.before or found.after),
    }


def _event(event: Event) -> dict[str, object]:
    return {
        "kind": printable(event.kind),
        "text": "\n".join(map(printable, event.text.split("\n"))),
        "values": [printable(value) for value in event.values],
        "module": printable(event.module),
        "cause": printable(event.cause),
    }


def _lines(lines: Sequence[StepLine]) -> Iterator[dict[str, object]]:
    skipped = 0
    for line, is_near in zip(lines, near_changes(lines), strict=True):
        if not is_near:
            skipped += 1
            continue
        yield from _elided(skipped)
        skipped = 0
        yield _line(line)
    yield from _elided(skipped)


def _elided(count: int) -> Iterator[dict[str, object]]:
    if count:
        yield text_line("same", after=f"  … {plural(count, 'line')}")


def _line(line: StepLine) -> dict[str, object]:
    if line.status is Status.ADDED:
        return text_line("added", after=line.after)
    if line.status is Status.REMOVED:
        return text_line("removed", before=line.before)
    if line.status is Status.SAME:
        return text_line("same", after=line.after)
    before, after = marked(line.before, line.after, {})
    return {**text_line("changed"), "before": before, "after": after}
