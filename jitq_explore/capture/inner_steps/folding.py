"""Inner steps of `fold_conv_bn`: one for each method in which a pair was found."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from jitq_explore.capture.inner_steps.context import Context
from jitq_explore.capture.log_entries import LogEntry
from jitq_explore.snapshots.graph import Graph, attribute_path
from jitq_explore.snapshots.steps import Event, Step

_METHOD = re.compile(r"\w+::(?P<method>\w+)\(\) before Conv-BatchNorm folding")
_REWRITING = re.compile(r"Rewriting %(?P<norm>[\w.]+) with %(?P<conv>[\w.]+)")
_NEXT_MATCH = "Checking next match..."
_COUNT = "number of Conv-BatchNorm matches"


def folding_steps(entries: Sequence[LogEntry], context: Context) -> Iterator[Step]:
    """One step a method; methods without a match are left out, equal ones told once."""
    told: set[Step] = set()
    for head, rest in _by_method(entries):
        events = tuple(_events(head, rest, context))
        found = _METHOD.match(head.text)
        if not events or found is None or head.graph is None:
            continue
        folded = [event for event in events if event.kind == "folded"]
        where = ".".join(filter(None, (context.where(head.graph), found["method"])))
        step = Step(
            name="fold",
            title=f"{where}: {len(folded)} of {len(events)} folded",
            events=events,
            before=head.graph,
            after=context.text_after(head.graph, found["method"]),
        )
        if step not in told:
            told.add(step)
            yield step


def _by_method(entries: Sequence[LogEntry]) -> Iterator[tuple[LogEntry, list[LogEntry]]]:
    head: LogEntry | None = None
    rest: list[LogEntry] = []
    for entry in entries:
        if entry.level == "DUMP" and _METHOD.match(entry.text):
            if head is not None:
                yield head, rest
            head, rest = entry, []
        else:
            rest.append(entry)
    if head is not None:
        yield head, rest


def _events(head: LogEntry, rest: Sequence[LogEntry], context: Context) -> Iterator[Event]:
    """One event a match: folded, or skipped with what torch says to that."""
    matches: list[list[LogEntry]] = []
    for entry in rest:
        if entry.text.startswith(_NEXT_MATCH):
            matches.append([])
        elif matches and not entry.text.startswith(_COUNT):
            matches[-1].append(entry)
    for said in matches:
        text = "\n".join(entry.text for entry in said)
        found = _REWRITING.search(text)
        if found is None:
            yield Event("skipped", text or _NEXT_MATCH, cause=text or "torch gives no reason")
            continue
        graph = head.graph.graph if head.graph is not None else None
        values = (found["norm"], found["conv"])
        yield Event(
            "folded", text, values, _module(graph, found["norm"], context.where(head.graph))
        )


def _module(graph: Graph | None, value: str, where: str) -> str:
    """The path of the module whose call makes the value."""
    node = graph.producers.get(value) if graph is not None else None
    if graph is None or node is None or node.kind != "prim::CallMethod":
        return where
    path = attribute_path(graph, node.inputs[0]) or ""
    return ".".join(filter(None, (where, path)))
