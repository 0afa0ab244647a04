"""What is decided before a model runs: conditions on constants and on the model's own settings.

Scripted code is full of them: `if inplace:` in a function, `if self.use_res_connect:` in a module.
Later passes drop them, the latter when the model is frozen.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from jitq_explore.snapshots.graph import Attribute, Graph, Node, constant_value

_DECIDING: Mapping[str, Callable[..., Any]] = {
    "aten::eq": operator.eq,
    "aten::ne": operator.ne,
    "aten::lt": operator.lt,
    "aten::le": operator.le,
    "aten::gt": operator.gt,
    "aten::ge": operator.ge,
    "aten::__not__": operator.not_,
    "aten::__is__": operator.is_,
    "aten::__isnot__": operator.is_not,
    "aten::__and__": operator.and_,
    "aten::__or__": operator.or_,
    "aten::__contains__": operator.contains,
    "aten::len": len,
    "aten::Bool": bool,
    "prim::unchecked_cast": lambda value: value,
}
"""Kinds that conditions are made of -> what they compute."""


class _Decisions:
    """All that is decided in one graph, found in one pass over it."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.known: dict[str, tuple[Attribute]] = {
            name: (value,) for name, value in graph.held.items()
        }
        self.taken: dict[str, str] = {}  # id of an If -> the block that it always takes
        for node in graph.nodes:
            if node.kind == "prim::If":
                condition = self.value(node.inputs[0])
                if condition is not None:
                    self.taken[node.id] = node.blocks[0 if condition[0] else 1]
            elif node.kind in _DECIDING:
                self._decide(node)

    @classmethod
    def of(cls, graph: Graph) -> _Decisions:
        known: _Decisions | None = graph.__dict__.get("_decisions")
        if known is None:
            known = graph.__dict__["_decisions"] = cls(graph)
        return known

    def _decide(self, node: Node) -> None:
        known = [self.value(name) for name in node.inputs]
        given = [found[0] for found in known if found is not None]
        if len(given) == len(known):
            # A TypeError: `len` of a tensor, say, of which only a summary is kept.
            with suppress(TypeError):
                self.known[node.outputs[0]] = (_DECIDING[node.kind](*given),)

    def value(self, name: str) -> tuple[Attribute] | None:
        while (behind := self.behind(name)) is not None:
            name = behind
        return self.known.get(name) or constant_value(self.graph, name)

    def behind(self, name: str) -> str | None:
        node = self.graph.producers.get(name)
        taken = self.taken.get(node.id) if node is not None else None
        if node is None or taken is None:
            return None
        return self.graph.blocks[taken].outputs[node.outputs.index(name)]


def decided_value(graph: Graph, value: str) -> tuple[Attribute] | None:
    """What a value always is, as a tuple of one (None is a value too), or None where it varies.

    Beside constants that is what the model holds (`Graph.held`), and what is decided by such.
    """
    return _Decisions.of(graph).value(value)


def is_decision(graph: Graph, node: Node) -> bool:
    """Whether the node computes what is known before the model runs."""
    return node.kind in _DECIDING and node.outputs[0] in _Decisions.of(graph).known


def settled_branch(graph: Graph, value: str) -> str | None:
    """What an If that always goes one way yields as that value; None elsewhere."""
    return _Decisions.of(graph).behind(value)


def taken_block(graph: Graph, node: Node) -> str | None:
    """The block that an If always takes; None for one that may take either, and for other nodes."""
    return _Decisions.of(graph).taken.get(node.id)
