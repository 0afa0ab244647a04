"""Pairs constants and attributes, given the pairs of what takes them: `pair_fixed`."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence

from jitq_explore.snapshots.alignment import NodePair
from jitq_explore.snapshots.graph import Node
from jitq_explore.snapshots.ledger import Ledger, Star
from jitq_explore.snapshots.lens import LISTS, Side, is_kernel, parts_of


def pair_fixed(ledger: Ledger, ops: Sequence[NodePair], fused: Sequence[Star]) -> None:
    """Pair by what takes them and by what they are.

    `ops` are the paired ops, `fused` those of several before.
    """
    _Fixed(ledger, ops, fused).run()


class _Fixed:
    def __init__(self, ledger: Ledger, ops: Sequence[NodePair], fused: Sequence[Star]) -> None:
        self.ledger, self.ops, self.fused = ledger, ops, fused
        self.old, self.new = ledger.old, ledger.new

    def run(self) -> None:
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
            self.ledger.pair_stars(unequal, "serves the same ops", 0.6, many=False)
            self._pair_alike()

        reason = "the same constant or attribute, for the same ops"
        self.ledger.pair_stars(equal, reason, 0.95, in_between=pair_others)

    def _served(self) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
        """Inputs of paired nodes that mean the same, place by place."""
        for before, after in self.ops:
            if before.kind == after.kind or parts_of(before.kind) == parts_of(after.kind):
                if len(before.inputs) == len(after.inputs):
                    yield self._but_settings(before, after)
                elif not is_kernel(after.kind):
                    yield from self._served_in_any_order([before], after)
            for mine, theirs in zip(before.blocks, after.blocks, strict=False):
                outputs = self.old.graph.blocks[mine].outputs, self.new.graph.blocks[theirs].outputs
                if len(outputs[0]) == len(outputs[1]):
                    yield outputs
        for olds, news, _, _ in tuple(self.ledger.groups):
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

    def _but_settings(self, before: Node, after: Node) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What both take, place by place; a number that only a kernel knows has no partner.

        Where `aten::linear` takes its bias, `quantized::linear_dynamic` takes `reduce_range`.
        """
        old, new = self.old, self.new
        is_made = is_kernel(after.kind)
        if is_kernel(before.kind) == is_made:
            return before.inputs, after.inputs
        kernels = new.fixed if is_made else old.fixed
        places = [
            (mine, theirs)
            for mine, theirs in zip(before.inputs, after.inputs, strict=True)
            if (taken := kernels.get(theirs if is_made else mine)) is None
            or taken.kind != "prim::Constant"
            or old.literal(mine) == new.literal(theirs)
        ]
        return tuple(mine for mine, _ in places), tuple(theirs for _, theirs in places)

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
        ledger, old, new = self.ledger, self.old.fixed.values(), self.new.fixed.values()
        free = [node for node in old if node.id not in ledger.new_of and _is_named(node)]
        left = [node for node in new if node.id not in ledger.old_of and _is_named(node)]
        if not free or not left:
            return
        serving = [n for n in free if self._serves(self.old, n, self.ledger.new_of)]
        needed = [n for n in left if self._serves(self.new, n, self.ledger.old_of)]
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
        afters = [node for node in afters if node.id not in self.ledger.old_of]
        alike: dict[Hashable, deque[Node]] = {}
        for node in befores if afters else ():
            if node.id not in self.ledger.new_of:
                home = self.ledger.home_before(node.block)
                key = self.old.literal(node.outputs[0]), path(node), home
                alike.setdefault(key, deque()).append(node)
        for node in afters if alike else ():
            home = self.ledger.home_after(node.block)
            others = alike.get((self.new.literal(node.outputs[0]), path(node), home))
            if others:
                self.ledger.add([others.popleft()], [node], "the same constant or attribute", 0.7)

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


def _is_named(node: Node) -> bool:
    """Packed weights are numbered: the first of one run is no more than the first of another."""
    return not _NUMBERED.search(str(node.attributes.get("name", "")))


def _path_of(node: Node) -> str:
    return node.module_path


def _no_path(node: Node) -> str:
    return ""


_NUMBERED = re.compile(r"_jit_pass_packed_weight_\d+$")

_FROZEN = ("prim::GetAttr", "prim::Constant")
"""Freezing a module makes constants of its attributes."""
