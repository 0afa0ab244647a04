"""The nodes of two graphs in one list, each with its status."""

from __future__ import annotations

from dataclasses import dataclass

from jitq_explore.snapshots.diff import GraphDiff, Match
from jitq_explore.snapshots.graph import Graph, Node
from jitq_explore.views.boxes import Status, svg_id


@dataclass(frozen=True, slots=True)
class Item:
    """A node of the union: one of the graph after, or one of the graph before that is gone."""

    id: str
    status: Status
    node: Node
    match: Match | None = None


def union_of(diff: GraphDiff) -> tuple[Item, ...]:
    """Every node of both graphs once, in the order of the graph after.

    What is gone stands behind the node that it stood behind before.
    """
    match_of = {node.id: match for match in diff.matched for node in match.after}
    gone = _gone_after(diff)
    items = [_removed(node) for node in gone.get("", ())]
    for node in diff.after.nodes:
        match = match_of.get(node.id)
        items.append(Item(svg_id("after", node.id), _status(match), node, match))
        items.extend(_removed(node) for node in gone.get(node.id, ()))
    return tuple(items)


def union_of_one(graph: Graph) -> tuple[Item, ...]:
    """The nodes of a graph that is compared with nothing."""
    return tuple(Item(svg_id("after", node.id), Status.SAME, node) for node in graph.nodes)


def _status(match: Match | None) -> Status:
    if match is None:
        return Status.ADDED
    return Status.CHANGED if match.changes else Status.SAME


def _removed(node: Node) -> Item:
    return Item(svg_id("before", node.id), Status.REMOVED, node)


def _gone_after(diff: GraphDiff) -> dict[str, list[Node]]:
    """Id of a node after -> the nodes that stood behind it and are gone ("": at the very start)."""
    partner = {
        node.id: match.after[-1].id
        for match in diff.matched
        if match.after
        for node in match.before
    }
    gone: dict[str, list[Node]] = {}
    anchor = ""
    for node in diff.before.nodes:
        if node.id in partner:
            anchor = partner[node.id]
        else:
            gone.setdefault(anchor, []).append(node)
    return gone
