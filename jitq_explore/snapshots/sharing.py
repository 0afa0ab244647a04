"""Pairs what the ops of two graphs share and are joined by: `Sharing`.

Constants, attributes of the model and the nodes threaded between ops have no place of their own:
passes pool them, copy them and move them about. They are known by whom they serve. Where paired
ops take, at the same input, each one such node, that speaks for the two being one; several that
serve one are copies (1 to n), one that serves several is pooled (n to 1).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TypeAlias

from jitq_explore.snapshots.alignment import NodePair, aligned, in_order
from jitq_explore.snapshots.graph import Node
from jitq_explore.snapshots.lens import (
    DEAD,
    LISTS,
    Side,
    is_kernel,
    parts_of,
)
from jitq_explore.snapshots.settled import taken_block

Star: TypeAlias = tuple[list[Node], list[Node]]
Group: TypeAlias = tuple[list[Node], list[Node], str, float]
"""Nodes before, nodes after, the reason, the confidence."""


class Sharing:
    """What is paired beside the ops, given the pairs of those."""

    def __init__(
        self,
        old: Side,
        new: Side,
        ops: Sequence[tuple[list[Node], list[Node]]],
        values: dict[str, str],
    ) -> None:
        self.old, self.new = old, new
        self.ops = [(befores[0], afters[0]) for befores, afters in ops]
        self.fused = [group for group in ops if len(group[0]) > 1]
        self.values = values  # new value -> old value
        self.groups: list[Group] = []
        self.new_of: dict[str, str] = {}  # id of a node before -> id of its first partner
        self.old_of: dict[str, str] = {}
        self.block: dict[str, str] = {"": ""}  # new block -> old block
        self.blocks_before: set[str] = {""}
        for befores, afters in ops:
            self.new_of.update((node.id, afters[0].id) for node in befores)
            self.old_of.update((node.id, befores[0].id) for node in afters)
            self._pair_blocks(befores[0], afters[0])

    def run(self) -> list[Group]:
        """All groups of nodes beside the ops, each node in one at most."""
        if self.old.handed or self.new.handed:
            self._pair_settled()
            self._pair_threaded()
        self._pair_left(self.old.threaded, self.new.threaded)
        self._pair_left(self.old.aside, self.new.aside)
        self._pair_dead()
        self._pair_fixed()
        return self.groups

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

    def _home_before(self, block: str) -> str:
        """The nearest block around that has a partner."""
        while block not in self.blocks_before:
            block = self.old.graph.by_id[self.old.graph.blocks[block].owner].block
        return block

    def _home_after(self, block: str) -> str:
        while block not in self.block:
            block = self.new.graph.by_id[self.new.graph.blocks[block].owner].block
        return self.block[block]

    def _are_housed_alike(self, before: Node, after: Node) -> bool:
        """Whether both stand in blocks that are partners, or in none that has one."""
        if not before.block and not after.block:
            return True
        return self._home_before(before.block) == self._home_after(after.block)

    def _take_fitting(self, befores: list[Node], after: Node) -> Node | None:
        """Take the first out of the list that is housed like the node."""
        for k, before in enumerate(befores):
            if self._are_housed_alike(before, after):
                return befores.pop(k)
        return None

    def _pair_stars(
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
        fair = [vote for vote in votes if self._are_housed_alike(*vote)]
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

    def _pair_threaded(self) -> None:
        """What is threaded between paired ops, in rows from each input back to its origin."""
        votes: dict[tuple[str, str], NodePair] = {}
        for before, after in self._rows():
            for one, other in aligned(before, after, self.old, self.new):
                votes.setdefault((one.id, other.id), (one, other))
        self._pair_stars(votes.values(), "between the same ops", 0.9)

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
        self._pair_stars(votes.values(), "holds the same ops", 0.9, many=False)

    def _pair_left(self, befores: list[Node], afters: list[Node]) -> None:
        """Nodes that serve no paired op, by the value that they stand on, in order."""
        free = [node for node in befores if node.id not in self.new_of]
        left = [node for node in afters if node.id not in self.old_of]
        if not free or not left:
            return
        on: dict[Hashable, list[Node]] = {}
        for node in free:
            on.setdefault((node.kind, self._stand(self.old, node)), []).append(node)
        for node in left:
            stand = self._stand(self.new, node)
            others = on.get((node.kind, stand), []) if stand is not None else []
            fitting = self._take_fitting(others, node)
            if fitting is not None:
                self.add([fitting], [node], "stands on the same value", 0.8)

    def _stand(self, side: Side, node: Node) -> Hashable:
        value = side.seen_through(node.inputs[0]) if node.inputs else ""
        if value in side.fixed:
            return side.literal(value)
        return value if side is self.old else self.values.get(value)

    def _pair_dead(self) -> None:
        """Settled Ifs that are left, then what stands in branches that are never taken."""
        free = [node for node in self.old.settled if node.id not in self.new_of]
        left = [node for node in self.new.settled if node.id not in self.old_of]
        for look in (_condition_and_kinds, _contents, _condition):
            self._pair_settled_like(free, left, look)
        if self.old.dead and self.new.dead:
            for olds, news, _, _ in tuple(self.groups):
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
            if node.id not in self.new_of:
                key = look(self.old, node, self._stand(self.old, node))
                alike.setdefault(key, []).append(node)
        for node in afters if alike else ():
            key = look(self.new, node, self._stand(self.new, node))
            others = alike.get(key, []) if node.id not in self.old_of else []
            fitting = self._take_fitting(others, node)
            if fitting is not None:
                self.add([fitting], [node], "the same branches", 0.6)

    def _pair_branches(self, before: Node, after: Node) -> None:
        for mine, theirs in zip(before.blocks, after.blocks, strict=False):
            if self.old.place.get(mine) == DEAD and self.new.place.get(theirs) == DEAD:
                rows = _all_in(self.old, mine), _all_in(self.new, theirs)
                for one, other in in_order(*rows, self.old, self.new):
                    if one.id not in self.new_of and other.id not in self.old_of:
                        self.add([one], [other], "in the same branch", 0.8)
                        self._pair_branches(one, other)

    def _pair_fixed(self) -> None:
        """Constants and attributes, by what takes them and by what they are."""
        votes: dict[tuple[str, str], int] = {}  # old and new value -> how often they are one input
        old_handed, new_handed = self.old.handed, self.new.handed
        for befores, afters in self._served():
            for before, after in zip(befores, afters, strict=True):
                if before in old_handed:
                    before = self.old.seen_through(before)
                if after in new_handed:
                    after = self.new.seen_through(after)
                edge = before, after
                votes[edge] = votes.get(edge, 0) + 1
        equal, unequal = self._elected(votes)

        def pair_others() -> None:
            self._pair_stars(unequal, "serves the same ops", 0.6, many=False)
            self._pair_alike()

        reason = "the same constant or attribute, for the same ops"
        self._pair_stars(equal, reason, 0.95, in_between=pair_others)

    def _served(self) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
        """Inputs of paired nodes that mean the same, place by place."""
        for before, after in self.ops:
            if before.kind == after.kind or parts_of(before.kind) == parts_of(after.kind):
                if len(before.inputs) == len(after.inputs):
                    yield before.inputs, after.inputs
                elif not is_kernel(after.kind):
                    yield from self._served_in_any_order([before], after)
            for mine, theirs in zip(before.blocks, after.blocks, strict=False):
                outputs = self.old.graph.blocks[mine].outputs, self.new.graph.blocks[theirs].outputs
                if len(outputs[0]) == len(outputs[1]):
                    yield outputs
        for olds, news, _, _ in tuple(self.groups):
            for before in olds:
                for after in news:
                    if len(before.inputs) == len(after.inputs) and before.kind == after.kind:
                        yield before.inputs, after.inputs
                    for mine, theirs in zip(before.blocks, after.blocks, strict=False):
                        one = self.old.graph.blocks[mine].outputs
                        other = self.new.graph.blocks[theirs].outputs
                        if len(one) == len(other):
                            yield one, other
        for befores, afters in self.fused:
            yield from self._served_in_any_order(befores, afters[0])
        if len(self.old.graph.outputs) == len(self.new.graph.outputs):
            yield self.old.graph.outputs, self.new.graph.outputs

    def _served_in_any_order(
        self, befores: list[Node], after: Node
    ) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
        """What one or several ops took is what the op takes that does their work, where equal."""
        old, new = self.old, self.new
        free: dict[Hashable, list[str]] = {}
        for name in (name for node in befores for name in node.inputs):
            fixed = old.seen_through(name)
            if fixed in old.fixed:
                free.setdefault(old.literal(fixed), []).append(name)
        for name in after.inputs:
            fixed = new.seen_through(name)
            others = free.get(new.literal(fixed)) if fixed in new.fixed else None
            if others:
                yield (others.pop(0),), (name,)

    def _elected(self, votes: dict[tuple[str, str], int]) -> tuple[list[NodePair], list[NodePair]]:
        """The fixed nodes voted for, those of most votes first: equal ones, and others.

        A vote for two nodes is one for what they are made of, too.
        """
        equal: list[NodePair] = []
        unequal: list[NodePair] = []
        old_fixed, new_fixed = self.old.fixed, self.new.fixed
        waiting = sorted(
            (edge for edge in votes if edge[0] in old_fixed and edge[1] in new_fixed),
            key=lambda edge: -votes[edge],
        )
        seen = set(waiting)
        for edge in waiting:  # grows
            before, after = old_fixed[edge[0]], new_fixed[edge[1]]
            if self.old.literal(edge[0]) == self.new.literal(edge[1]):
                equal.append((before, after))
            elif before.kind == after.kind or (before.kind, after.kind) == _FROZEN:
                unequal.append((before, after))
            if before.kind == after.kind and len(before.inputs) == len(after.inputs):
                for inner in zip(before.inputs, after.inputs, strict=True):
                    if inner not in seen and inner[0] in old_fixed and inner[1] in new_fixed:
                        seen.add(inner)
                        waiting.append(inner)
        return equal, unequal

    def _pair_alike(self) -> None:
        """Fixed nodes of equal contents that serve paired nodes at other inputs, or nothing."""
        free = [node for node in self.old.fixed.values() if node.id not in self.new_of]
        left = [node for node in self.new.fixed.values() if node.id not in self.old_of]
        if not free or not left:
            return
        serving = [n for n in free if self._serves(self.old, n, self.new_of)]
        needed = [n for n in left if self._serves(self.new, n, self.old_of)]
        # What nobody takes any more is what was left behind by those that took it.
        for befores, afters in ((serving, needed), (free, self._useless(left))):
            for path in (_path_of, _no_path):
                self._pair_equal(befores, afters, path)

    def _useless(self, nodes: list[Node]) -> list[Node]:
        """Those that nothing takes but such as nothing takes."""
        useless: set[str] = set()
        consumers = self.new.graph.consumers
        for node in reversed(nodes):
            if all(user.id in useless for user in consumers.get(node.outputs[0], ())):
                useless.add(node.id)
        return [node for node in nodes if node.id in useless]

    def _pair_equal(
        self, befores: list[Node], afters: list[Node], path: Callable[[Node], str]
    ) -> None:
        afters = [node for node in afters if node.id not in self.old_of]
        alike: dict[Hashable, deque[Node]] = {}
        for node in befores if afters else ():
            if node.id not in self.new_of:
                home = self._home_before(node.block)
                key = self.old.literal(node.outputs[0]), path(node), home
                alike.setdefault(key, deque()).append(node)
        for node in afters if alike else ():
            home = self._home_after(node.block)
            others = alike.get((self.new.literal(node.outputs[0]), path(node), home))
            if others:
                self.add([others.popleft()], [node], "the same constant or attribute", 0.7)

    def _serves(self, side: Side, node: Node, paired: dict[str, str]) -> bool:
        """Whether a node serves one that has a partner, or none at all.

        An attribute is itself, whomever it serves.
        """
        if node.kind == "prim::GetAttr":
            return True
        users = side.graph.consumers.get(node.outputs[0], ())
        return not users or any(
            user.id in paired
            or (
                (user.kind in LISTS or user.kind == "prim::GetAttr")
                and self._serves(side, user, paired)
            )
            for user in users
        )


def _path_of(node: Node) -> str:
    return node.module_path


def _no_path(node: Node) -> str:
    return ""


_FROZEN = ("prim::GetAttr", "prim::Constant")
"""Freezing a module makes constants of its attributes."""


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
