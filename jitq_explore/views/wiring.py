"""Which nodes are drawn, and where the data goes between them, in one graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from jitq_explore.snapshots.graph import OBSERVE, Graph, Node
from jitq_explore.snapshots.settled import is_decision, settled_branch, taken_block

_FOLLOWERS = ("prim::GetAttr", "prim::ListConstruct", "prim::TupleConstruct")
_LOOP = "prim::Loop"
_EFFECTS = ("prim::SetAttr", "prim::CallMethod", "prim::CallFunction", "prim::Print", OBSERVE)
_RAISE = "prim::RaiseException"


@dataclass(frozen=True, slots=True)
class Wire:
    """A value on its way from `tail`, a node or input of the graph, to `head`, a node or output."""

    tail: Node | int
    head: Node | int
    value: str
    is_back: bool = False


def is_settled(graph: Graph, node: Node) -> bool:
    """Whether the node is an If that always goes the same way."""
    return taken_block(graph, node) is not None


@dataclass(frozen=True)
class Wiring:
    """One graph without the nodes that would say nothing as boxes of their own.

    These are the constants, the lists made of constants and the attribute reads that lead from the
    model to a submodule or a parameter: they are shown in the labels of their users, for drawn as
    nodes the shared ones among them would tie the whole picture together. Also what scripted code
    is full of and what computes nothing: Ifs that always go the same way, with what they never
    reach, and checks that only ever raise an error, with what they look at.
    """

    graph: Graph

    @cached_property
    def folded(self) -> frozenset[str]:
        """The ids of the nodes that are not drawn."""
        found: set[str] = set()
        quiet = {name for name in self.graph.inputs if self.is_module(name)}
        never_entered: set[str] = set()
        for node in self.graph.nodes:
            is_quiet = node.kind in _FOLLOWERS and quiet.issuperset(node.inputs)
            if node.block in never_entered:
                never_entered.update(node.blocks)
                found.add(node.id)
            elif is_settled(self.graph, node):
                never_entered.update(set(node.blocks) - {taken_block(self.graph, node)})
                found.add(node.id)
            elif node.is_constant or is_quiet or is_decision(self.graph, node):
                found.add(node.id)
                quiet.update(node.outputs)
        return frozenset(found | self._checks(found))

    def _checks(self, folded: set[str]) -> set[str]:
        """The Ifs that do nothing but raise an error, and the nodes that only serve these."""
        returned = {name for block in self.graph.blocks.values() for name in block.outputs}
        returned.update(self.graph.outputs)
        found: set[str] = set()
        for node in reversed(self.graph.nodes):
            inside = self._inside(node)
            if node.kind == _RAISE:
                found.add(node.id)
            elif node.blocks and not node.outputs:
                if all(inner.id in found or inner.id in folded for inner in inside):
                    found.add(node.id)
            elif (
                self._only_serves(node, found)
                and returned.isdisjoint(node.outputs)
                and not any(_has_effects(each) for each in (node, *inside))
            ):
                found.update(each.id for each in (node, *inside))
        return found

    def _only_serves(self, node: Node, found: set[str]) -> bool:
        users = [user for name in node.outputs for user in self.graph.consumers.get(name, ())]
        return bool(users) and all(user.id in found for user in users)

    def _inside(self, node: Node) -> list[Node]:
        """All nodes in the node's blocks, and in theirs."""
        own = [inner for block in node.blocks for inner in self._nodes_of.get(block, ())]
        return own + [deeper for inner in own for deeper in self._inside(inner)]

    @cached_property
    def _nodes_of(self) -> dict[str, list[Node]]:
        found: dict[str, list[Node]] = {}
        for node in self.graph.nodes:
            found.setdefault(node.block, []).append(node)
        return found

    @cached_property
    def inputs(self) -> tuple[int, ...]:
        """Positions of the inputs that are drawn: not a model that only hands out attributes."""
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
        """Whether the value is an object of a class, as the model itself is."""
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
        source = self.source(value)
        if source is not None and source != head:
            yield Wire(source, head, value)

    def source(self, value: str) -> Node | int | None:
        """The drawn node, or the position of the graph input, that the value comes from."""
        while inner := self._first_round.get(value) or settled_branch(self.graph, value):
            value = inner
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


def _has_effects(node: Node) -> bool:
    """Whether the node does more than make its outputs, as `add_` does."""
    name = node.kind.rpartition("::")[2]
    return (name.endswith("_") and not name.startswith("__")) or node.kind in _EFFECTS
