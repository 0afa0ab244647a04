"""When a value that is held for comparisons can be dropped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from jitq_explore.capture.depths import Depths
from jitq_explore.capture.lanes import Lane
from jitq_explore.snapshots.graph import Graph


def releases(
    graph: Graph, depths: Depths, lanes: Sequence[Lane]
) -> Mapping[str, Sequence[tuple[Lane, str]]]:
    """Id of a float node ("": the beginning) -> what no comparison after it needs.

    `depths` are those of the float graph.
    """
    found: dict[str, list[tuple[Lane, str]]] = {}
    for lane in lanes:
        for name, users in _users(graph, depths, lane).items():
            last = _last_of(graph, depths, users)
            found.setdefault(last, []).append((lane, name))
    return found


def _users(graph: Graph, depths: Depths, lane: Lane) -> dict[str, set[str]]:
    """Each held value -> the float nodes ("": the inputs) when which it is looked at, and the
    blocks that its counterparts live in, as the ids of the nodes that make these."""
    users: dict[str, set[str]] = {}
    for name, pair in lane.pairs.pairs.items():
        node = graph.producers.get(name)
        moment = node.id if node is not None else ""
        users.setdefault(pair.seen, set()).add(moment)
        recipe = lane.recipes[name]
        for needed in recipe.theirs if recipe else ():
            looked_at = users.setdefault(lane.pairs.name_of(needed) or "", set())
            looked_at.add(moment)
            maker = graph.producers.get(needed)
            if maker is not None:
                looked_at.add(maker.id)
            else:
                around = depths.owners(depths.block_of[needed])
                looked_at.update(owner.id for owner, _ in around[:1])
    return users


def _last_of(graph: Graph, depths: Depths, users: Iterable[str]) -> str:
    """The last of these nodes, or of the Ifs and Loops around them, in the innermost block that
    holds all."""
    nodes = [graph.by_id[user] for user in users if user]
    if not nodes:
        return ""
    chains = []
    for node in nodes:
        owners = [owner for owner, _ in depths.owners(node.block)]
        chains.append([node, *owners][::-1])
    level = 0
    while all(len(chain) > level + 1 for chain in chains) and (
        len({chain[level].id for chain in chains}) == 1
        and len({chain[level + 1].block for chain in chains}) == 1
    ):
        level += 1
    return max((chain[level].id for chain in chains), key=graph.position.__getitem__)
