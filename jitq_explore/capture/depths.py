"""Where the values of a graph live: in which block, and within how many loops."""

from __future__ import annotations

from jitq_explore.capture.interpret import Rounds
from jitq_explore.snapshots.graph import Graph, Node


class Depths:
    """How many loops stand around each value and node of a graph."""

    @classmethod
    def of(cls, graph: Graph) -> Depths:
        """Made once for each graph."""
        found: Depths | None = graph.__dict__.get("_depths")
        if found is None:
            found = graph.__dict__["_depths"] = cls(graph)
        return found

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.of_block = {"": 0}
        for block in graph.blocks.values():
            owner = graph.by_id[block.owner]
            self.of_block[block.id] = self.of_block[owner.block] + (owner.kind == "prim::Loop")
        self.block_of = dict.fromkeys(graph.inputs, "")
        for node in graph.nodes:
            for name in node.outputs:
                self.block_of[name] = node.block
        for block in graph.blocks.values():
            self.block_of.update(dict.fromkeys(block.inputs, block.id))

    def key(self, name: str, rounds: Rounds) -> Rounds:
        """The rounds of those loops that stand around a value."""
        return rounds[: self.of_block[self.block_of[name]]] if rounds else rounds

    def owners(self, block: str) -> list[tuple[Node, str]]:
        """The Ifs and Loops around a block, innermost first, each with its block."""
        found = []
        while block:
            owner = self.graph.by_id[self.graph.blocks[block].owner]
            found.append((owner, block))
            block = owner.block
        return found
