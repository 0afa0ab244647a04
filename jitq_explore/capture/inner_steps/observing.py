"""Inner steps of `insert_observers`: the qconfigs, what is to be observed, what was inserted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from jitq_explore.capture.inner_steps.context import Context, counted
from jitq_explore.capture.log_entries import LogEntry
from jitq_explore.snapshots.steps import Event, Step, StepGraph

_OWN = "Got module config for key:"
_INHERITED = "Inheriting qconfig from parent module:"
_DELAYED = re.compile(
    r"Delay observation for value in function pattern:(?P<first>\S+) to (?P<last>\S+)"
)
_RECORDED = re.compile(r"Recording observer for (?P<value>\S+)")
_INSERTED = re.compile(r"Inserting observer for:(?P<value>\S+)")
_PASSED_ON = re.compile(r"Pass through observed property in node:(?P<node>.*)", re.DOTALL)
_OUTPUT = re.compile(r"%(?P<value>[\w.]+) : ")
_KIND = re.compile(r" = (?P<kind>[\w:]+)")


def observing_steps(entries: Sequence[LogEntry], context: Context) -> Iterator[Step]:
    """Three steps, of which each has events of its own."""
    qconfigs = tuple(_qconfigs(entries))
    if qconfigs:
        yield Step("qconfig", f"{counted(len(qconfigs), 'module')} and their qconfigs", qconfigs)
    decided = tuple(_decisions(entries, context))
    inserted = tuple(_insertions(entries))
    prepared = _last_main(entries, context)
    if decided:
        recorded = sum(event.kind == "recorded" for event in decided)
        title = f"{counted(recorded, 'value')} to be observed"
        yield Step("decide", title, decided, context.main_before, prepared)
    if inserted:
        count = sum(event.kind == "inserted" for event in inserted)
        before = prepared or context.main_before
        yield Step(
            "insert", f"{counted(count, 'observer')} inserted", inserted, before, context.main_after
        )


def _qconfigs(entries: Sequence[LogEntry]) -> Iterator[Event]:
    """Each module once: torch tells the modules twice, the second time of its copy."""
    own: set[str] = set()
    told: set[str] = set()
    for entry in entries:
        prefix = next((p for p in (_OWN, _INHERITED) if entry.text.startswith(p)), None)
        if prefix is None:
            continue
        path = entry.text[len(prefix) :].strip()
        if path in told:
            continue
        told.add(path)
        if prefix == _OWN:
            own.add(path)
            yield Event("qconfig", entry.text, module=path, cause=f"the key {path!r} names it")
        else:
            yield Event("qconfig", entry.text, module=path, cause=_heritage(path, own))


def _heritage(path: str, own: set[str]) -> str:
    """Whose qconfig a module without a key of its own has."""
    above = path
    while above:
        above = above.rpartition(".")[0]
        if above in own:
            return f"inherited: the key {above!r} names the nearest module above it"
    return "no key names it or a module above it: no qconfig"


def _decisions(entries: Sequence[LogEntry], context: Context) -> Iterator[Event]:
    """Whether values are to be observed; equal decisions on modules of one class once each."""
    for at, entry in enumerate(entries):
        delayed = _DELAYED.match(entry.text)
        recorded = _RECORDED.match(entry.text)
        if delayed:
            cause = f"%{delayed['last']} is observed instead: what lies between is fused later"
            values = (delayed["first"], delayed["last"])
            yield Event("delayed", entry.text, values, context.holding(values), cause)
        elif recorded:
            graph = entries[at + 1].graph if at + 1 < len(entries) else None
            value = recorded["value"]
            cause = _why_recorded(value, graph, context)
            yield Event("recorded", entry.text, (value,), context.where(graph), cause)


def _why_recorded(value: str, dumped: StepGraph | None, context: Context) -> str:
    """What makes and what takes the value, in the method whose graph is dumped behind it."""
    if dumped is None:
        return ""
    graph = dumped.graph
    made = graph.producers.get(value)
    said = [f"made by {made.kind}"] if made is not None else []
    elsewhere = "its observer is put where the method is called"
    if value in graph.inputs and not context.is_main(dumped):
        said.append(f"an argument: {elsewhere}")
    takers = dict.fromkeys(node.kind for node in graph.consumers.get(value, ()))
    if takers:
        said.append(f"taken by {', '.join(takers)}")
    if value in graph.outputs and not context.is_main(dumped):
        said.append(f"returned: {elsewhere}")
    return "; ".join(said)


def _insertions(entries: Sequence[LogEntry]) -> Iterator[Event]:
    for entry in entries:
        inserted = _INSERTED.match(entry.text)
        passed_on = _PASSED_ON.match(entry.text)
        if inserted:
            yield Event("inserted", entry.text, (inserted["value"],))
        elif passed_on:
            values = tuple(_OUTPUT.findall(passed_on["node"].partition(" = ")[0]))
            kind = _KIND.search(passed_on["node"])
            op = kind["kind"] if kind else "the op"
            cause = f"{op} leaves the values as they are: what observes its input serves its result"
            yield Event("shared", entry.text, values, cause=cause)


def _last_main(entries: Sequence[LogEntry], context: Context) -> StepGraph | None:
    """The model's own method as it was last dumped before anything was inserted."""
    found = None
    for entry in entries:
        if _INSERTED.match(entry.text):
            break
        if entry.graph is not None and context.is_main(entry.graph):
            found = entry.graph
    return found
