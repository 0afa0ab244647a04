"""A graph as torch prints it, or as much of it as torch can print."""

from __future__ import annotations

import math
from collections.abc import Iterator

from jitq_explore.capture.torch_types import CppGraph, CppNode
from jitq_explore.snapshots.graph import Graph, Node, attribute_names
from jitq_explore.snapshots.recording import Snapshot


def printed(graph: CppGraph) -> str:
    """The graph's text.

    torch 2.13 cannot print a constant that is a per-channel quantized tensor of one element, such
    as the weight of `Conv2d(1, 1, 1)` in `quant_finalize`, nor any graph that holds one. Then it
    is printed node by node, and what cannot be printed says so.
    """
    try:
        return str(graph)
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        inputs = ", ".join(f"%{each.debugName()}" for each in graph.inputs())
        outputs = ", ".join(f"%{each.debugName()}" for each in graph.outputs())
        lines = [f"graph({inputs}):", f"  # torch cannot print all of it: {reason}"]
        lines += [f"  {line}" for node in graph.nodes() for line in _lines(node)]
        return "\n".join([*lines, f"  return ({outputs})", ""])


def has_unprintable_weight(model: Snapshot) -> bool:
    """Whether a weight will become such a constant: then `quant_finalize` cannot log its graphs."""
    graph = model.graph()
    return any(
        node.kind == "aten::quantize_per_channel" and _elements(model, graph, node) == 1
        for node in graph.nodes
    )


def _elements(model: Snapshot, graph: Graph, node: Node) -> int | None:
    names = attribute_names(graph, node.inputs[0])
    module = model.by_path.get(".".join(names[:-1])) if names else None
    state = module.attributes.get(names[-1]) if module is not None and names else None
    return math.prod(state.tensor.shape) if state is not None and state.tensor else None


def _lines(node: CppNode) -> Iterator[str]:
    try:
        yield from str(node).rstrip().splitlines()
    except RuntimeError:
        outputs = ", ".join(f"%{each.debugName()}" for each in node.outputs())
        inputs = ", ".join(f"%{each.debugName()}" for each in node.inputs())
        yield f"{outputs} = {node.kind()}[<not printable>]({inputs})"
