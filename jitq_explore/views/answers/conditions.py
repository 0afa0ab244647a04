"""The condition of an If, about as one would write it in Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jitq_explore.snapshots.graph import (
    Graph,
    Node,
    attribute_path,
    constant_value,
    show_attribute,
)

_DEEPEST = 4  # ops within one another: what is deeper is called by its name

_BETWEEN: Mapping[str, str] = {
    "aten::eq": "==",
    "aten::ne": "!=",
    "aten::lt": "<",
    "aten::le": "<=",
    "aten::gt": ">",
    "aten::ge": ">=",
    "aten::__is__": "is",
    "aten::__isnot__": "is not",
    "aten::__and__": "and",
    "aten::__or__": "or",
    "aten::add": "+",
    "aten::sub": "-",
    "aten::mul": "*",
    "aten::remainder": "%",
}
"""Kind of an op of two -> its sign."""

_LEFT_OUT = ("aten::Bool", "prim::unchecked_cast")


@dataclass(frozen=True)
class _Text:
    """An expression, and whether it needs brackets inside another one."""

    text: str
    is_whole: bool = True

    @property
    def bracketed(self) -> str:
        return self.text if self.is_whole else f"({self.text})"


def condition_of(node: Node, graph: Graph) -> str:
    """What an If asks ("dim(%input) != 4", "bn.training"); "" for other nodes."""
    return _written(node.inputs[0], graph, _DEEPEST).text if node.kind == "prim::If" else ""


def _written(value: str, graph: Graph, depth: int) -> _Text:
    constant, node = constant_value(graph, value), graph.producers.get(value)
    if constant is not None:
        return _Text(show_attribute(constant[0]))
    if (path := attribute_path(graph, value)) is not None:
        return _Text(path)
    if node is None or depth == 0 or _is_data(value, node, graph):
        return _named(value, graph)
    if node.kind == "prim::If":
        return _chosen(node, value, graph, depth - 1)
    inputs = [_written(each, graph, depth - 1) for each in node.inputs]
    if node.kind in _LEFT_OUT:
        return inputs[0]
    if node.kind == "aten::__not__":
        return _Text(f"not {inputs[0].bracketed}", False)
    if node.kind in _BETWEEN:
        return _joined(_BETWEEN[node.kind], *inputs[:2])
    if node.kind == "aten::__getitem__":
        return _Text(f"{inputs[0].bracketed}[{inputs[1].text}]")
    name = node.kind.rpartition("::")[2]
    return _Text(f"{name}({', '.join(each.text for each in inputs)})")


def _is_data(value: str, node: Node, graph: Graph) -> bool:
    """Whether somebody who asks what is decided knows it by its name: how it came about is long."""
    return graph.values[value].type == "Tensor" or node.kind == "prim::Loop"


def _named(value: str, graph: Graph) -> _Text:
    return _Text(f"%{graph.values[value].debug_name}")


def _chosen(node: Node, value: str, graph: Graph, depth: int) -> _Text:
    """What an If yields: `and` and `or` are made of it."""
    at = node.outputs.index(value)
    asked = _written(node.inputs[0], graph, depth)
    then, other = (graph.blocks[block].outputs[at] for block in node.blocks)
    if constant_value(graph, other) == (False,):
        return _joined("and", asked, _written(then, graph, depth))
    if constant_value(graph, then) == (True,):
        return _joined("or", asked, _written(other, graph, depth))
    return _named(value, graph)


def _joined(sign: str, one: _Text, other: _Text) -> _Text:
    return _Text(f"{one.bracketed} {sign} {other.bracketed}", False)
