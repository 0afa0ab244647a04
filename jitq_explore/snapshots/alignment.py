"""Rows of nodes side by side: which node of the one is which of the other."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import TypeAlias

from jitq_explore.snapshots.graph import Node
from jitq_explore.snapshots.lens import ASIDE, THREADED, Side, is_packing, parts_of

NodePair: TypeAlias = tuple[Node, Node]

_ALIGNED = 64
"""The longest rows of nodes that are aligned in the best way, at quadratic cost."""

_ROUGHLY_ALIGNED = 1000
"""The longest that are aligned by kinds, by `difflib`."""


def aligned(
    before: Sequence[Node], after: Sequence[Node], old: Side, new: Side
) -> Iterator[NodePair]:
    """The nodes of two rows that are each other's in the best alignment of their kinds."""
    if [node.kind for node in before] == [node.kind for node in after]:
        yield from zip(before, after, strict=True)
        return
    if not before or not after or max(len(before), len(after)) > _ALIGNED:
        return
    # The usual table: best[i][j] for the rows from i and j on.
    best = [[0] * (len(after) + 1) for _ in range(len(before) + 1)]
    fit = [[_fit(one, other, old, new) for other in after] for one in before]
    for i in range(len(before) - 1, -1, -1):
        for j in range(len(after) - 1, -1, -1):
            both = fit[i][j] + best[i + 1][j + 1] if fit[i][j] else 0
            best[i][j] = max(both, best[i + 1][j], best[i][j + 1])
    i = j = 0
    while i < len(before) and j < len(after):
        if fit[i][j] and best[i][j] == fit[i][j] + best[i + 1][j + 1]:
            yield before[i], after[j]
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1


def in_order(
    before: Sequence[Node], after: Sequence[Node], old: Side, new: Side
) -> Iterator[NodePair]:
    """The ops of two branches by their kinds, then what stands between these."""
    ops = [[k for k, node in enumerate(row) if _is_op(node)] for row in (before, after)]
    labels = [
        [parts_of(row[k].kind) for k in places]
        for row, places in zip((before, after), ops, strict=True)
    ]
    i = j = 0
    for a, b in (*_common(*labels), (len(ops[0]), len(ops[1]))):
        ends = [
            places[k] if k < len(places) else len(row)
            for places, k, row in ((ops[0], a, before), (ops[1], b, after))
        ]
        yield from aligned(before[i : ends[0]], after[j : ends[1]], old, new)
        if ends[0] < len(before) and ends[1] < len(after):
            yield before[ends[0]], after[ends[1]]
        i, j = ends[0] + 1, ends[1] + 1


def _is_op(node: Node) -> bool:
    """Whether a node of a branch that is never taken is an op, by its kind alone."""
    is_aside = node.kind in THREADED or node.kind in ASIDE or is_packing(node.kind)
    return not is_aside and node.kind not in ("prim::Constant", "prim::GetAttr")


def _common(before: Sequence[Hashable], after: Sequence[Hashable]) -> Iterator[tuple[int, int]]:
    """Places of what two rows have in common, in order; of very long ones only at both ends."""
    shorter = min(len(before), len(after))
    head = next((k for k in range(shorter) if before[k] != after[k]), shorter)
    most = shorter - head
    tail = next((k for k in range(most) if before[-1 - k] != after[-1 - k]), most)
    yield from ((k, k) for k in range(head))
    inner = before[head : len(before) - tail], after[head : len(after) - tail]
    if max(map(len, inner)) <= _ROUGHLY_ALIGNED:
        for i, j, size in SequenceMatcher(None, *inner, autojunk=False).get_matching_blocks():
            yield from ((head + i + k, head + j + k) for k in range(size))
    for k in range(tail, 0, -1):
        yield len(before) - k, len(after) - k


def _fit(before: Node, after: Node, old: Side, new: Side) -> int:
    """How well two threaded nodes fit: not at all, by kind, or in all they are."""
    if before.kind != after.kind:
        return 0
    same = before.attributes == after.attributes and _fixed_of(old, before) == _fixed_of(new, after)
    return 3 if same else 2


def _fixed_of(side: Side, node: Node) -> list[Hashable]:
    return [side.literal(value) for value in node.inputs if value in side.fixed]
