"""Names for fusion rules, made of the ops that they take and those that they make."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from jitq_explore.snapshots.graph import Graph
from jitq_explore.snapshots.ir_text import parse_ir_text

_AROUND = frozenset(
    {"prim::Constant", "prim::dtype", "aten::q_scale", "aten::q_zero_point", "aten::dequantize",
     "aten::quantize_per_tensor", "aten::scalar_tensor", "aten::item",
     "aten::_choose_qparams_per_tensor"}
)  # fmt: skip
"""Kinds around an op that quantize and dequantize: they are in every rule's pattern."""


def rule_names(patterns: Sequence[str], replacements: Sequence[str]) -> tuple[str, ...]:
    """One name for each pair of graphs ("conv2d + relu → quantized::conv2d_relu").

    Rules that take and make the same ops are told apart by their inputs, else by numbers.
    """
    names = [_name(*pair) for pair in zip(patterns, replacements, strict=True)]
    often = Counter(names)
    told = [
        f"{name} ({', '.join(parse_ir_text(pattern).inputs[1:])})" if often[name] > 1 else name
        for name, pattern in zip(names, patterns, strict=True)
    ]
    seen: Counter[str] = Counter()
    return tuple(_numbered(name, seen) for name in told)


def _numbered(name: str, seen: Counter[str]) -> str:
    seen[name] += 1
    return name if seen[name] == 1 else f"{name} #{seen[name]}"


def _name(pattern: str, replacement: str) -> str:
    took = list(_ops(parse_ir_text(pattern)))
    made = list(_ops(parse_ir_text(replacement))) if replacement else []
    # Prepacking puts the op itself behind what it inserts.
    new = [kind for kind in made if kind not in took] or made
    right = " + ".join(new) if replacement else "?"
    return f"{' + '.join(kind.removeprefix('aten::') for kind in took)} → {right}"


def _ops(graph: Graph) -> Iterator[str]:
    return (node.kind for node in graph.nodes if not _is_around(node.kind))


def _is_around(kind: str) -> bool:
    return kind in _AROUND or "_unpack" in kind
