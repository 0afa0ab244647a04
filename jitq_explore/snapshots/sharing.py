"""Pairs what the ops of two graphs share and are joined by: `Sharing`.

Constants, attributes of the model and the nodes threaded between ops have no place of their own:
passes pool them, copy them and move them about. They are known by whom they serve. Where paired
ops take, at the same input, each one such node, that speaks for the two being one; several that
serve one are copies (1 to n), one that serves several is pooled (n to 1).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

from jitq_explore.snapshots.alignment import NodePair, aligned, in_order
from jitq_explore.snapshots.graph import Node
from jitq_explore.snapshots.ledger import Ledger, Star
from jitq_explore.snapshots.lens import DEAD, Side
from jitq_explore.snapshots.settled import taken_block
from jitq_explore.snapshots.sharing_fixed import pair_fixed


class Sharing:
    """Pairs what is beside the ops, given the pairs of those: `run`."""

    def __init__(
        self, old: Side, new: Side, ops: Sequence[Star], values: Mapping[str, str]
    ) -> None:
        self.old, self.new = old, new
        self.ops = [(befores[0], afters[0]) for befores, afters in ops]
        self.values = values  # new value -> old value
        self.fused = [group for group in ops if len(group[0]) > 1]
        self.ledger = Ledger(old, new, ops)

    def run(self, everything: bool = True) -> Ledger:
        """Pair what is beside the ops: all of it, or only what hands values on between them."""
        if self.old.handed or self.new.handed:
            self._pair_settled()
            self._pair_threaded()
        self._pair_left(self.old.threaded, self.new.threaded)
        self._pair_left(self.old.aside, self.new.aside)
        if everything:
            self._pair_dead()
            pair_fixed(self.ledger, self.ops, self.fused)
        return self.ledger

    def _pair_threaded(self) -> None:
        """What is threaded between paired ops, in rows from each input back to its origin."""
        votes: dict[tuple[str, str], NodePair] = {}
        for before, after in self._rows():
            for one, other in aligned(before, after, self.old, self.new):
                votes.setdefault((one.id, other.id), (one, other))
        self.ledger.pair_stars(votes.values(), "between the same ops", 0.9)

    def _rows(self) -> Iterator[tuple[list[Node], list[Node]]]:
        for before, after in self.ops:
            yield from self._rows_between(before.inputs, after.inputs)
            for mine, theirs in zip(before.blocks, after.blocks, strict=False):
                outputs = self.old.graph.blocks[mine].outputs, self.new.graph.blocks[theirs].outputs
                yield from self._rows_between(*outputs)
        yield from self._rows_between(self.old.graph.outputs, self.new.graph.outputs)

    def _rows_between(
        self, befores: Sequence[str], afters: Sequence[str]
    ) -> Iterator[tuple[list[Node], list[Node]]]:
        old, new = self.old, self.new
        if not any(name in new.handed for name in afters):
            return
        ends = [old.seen_through(name) for name in befores]
        own = [new.seen_through(name) for name in afters]
        moved = {  # the rest is at its own place
            place
            for place, end in enumerate(own)
            if place >= len(ends) or not self._are_same(ends[place], end)
        }
        for place, name in enumerate(afters):
            if name not in new.handed:
                continue
            found = place
            if place in moved:
                # Inputs may have been swapped; or what made the value has no partner.
                others = (k for k in range(len(ends)) if k in moved or k >= len(own))
                same = (k for k in others if self._are_same(ends[k], own[place]))
                found = next(same, place if len(befores) == len(afters) else -1)
            if found >= 0:
                yield old.row(befores[found]), new.row(name)

    def _are_same(self, before: str, after: str) -> bool:
        if after in self.new.fixed:
            return before in self.old.fixed and (
                self.old.literal(before) == self.new.literal(after)
            )
        return self.values.get(after) == before

    def _pair_settled(self) -> None:
        """Ifs that always go one way, by the paired ops that they hold."""
        if not self.old.settled or not self.new.settled:
            return
        settled_before = {block: node for node in self.old.settled for block in node.blocks}
        settled_after = {block: node for node in self.new.settled for block in node.blocks}
        votes: dict[tuple[str, str], NodePair] = {}
        for before, after in self.ops:
            one, other = settled_before.get(before.block), settled_after.get(after.block)
            while one is not None and other is not None:
                votes.setdefault((one.id, other.id), (one, other))
                one, other = settled_before.get(one.block), settled_after.get(other.block)
        self.ledger.pair_stars(votes.values(), "holds the same ops", 0.9, many=False)

    def _pair_left(self, befores: list[Node], afters: list[Node]) -> None:
        """Nodes that serve no paired op, by the value that they stand on, in order."""
        free = [node for node in befores if node.id not in self.ledger.new_of]
        left = [node for node in afters if node.id not in self.ledger.old_of]
        if not free or not left:
            return
        on: dict[Hashable, list[Node]] = {}
        for node in free:
            on.setdefault((node.kind, self._stand(self.old, node)), []).append(node)
        for node in left:
            stand = self._stand(self.new, node)
            others = on.get((node.kind, stand), []) if stand is not None else []
            fitting = self.ledger.take_fitting(others, node)
            if fitting is not None:
                self.ledger.add([fitting], [node], "stands on the same value", 0.8)

    def _stand(self, side: Side, node: Node) -> Hashable:
        value = side.seen_through(node.inputs[0]) if node.inputs else ""
        if value in side.fixed:
            return side.literal(value)
        return value if side is self.old else self.values.get(value)

    def _pair_dead(self) -> None:
        """Settled Ifs that are left, then what stands in branches that are never taken."""
        free = [node for node in self.old.settled if node.id not in self.ledger.new_of]
        left = [node for node in self.new.settled if node.id not in self.ledger.old_of]
        for look in (_condition_and_kinds, _contents, _condition):
            self._pair_settled_like(free, left, look)
        if self.old.dead and self.new.dead:
            for olds, news, _, _ in tuple(self.ledger.groups):
                if len(olds) == len(news) == 1 and olds[0].blocks:
                    self._pair_branches(olds[0], news[0])

    def _pair_settled_like(
        self,
        befores: list[Node],
        afters: list[Node],
        look: Callable[[Side, Node, Hashable], Hashable],
    ) -> None:
        """Settled Ifs that look alike, in order."""
        alike: dict[Hashable, list[Node]] = {}
        for node in befores:
            if node.id not in self.ledger.new_of:
                key = look(self.old, node, self._stand(self.old, node))
                alike.setdefault(key, []).append(node)
        for node in afters if alike else ():
            key = look(self.new, node, self._stand(self.new, node))
            others = alike.get(key, []) if node.id not in self.ledger.old_of else []
            fitting = self.ledger.take_fitting(others, node)
            if fitting is not None:
                self.ledger.add([fitting], [node], "the same branches", 0.6)

    def _pair_branches(self, before: Node, after: Node) -> None:
        for mine, theirs in zip(before.blocks, after.blocks, strict=False):
            if self.old.place.get(mine) == DEAD and self.new.place.get(theirs) == DEAD:
                rows = _all_in(self.old, mine), _all_in(self.new, theirs)
                for one, other in in_order(*rows, self.old, self.new):
                    if one.id not in self.ledger.new_of and other.id not in self.ledger.old_of:
                        self.ledger.add([one], [other], "in the same branch", 0.8)
                        self._pair_branches(one, other)


def _condition_and_kinds(side: Side, node: Node, condition: Hashable) -> Hashable:
    return condition, _kinds(side, node), node.module_path


def _contents(side: Side, node: Node, condition: Hashable) -> Hashable:
    """What an If holds: a pass that inlines forgets its module, and may fold its condition."""
    kinds = _kinds(side, node)
    return kinds if any(kinds) else (condition, kinds)


def _condition(side: Side, node: Node, condition: Hashable) -> Hashable:
    return condition, node.module_path


def _kinds(side: Side, node: Node) -> tuple[tuple[str, ...], ...]:
    return tuple(
        tuple(inner.kind for inner in side.by_block.get(block, ())) for block in node.blocks
    )


def _all_in(side: Side, block: str) -> list[Node]:
    """The nodes of a block, with those of branches in it that are always taken."""
    found: list[Node] = []
    for node in side.by_block.get(block, ()):
        found.append(node)
        taken = taken_block(side.graph, node)
        if taken is not None:
            found.extend(_all_in(side, taken))
    return found
