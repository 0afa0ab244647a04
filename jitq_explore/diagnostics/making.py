"""Which of torch's rewrite rules made a kernel, and which came nearest to an op that stayed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from jitq_explore.snapshots.graph import Graph, Node
from jitq_explore.snapshots.ir_text import parse_ir_text
from jitq_explore.snapshots.recording import Recording
from jitq_explore.snapshots.rules import FusionRule

_AROUND = (
    "prim::", "aten::quantize_per_", "aten::dequantize", "aten::_choose_qparams", "aten::q_scale",
    "aten::q_zero_point", "aten::_saturate", "quantized::", "jitq::",
)  # fmt: skip
"""Beginnings of kinds that surround the ops of a pattern."""


def rule_of(recording: Recording, kernel: Node, kinds: Sequence[str]) -> FusionRule | None:
    """The rule that put a kernel in place of ops of those kinds; None where rules were not kept.

    The one that makes such a kernel from the very same ops.
    """
    wanted = Counter(kind.rstrip("_") for kind in kinds if not kind.startswith(_AROUND))
    makers = [
        rule
        for rule in recording.rules
        if rule.replacement and kernel.kind in _kinds(rule.replacement)
    ]
    exact = [rule for rule in makers if _ops(rule.pattern) == wanted]
    return next(iter(exact), None)


def nearest_rule(recording: Recording, graph: Graph, node: Node) -> tuple[FusionRule, str] | None:
    """The rule for ops of that kind that fits best, and what it asks for in vain.

    None where rules were not kept, or none has the kind.
    """
    found: list[tuple[int, FusionRule, str]] = []
    for rule in recording.rules:
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


@lru_cache(maxsize=512)
def _kinds(text: str) -> frozenset[str]:
    return frozenset(node.kind for node in _parsed(text).nodes)


@lru_cache(maxsize=512)
def _ops(text: str) -> Counter[str]:
    """The float ops of a pattern, in place or not."""
    nodes = _parsed(text).nodes
    return Counter(node.kind.rstrip("_") for node in nodes if not node.kind.startswith(_AROUND))
