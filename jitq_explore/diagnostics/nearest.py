"""Which of torch's rewrite rules came nearest to an op that stayed float."""

from __future__ import annotations

from functools import lru_cache

from jitq_explore.snapshots.graph import Graph, Node
from jitq_explore.snapshots.ir_text import parse_ir_text
from jitq_explore.snapshots.recording import Recording
from jitq_explore.snapshots.rules import FusionRule


def nearest_rule(recording: Recording, graph: Graph, node: Node) -> tuple[FusionRule, str] | None:
    """The rule for ops of that kind that fits best, and what it asks for in vain.

    Of the rules that are tried in the recording's mode; None where rules were not kept, or none has
    the kind.
    """
    found: list[tuple[int, FusionRule, str]] = []
    mode = "static" if recording.mode == "static" else "dynamic"
    for rule in (rule for rule in recording.rules if rule.mode == mode):
        pattern = _parsed(rule.pattern)
        for place in pattern.nodes:
            if place.kind == node.kind:
                fits, misses = _compare(pattern, place, graph, node)
                if misses:
                    found.append((fits, rule, misses))
    best = max(found, key=lambda each: each[0], default=None)
    return (best[1], best[2]) if best is not None else None


def _compare(pattern: Graph, wanted: Node, graph: Graph, node: Node) -> tuple[int, str]:
    """How many nodes fit from that one on back, and the first thing that does not."""
    fits = 1
    waiting = [(wanted, node)]
    while waiting:
        asked, there = waiting.pop(0)
        for place, (name, value) in enumerate(zip(asked.inputs, there.inputs, strict=False)):
            maker = pattern.producers.get(name)
            if maker is None or maker.is_constant:
                continue
            actual = graph.producers.get(value)
            if actual is None or actual.kind != maker.kind:
                given = actual.kind if actual is not None else "an input of the model"
                short = maker.kind.rpartition("::")[2]
                return fits, (
                    f"it needs {short} on input {place} of {asked.kind}; "
                    f"that input comes from {given}"
                )
            fits += 1
            waiting.append((maker, actual))
    return fits, ""


@lru_cache(maxsize=512)
def _parsed(text: str) -> Graph:
    return parse_ir_text(text)
