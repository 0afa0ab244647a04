"""A graph as torch prints it, or as much of it as torch can print."""

from __future__ import annotations

from collections.abc import Iterator

from jitq_explore.capture.torch_types import CppGraph, CppNode

UNPRINTABLE = "  # torch cannot print all of it: "
"""How the second line of such a graph begins."""


def printed(graph: CppGraph) -> str:
    """The graph's text.

    torch 2.13 cannot print a constant that is a per-channel quantized tensor of one element, such
    as the weight of `Conv2d(1, 1, 1)` after `insert_quant_dequant`, nor any graph that holds one.
    Then it is printed node by node, and what cannot be printed says so.
    """
    try:
        return str(graph)
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        inputs = ", ".join(f"%{each.debugName()}" for each in graph.inputs())
        outputs = ", ".join(f"%{each.debugName()}" for each in graph.outputs())
        lines = [f"graph({inputs}):", f"{UNPRINTABLE}{reason}"]
        lines += [f"  {line}" for node in graph.nodes() for line in _lines(node)]
        return "\n".join([*lines, f"  return ({outputs})", ""])


def _lines(node: CppNode) -> Iterator[str]:
    try:
        yield from str(node).rstrip().splitlines()
    except RuntimeError:
        outputs = ", ".join(f"%{each.debugName()}" for each in node.outputs())
        inputs = ", ".join(f"%{each.debugName()}" for each in node.inputs())
        yield f"{outputs} = {node.kind()}[<not printable>]({inputs})"
