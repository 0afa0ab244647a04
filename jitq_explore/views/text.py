"""The text twins of the drawings: for terminals, tests, and wherever there is no Graphviz."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jitq_explore.snapshots.diff import GraphDiff, diff
from jitq_explore.snapshots.graph import Graph, node_line
from jitq_explore.snapshots.recording import INPUT, Recording, StageRecord
from jitq_explore.snapshots.steps import Event, Step
from jitq_explore.views.boxes import Status
from jitq_explore.views.printable import printable, shorten_end
from jitq_explore.views.step_lines import StepLine, near_changes, step_lines
from jitq_explore.views.union import Item, union_of

CONTEXT = 3
"""Unchanged nodes shown around a change."""

_WIDEST = 200  # characters

_SIGNS = {Status.ADDED: "+", Status.REMOVED: "-", Status.CHANGED: "~", Status.SAME: " "}
# Blue, orange and yellow like the drawings, dim grey for the rest.
_COLOURS = {
    Status.ADDED: "38;5;33",
    Status.REMOVED: "38;5;208",
    Status.CHANGED: "38;5;178",
    Status.SAME: "2",
}


def diff_text(diff: GraphDiff, colour: bool = False, context: int | None = CONTEXT) -> str:
    """Both graphs in one listing, a sign before each node; what changed is shown old → new.

    `context` is how many unchanged nodes are listed around a change (None: all of them); the others
    are counted. `colour` adds terminal colours. Control characters in names are written out.
    """
    items = union_of(diff)
    shown = _near_changes(items, context)
    lines = [printable(f"{diff.before_name} → {diff.after_name}"), diff.summary()]
    skipped = 0
    for item, is_shown in zip(items, shown, strict=True):
        if not is_shown:
            skipped += 1
            continue
        lines.extend(_elided(skipped, colour))
        skipped = 0
        graph = diff.before if item.status is Status.REMOVED else diff.after
        lines.extend(_paint(line, item.status, colour) for line in _item_lines(item, graph))
    lines.extend(_elided(skipped, colour))
    return "\n".join(lines)


def recording_text(recording: Recording) -> str:
    """All stages of a run as a table: nodes, differences, wall time in seconds, batches."""
    heads = ("stage", "nodes", "added", "removed", "changed", "seconds", "batches", "")
    rows = [(INPUT, str(len(recording.input.graph())), *[""] * 6)]
    for before, stage in zip((INPUT, *recording.names), recording.stages, strict=False):
        rows.append(_stage_row(recording, before, stage))
    lines = [_title(recording), "", *_table((heads, *rows))]
    waiting = recording.planned[len(recording.stages) :]
    if waiting:
        lines.append(f"not run: {', '.join(waiting)}")
    return "\n".join(lines)


def stage_text(recording: Recording, name: str, colour: bool = False) -> str:
    """One stage: how it went, and what it did to the graph. KeyError names the stages there are."""
    stage = recording[name]
    position = recording.names.index(name)
    before = (INPUT, *recording.names)[position]
    facts = [f"{printable(name)}: {stage.seconds:.3f} s"]
    if stage.batches is not None:
        facts.append(f"{stage.batches} batches")
    lines = [", ".join(facts)]
    if stage.error is not None:
        lines.append(f"error: {printable(str(stage.error))}")
    lines.extend(
        f"message: {shorten_end(printable(message), _WIDEST)}" for message in stage.messages
    )
    lines.extend(f"inner step {k}: {_step_line(step)}" for k, step in enumerate(stage.steps))
    return "\n".join([*lines, "", diff_text(diff(recording, before, name), colour)])


def step_text(recording: Recording, stage: str, number: int, colour: bool = False) -> str:
    """One inner step of a stage: what the pass said, and what it did to a graph.

    KeyError names the stages there are, IndexError the number of steps.
    """
    steps = recording[stage].steps
    if not 0 <= number < len(steps):
        raise IndexError(f"stage {stage!r} has no inner step {number}: it has {len(steps)}")
    step = steps[number]
    lines = [_step_line(step), *map(_event_line, step.events), ""]
    listed = step_lines(step)
    skipped = 0
    for line, is_near in zip(listed, near_changes(listed), strict=True):
        skipped += not is_near
        if is_near:
            lines.extend(_elided(skipped, colour, "line"))
            skipped = 0
            lines.extend(_paint(text, status, colour) for text, status in _both(line))
    lines.extend(_elided(skipped, colour, "line"))
    return "\n".join(lines)


def _step_line(step: Step) -> str:
    return printable(f"{step.name}: {step.title}")


def _event_line(event: Event) -> str:
    said = event.text.replace("\n", " ")
    place = f" in {event.module}" if event.module else ""
    values = f" %{', %'.join(event.values)}" if event.values else ""
    line = f"  {event.kind}{values}{place}: {event.cause or said}"
    return shorten_end(printable(line), _WIDEST)


def _both(line: StepLine) -> Iterator[tuple[str, Status]]:
    """The old line and the new one, each with its sign."""
    if line.status is Status.SAME:
        yield f"  {printable(line.after)}", Status.SAME
        return
    if line.before:
        yield f"- {printable(line.before)}", Status.REMOVED
    if line.after:
        yield f"+ {printable(line.after)}", Status.ADDED


def _near_changes(items: Sequence[Item], context: int | None) -> list[bool]:
    if context is None:
        return [True] * len(items)
    shown = [False] * len(items)
    for position, item in enumerate(items):
        if item.status is not Status.SAME:
            for near in range(max(0, position - context), min(len(items), position + context + 1)):
                shown[near] = True
    return shown


def _item_lines(item: Item, graph: Graph) -> Iterator[str]:
    indent = "  " * _depth(item, graph)
    yield f"{_SIGNS[item.status]} {indent}{printable(node_line(item.node))}"
    if item.status is not Status.CHANGED or item.match is None:
        return
    if len(item.match.before) > 1:
        for node in item.match.before:
            yield f"    {indent}was {printable(node_line(node))}"
    else:
        for what, old, new in item.match.changes:
            line = f"{what}: {printable(old)} → {printable(new)}"
            yield f"    {indent}{shorten_end(line, _WIDEST)}"


def _depth(item: Item, graph: Graph) -> int:
    """How many blocks the node lies in."""
    depth, block = 0, item.node.block
    while block:
        depth += 1
        block = graph.node(graph.blocks[block].owner).block
    return depth


def _elided(count: int, colour: bool, what: str = "node") -> Iterator[str]:
    if count:
        nodes = f"1 unchanged {what}" if count == 1 else f"{count} unchanged {what}s"
        yield _paint(f"  … {nodes}", Status.SAME, colour)


def _paint(line: str, status: Status, colour: bool) -> str:
    return f"\x1b[{_COLOURS[status]}m{line}\x1b[0m" if colour else line


def _title(recording: Recording) -> str:
    mode = recording.mode.replace("_", "-")
    facts = [f"torch {recording.torch_version}", f"engine {recording.engine}"]
    if recording.debug:
        facts.append("debug")
    return printable(f"{mode} quantization ({', '.join(facts)})")


def _stage_row(recording: Recording, before: str, stage: StageRecord) -> tuple[str, ...]:
    found = diff(recording, before, stage.name)
    remark = "" if stage.changed else "nothing changed"
    if stage.error is not None:
        remark = f"error: {shorten_end(printable(str(stage.error)), 80)}"
    return (
        printable(stage.name),
        f"{len(found.before)} → {len(found.after)}",
        f"+{len(found.added)}",
        f"-{len(found.removed)}",
        f"~{len(found.changed)}",
        f"{stage.seconds:.3f}",
        "" if stage.batches is None else str(stage.batches),
        remark,
    )


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns as wide as need be; numbers to the right, the first and the last to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:-1], widths[1:-1], strict=True)]
        yield "  ".join((*cells, row[-1])).rstrip()
