"""What an inner step did to a graph, line by line: for the text twin and for the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from jitq_explore.snapshots.diff import diff_graphs
from jitq_explore.snapshots.graph import Graph, Node, graph_rows
from jitq_explore.snapshots.step_changes import names_made
from jitq_explore.snapshots.steps import Step, StepGraph
from jitq_explore.views.boxes import Status

CONTEXT = 3
"""Unchanged lines shown around a change."""


@dataclass(frozen=True)
class StepLine:
    """A line before and after the step; "" where there is none."""

    status: Status
    before: str = ""
    after: str = ""


def step_lines(step: Step) -> list[StepLine]:
    """Both graphs in one listing; none where the log shows neither, all alike where one."""
    before, after = step.before, step.after
    if before is None or after is None:
        shown = before or after
        return [StepLine(Status.SAME, line, line) for line in (shown.lines if shown else ())]
    if before.lines[:1] == after.lines[:1]:
        return list(_by_name(before, after))
    # A copy of the model, whose values are numbered anew.
    return list(_by_match(before.graph, after.graph))


def near_changes(lines: Sequence[StepLine]) -> list[bool]:
    """Which lines are a change or near to one; all of them where there is no change."""
    changed = [at for at, line in enumerate(lines) if line.status is not Status.SAME]
    if not changed:
        return [True] * len(lines)
    near = {at + k for at in changed for k in range(-CONTEXT, CONTEXT + 1)}
    return [at in near for at in range(len(lines))]


def _by_name(before: StepGraph, after: StepGraph) -> Iterator[StepLine]:
    """Lines that make the same values are the same node."""
    olds, news = before.lines, after.lines
    matcher = SequenceMatcher(None, [*map(_key, olds)], [*map(_key, news)], autojunk=False)
    for tag, i, j, k, m in matcher.get_opcodes():
        if tag == "equal":
            for old, new in zip(olds[i:j], news[k:m], strict=True):
                yield StepLine(Status.SAME if old == new else Status.CHANGED, old, new)
        else:
            yield from (StepLine(Status.REMOVED, before=old) for old in olds[i:j])
            yield from (StepLine(Status.ADDED, after=new) for new in news[k:m])


def _key(line: str) -> str:
    made = names_made(line)
    # What a graph or a block hands on has no name of its own.
    return ",".join(made) or line.partition("(")[0].strip()


def _by_match(before: Graph, after: Graph) -> Iterator[StepLine]:
    """In the order of the graph after; what is gone where it stood."""
    found = diff_graphs(before, after)
    old_lines = {row.id: line for line, row in graph_rows(before) if isinstance(row, Node)}
    gone: dict[str, list[StepLine]] = {}
    place = ""
    for node in before.nodes:
        match = found.match_before.get(node.id)
        if match is None:
            gone.setdefault(place, []).append(StepLine(Status.REMOVED, before=old_lines[node.id]))
        else:
            place = match.after[-1].id
    for line, row in graph_rows(after):
        match = found.match_after.get(row.id) if isinstance(row, Node) else None
        if match is not None:
            status = Status.CHANGED if match.changes else Status.SAME
            yield StepLine(status, old_lines[match.before[0].id], line)
        elif isinstance(row, Node):
            yield StepLine(Status.ADDED, after=line)
        else:
            yield StepLine(Status.SAME, line, line)
        yield from gone.pop(row.id if isinstance(row, Node) else "", ())
