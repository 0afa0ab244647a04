"""Which nodes are drawn, and where the data goes between them, in one graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from jitq_explore.snapshots.graph import Graph, Node

_FOLLOWERS = ("prim::GetAttr", "prim::ListConstruct", "prim::TupleConstruct")
_LOOP = "prim::Loop"


@dataclass(frozen=True, slots=True)
class Wire:
    """The value that the node (or graph input) `tail` hands to the node (or graph output) `head`."""

    tail: Node | int
    head: Node | int
    value: str
    is_back: bool = False


@dataclass(frozen=True)
class Wiring:
    """One graph without the nodes that are shown in the labels of their users.

    These are the constants, lists made of constants, and the attribute reads that lead from the
    model to a submodule or a parameter: drawn as nodes, the shared ones among them would tie the
    whole picture together.
    """

    graph: Graph

    @cached_property
    def folded(self) -> frozenset[str]:
        """The ids of the nodes that are not drawn."""
        found: set[str] = set()
        quiet = {name for name in self.graph.inputs if self.is_module(name)}
        for node in self.graph.nodes:
            is_quiet = node.kind in _FOLLOWERS and quiet.issuperset(node.inputs)
            if node.is_constant or is_quiet:
                found.add(node.id)
                quiet.update(node.outputs)
        return frozenset(found)

    @cached_property
    def inputs(self) -> tuple[int, ...]:
        """Positions of the graph inputs that are drawn: all but a model that only hands out attributes."""
        used = {wire.tail for wire in self.wires if isinstance(wire.tail, int)}
        return tuple(
            position
            for position, name in enumerate(self.graph.inputs)
            if position in used or not self.is_module(name)
        )

    @cached_property
    def wires(self) -> tuple[Wire, ...]:
        """All the data that goes from drawn to drawn."""
        return tuple(self._wires())

    def is_module(self, name: str) -> bool:
        return self.graph.values[name].type.startswith("__torch__.")

    def _wires(self) -> Iterator[Wire]:
        for node in self.graph.nodes:
            if node.id in self.folded:
                continue
            for value in dict.fromkeys((*node.inputs, *self.results(node))):
                yield from self._into(node, value)
        for position, value in enumerate(self.graph.outputs):
            yield from self._into(position, value)

    def results(self, node: Node) -> tuple[str, ...]:
        """What the blocks of an If or a Loop hand to it."""
        return tuple(name for block in node.blocks for name in self.graph.blocks[block].outputs)

    def _into(self, head: Node | int, value: str) -> Iterator[Wire]:
        loop = self._carried.get(value)
        if loop is not None and head != loop:
            yield Wire(loop, head, value, is_back=True)
        source = self._source(value)
        if source is not None and source != head:
            yield Wire(source, head, value)

    def _source(self, value: str) -> Node | int | None:
        """The drawn node, or the position of the graph input, that the value comes from."""
        while value in self._first_round:
            value = self._first_round[value]
        node = self.graph.producers.get(value)
        if node is not None:
            return None if node.id in self.folded else node
        return self._position.get(value)

    @cached_property
    def _position(self) -> dict[str, int]:
        return {name: position for position, name in enumerate(self.graph.inputs)}

    @cached_property
    def _loops(self) -> tuple[tuple[Node, tuple[str, ...]], ...]:
        """Each loop with the inputs of its body: the round's number, then what is carried."""
        return tuple(
            (node, self.graph.blocks[block].inputs)
            for node in self.graph.find(_LOOP)
            for block in node.blocks
        )

    @cached_property
    def _carried(self) -> dict[str, Node]:
        """What a loop's body takes from the round before -> the loop."""
        return {name: loop for loop, inputs in self._loops for name in inputs[1:]}

    @cached_property
    def _first_round(self) -> dict[str, str]:
        """What a loop's body takes -> what it is in the first round."""
        return {
            inner: outer
            for loop, inputs in self._loops
            for inner, outer in zip(inputs[1:], loop.inputs[2:], strict=False)
        }
