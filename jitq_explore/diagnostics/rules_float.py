"""What computes in float in the end, and what that costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from jitq_explore.diagnostics.causes import Examiner, float_ops
from jitq_explore.diagnostics.findings import INFO, WARNING, Finding, Severity
from jitq_explore.diagnostics.located import at_node, has_run, last_name, plural
from jitq_explore.diagnostics.op_kinds import in_place_of
from jitq_explore.diagnostics.reasons import Reason
from jitq_explore.diagnostics.stage_groups import FUSES
from jitq_explore.snapshots.deciding import QUANTIZABLE, QUANTIZABLE_DYNAMICALLY
from jitq_explore.snapshots.endings import is_kernel
from jitq_explore.snapshots.graph import Graph, Node
from jitq_explore.snapshots.quant_node import role_of
from jitq_explore.snapshots.recording import Recording
from jitq_explore.snapshots.source import is_library

_UNEXPECTED = frozenset({"in_loop", "in_fork", "in_function", "between", "no_match"})
"""Causes for which an op that has a kernel stays float though a QConfig is meant for it."""

_SAID_ELSEWHERE = frozenset({"not_prepared", "failed", "not_yet", "debug", "training"})
"""Causes that hold for the whole run, which have rules of their own."""


def left_in_float(recording: Recording) -> Iterator[Finding]:
    """Ops left in float: one finding for each cause and module, or kind."""
    if not has_run(recording, *FUSES):
        return
    examiner = Examiner.newest(recording)
    groups: dict[tuple[str, str], list[tuple[Node, Reason]]] = {}
    for node in float_ops(recording):
        root = examiner.reasons(node)[-1]
        where = "" if root.cause == "dynamic_only" else root.text
        groups.setdefault((root.cause, where), []).append((node, root))
    for (cause, _), members in groups.items():
        if cause in _SAID_ELSEWHERE:
            continue
        # The one that could have had a kernel says most.
        node, root = next((each for each in members if each[0].kind in QUANTIZABLE), members[0])
        kinds = list(dict.fromkeys(each.kind for each, _ in members))
        finding = Finding(
            rule=f"float_{cause}",
            severity=_severity(recording, cause, kinds),
            title=f"{plural(len(members), 'op')} left in float: {', '.join(kinds[:4])}"
            + (", …" if len(kinds) > 4 else ""),
            why=root.text,
            evidence=examiner.nearest(node) or _untouched(recording, members),
            remedy=root.remedy,
            module=root.module,
        )
        located = at_node(recording, finding, node, last_name(recording), root.module)
        sources = (each.source for each in examiner.origins(node))
        own = (source for source in sources if source and not is_library(source))
        yield replace(located, source=next(own, located.source))


def _untouched(recording: Recording, members: list[tuple[Node, Reason]]) -> str:
    names = [f"%{node.outputs[0]} = {node.kind}" for node, _ in members[:3]]
    more = ", …" if len(members) > len(names) else ""
    return f"still there after {last_name(recording)!r}: {', '.join(names)}{more}"


def _severity(recording: Recording, cause: str, kinds: list[str]) -> Severity:
    known = QUANTIZABLE if recording.mode == "static" else QUANTIZABLE_DYNAMICALLY
    return WARNING if cause in _UNEXPECTED and known.intersection(kinds) else INFO


def float_islands(recording: Recording) -> Iterator[Finding]:
    """Float ops between kernels: values go to real numbers and back for them."""
    if not has_run(recording, "quant_finalize") or recording.mode != "static":
        return
    examiner = Examiner.newest(recording)
    graph = examiner.graph
    for island in _islands(graph, float_ops(recording)):
        before = [n for n in _takes(graph, island) if role_of(n) == "dequantize"]
        after = [n for n in _gives(graph, island) if role_of(n) == "quantize"]
        if not before or not after:
            continue
        node, alone = island[0], len(island) == 1
        joins = alone and any(map(is_kernel, _around(graph, before, after)))
        kinds = list(dict.fromkeys(each.kind for each in island))
        are = "are" if len(kinds) > 1 else "is"
        instead = in_place_of(node.kind)
        finding = Finding(
            rule="joined_by_float" if joins else "float_island",
            severity=INFO,
            title=f"{', '.join(kinds)} {are} float between quantized ops",
            why="values are dequantized before and quantized again behind",
            evidence=f"{plural(len(before), 'dequantize')} before, "
            f"{plural(len(after), 'quantize')} behind",
            remedy=f"Use {instead}."
            if instead and alone
            else "Keep the modules around it in "
            "float too, if they are small: that saves the conversions.",
        )
        yield at_node(recording, finding, node, last_name(recording))


def _islands(graph: Graph, ops: tuple[Node, ...]) -> list[list[Node]]:
    """Ops that hand values to each other, ops that only hand on stepped over."""
    home: dict[str, list[Node]] = {}
    islands: list[list[Node]] = []
    for node in ops:
        joined = {
            id(home[maker.id]): home[maker.id] for maker in _makers(graph, node) if maker.id in home
        }
        merged = [each for island in joined.values() for each in island] + [node]
        islands = [island for island in islands if id(island) not in joined] + [merged]
        home.update((each.id, merged) for each in merged)
    return islands


def _makers(graph: Graph, node: Node) -> Iterator[Node]:
    for name in node.inputs:
        maker = graph.producers.get(name)
        while maker is not None and maker.inputs and _hands_on(maker):
            maker = graph.producers.get(maker.inputs[0])
        if maker is not None:
            yield maker


def _hands_on(node: Node) -> bool:
    return node.kind in ("aten::transpose", "aten::view", "aten::reshape", "aten::permute") or (
        node.kind.startswith("prim::") and node.kind.endswith(("Construct", "Unpack"))
    )


def _takes(graph: Graph, island: list[Node]) -> list[Node]:
    return [maker for node in island for maker in _makers(graph, node)]


def _gives(graph: Graph, island: list[Node]) -> list[Node]:
    found: list[Node] = []
    waiting = list(island)
    while waiting:
        for name in waiting.pop(0).outputs:
            for user in graph.consumers.get(name, ()):
                (waiting if _hands_on(user) else found).append(user)
    return found


def _around(graph: Graph, before: list[Node], after: list[Node]) -> Iterator[Node]:
    for node in before:
        maker = graph.producers.get(node.inputs[0])
        if maker is not None:
            yield maker
    for node in after:
        yield from graph.consumers.get(node.outputs[0], ())


RULES = (left_in_float, float_islands)
