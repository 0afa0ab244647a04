"""Batch norms behind layers: folded into the layer's weight, kept, or replaced by something else.

The lens looks through a batch norm that could be folded, so it is no op to be paired; what became
of it is read off here, once the layers have their partners.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from jitq_explore.snapshots.graph import Node
from jitq_explore.snapshots.lens import Side

_FURTHEST = 4
"""How many ops without a partner a norm is looked for behind."""


def lone_norms(side: Side, paired: Mapping[str, str]) -> Iterator[tuple[Node, Node]]:
    """The looked-through norms of a graph that have no partner, each with its layer."""
    for norm in side.threaded:
        if norm.outputs[0] in side.folds and norm.id not in paired:
            yield norm, side.ops[side.maker[side.seen_through(norm.outputs[0])]]


def stand_in(norm: Node, layer: Node, side: Side, paired: Mapping[str, str]) -> Node | None:
    """What stands behind the layer's partner in the norm's place, in the other graph.

    `side` is the other graph and `layer` the partner. Another norm is taken before any op; an op
    must be the only one there that has no partner.
    """
    lone: list[Node] = []
    values = list(layer.outputs)
    for _ in range(_FURTHEST):
        numbers = {number for value in values for number, _ in side.uses.get(value, ())}
        users = [side.ops[number] for number in sorted(numbers)]
        lone_users = [user for user in users if user.id not in paired]
        lone += lone_users
        values = [value for user in lone_users for value in user.outputs]
    norms = [node for node in lone if node.kind == norm.kind]
    if norms:
        return norms[0]
    return lone[0] if len(lone) == 1 and not lone[0].blocks else None
