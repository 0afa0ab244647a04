"""Who has been paired with whom beside the ops, and what stands in blocks that are partners."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from jitq_explore.snapshots.alignment import NodePair
from jitq_explore.snapshots.graph import Node
from jitq_explore.snapshots.lens import Side

Star: TypeAlias = tuple[list[Node], list[Node]]
Group: TypeAlias = tuple[list[Node], list[Node], str, float]
"""Nodes before, nodes after, the reason, the confidence."""


class Ledger:
    """The groups so far, each node in one at most.

    `new_of` and `old_of` map the id of a node that has a partner (of an op as well) to that of its
    first one.
    """

    def __init__(self, old: Side, new: Side, ops: Sequence[Star]) -> None:
        self.old, self.new = old, new
        self.groups: list[Group] = []
        self.new_of: dict[str, str] = {}
        self.old_of: dict[str, str] = {}
        self.block: dict[str, str] = {"": ""}  # new block -> old block
        self.blocks_before: set[str] = {""}
        for befores, afters in ops:
            self.new_of.update((node.id, afters[0].id) for node in befores)
            self.old_of.update((node.id, befores[0].id) for node in afters)
            self._pair_blocks(befores[0], afters[0])

    def add(self, olds: list[Node], news: list[Node], reason: str, confidence: float) -> None:
        """Note a group."""
        self.groups.append((olds, news, reason, confidence))
        self.new_of.update((node.id, news[0].id) for node in olds)
        self.old_of.update((node.id, olds[0].id) for node in news)
        if len(olds) == len(news) == 1:
            self._pair_blocks(olds[0], news[0])

    def _pair_blocks(self, before: Node, after: Node) -> None:
        if before.blocks and after.blocks:
            self.block.update(zip(after.blocks, before.blocks, strict=False))
            self.blocks_before.update(before.blocks)

    def home_before(self, block: str) -> str:
        """The nearest block around that has a partner."""
        while block not in self.blocks_before:
            block = self.old.graph.by_id[self.old.graph.blocks[block].owner].block
        return block

    def home_after(self, block: str) -> str:
        """The partner of the nearest block around that has one."""
        while block not in self.block:
            block = self.new.graph.by_id[self.new.graph.blocks[block].owner].block
        return self.block[block]

    def are_housed_alike(self, before: Node, after: Node) -> bool:
        """Whether both stand in blocks that are partners, or in none that has one."""
        if not before.block and not after.block:
            return True
        return self.home_before(before.block) == self.home_after(after.block)

    def take_fitting(self, befores: list[Node], after: Node) -> Node | None:
        """Take the first out of the list that is housed like the node."""
        for k, before in enumerate(befores):
            if self.are_housed_alike(before, after):
                return befores.pop(k)
        return None

    def pair_stars(
        self,
        votes: Iterable[NodePair],
        reason: str,
        confidence: float,
        many: bool = True,
        in_between: Callable[[], None] = lambda: None,
    ) -> None:
        """Pair by votes, the first ones first; then let copies and pooled ones join.

        `in_between` may pair what would have to join for want of a partner.
        """
        fair = [vote for vote in votes if self.are_housed_alike(*vote)]
        by_old: dict[str, Star] = {}
        by_new: dict[str, Star] = {}
        for before, after in fair:
            if before.id not in self.new_of and after.id not in self.old_of:
                by_old[before.id] = by_new[after.id] = [before], [after]
                self.new_of[before.id], self.old_of[after.id] = after.id, before.id
        in_between()
        for before, after in fair if many else ():
            copied, pooled = by_old.get(before.id), by_new.get(after.id)
            if copied and after.id not in self.old_of and len(copied[0]) == 1:
                copied[1].append(after)
                self.old_of[after.id] = before.id
            elif pooled and before.id not in self.new_of and len(pooled[1]) == 1:
                pooled[0].append(before)
                self.new_of[before.id] = after.id
        for olds, news in by_old.values():
            how = ", pooled" if len(olds) > 1 else ", copied" if len(news) > 1 else ""
            self.add(olds, news, reason + how, confidence)
