"""The life of one node or value through all stages of a recording."""

from __future__ import annotations

from collections.abc import Sequence

from jitq_explore.snapshots.biography import Biography
from jitq_explore.snapshots.graph import Graph, Node
from jitq_explore.snapshots.lives import Event, Life
from jitq_explore.snapshots.recording import Recording
from jitq_explore.snapshots.tracking import Spot, Tracker
from jitq_explore.snapshots.value_events import Place, life_of_input

__all__ = [
    "Event",
    "Life",
    "float_ops_of",
    "lineage",
    "module_of",
    "source_of",
    "sources_of",
    "spot_of",
]


def lineage(
    recording: Recording, node: Node | str, stage: str | None = None, method: str | None = None
) -> Life:
    """The whole life of a node or value, back to the model as given and on to the newest stage.

    `node` is a node of one of the flattened graphs, or the id of one ("n12") or the name of a
    value, with or without "%". `stage` names the snapshot that it is from ("input": the model as
    given); without it, the newest snapshot that has it. `method` is looked in first (default: the
    main one of that stage, then all others).

    KeyError names the stages, methods, nodes and values that there are. Computed on demand.
    """
    tracker = Tracker.of(recording)
    found = _find(tracker, node, stage, method)
    if isinstance(found, Spot):
        return Biography(recording, tracker, found).write()
    graph = tracker.graph(found.index, found.method)
    if found.name in graph.inputs:
        return life_of_input(recording, tracker, found)
    return Biography(recording, tracker, _maker(graph, found), found.name).write()


def source_of(recording: Recording, stage: str, node: Node | str) -> str:
    """The user's own line ("file:line:column") that a node of that stage stands for.

    Carried on from the earliest stage in which torch knew it; for a fused kernel the line of the
    first of its float ops (`sources_of` has all). A node that a pass made has the line of the op
    that it serves. "" where no stage knew any.
    """
    return next(iter(sources_of(recording, stage, node)), "")


def sources_of(recording: Recording, stage: str, node: Node | str) -> tuple[str, ...]:
    """As `source_of`, but each line of all that the node stands for."""
    tracker = Tracker.of(recording)
    return tracker.sources(_node_spot(tracker, node, stage))


def module_of(recording: Recording, stage: str, node: Node | str) -> str:
    """The path of the module whose code made the node, or what it stands for; "" at the top."""
    tracker = Tracker.of(recording)
    return tracker.module(_node_spot(tracker, node, stage))


def float_ops_of(recording: Recording, stage: str, node: Node | str) -> tuple[Node, ...]:
    """The nodes that it stands for, as they were when each of them was made.

    For most these are nodes of the model as given: for `quantized::conv2d_relu` the convolution,
    the batch norm (where the matches say so) and the relu.
    """
    tracker = Tracker.of(recording)
    return tuple(tracker.node(spot) for spot in tracker.origins(_node_spot(tracker, node, stage)))


def spot_of(recording: Recording, node: Node | str, stage: str | None = None) -> Spot:
    """Where a node is, or the one that makes a value; found as `lineage` finds it."""
    return _node_spot(Tracker.of(recording), node, stage)


def _node_spot(tracker: Tracker, node: Node | str, stage: str | None) -> Spot:
    found = _find(tracker, node, stage, None)
    if isinstance(found, Spot):
        return found
    graph = tracker.graph(found.index, found.method)
    if found.name in graph.inputs:
        raise KeyError(f"{node!r} is an input of the model: no node makes it")
    return _maker(graph, found)


def _maker(graph: Graph, place: Place) -> Spot:
    """The node that makes a value; for an input of a block the If or Loop."""
    maker = graph.producers.get(place.name)
    if maker is not None:
        return Spot(place.index, place.method, maker.id)
    owner = next(block.owner for block in graph.blocks.values() if place.name in block.inputs)
    return Spot(place.index, place.method, owner)


def _find(
    tracker: Tracker, node: Node | str, stage: str | None, method: str | None
) -> Spot | Place:
    """The spot of a node, or the place of a value."""
    if stage is not None and stage not in tracker.names:
        raise KeyError(f"unknown stage {stage!r} (must be one of {list(tracker.names)})")
    indices = [tracker.names.index(stage)] if stage else range(tracker.last, -1, -1)
    places = [(i, m) for i in indices for m in _methods(tracker, i, method)]
    found: Spot | Place | None
    if isinstance(node, Node):
        found = _find_object(tracker, places, node)
    else:
        found = _find_name(tracker, places, node.removeprefix("%"))
    if found is None:
        raise KeyError(_unknown(tracker, node, stage, places))
    return found


def _methods(tracker: Tracker, index: int, method: str | None) -> tuple[str, ...]:
    snapshot = tracker.snapshots[index]
    if method is not None:
        return (method,) if method in snapshot.method_names else ()
    return tuple(dict.fromkeys((snapshot.main_method, *snapshot.method_names)))


def _find_object(tracker: Tracker, places: Sequence[tuple[int, str]], node: Node) -> Spot | None:
    """That very node, else (after loading, say) one equal to it."""
    for is_it in (lambda other: other is node, lambda other: other == node):
        for index, method in places:
            if is_it(tracker.graph(index, method).by_id.get(node.id)):
                return Spot(index, method, node.id)
    return None


def _find_name(
    tracker: Tracker, places: Sequence[tuple[int, str]], name: str
) -> Spot | Place | None:
    for index, method in places:
        graph = tracker.graph(index, method)
        if name in graph.by_id:
            return Spot(index, method, name)
        if name in graph.values:
            return Place(index, method, name)
    return None


def _unknown(
    tracker: Tracker,
    node: Node | str,
    stage: str | None,
    places: Sequence[tuple[int, str]],
) -> str:
    asked = f"{node.id} ({node.kind})" if isinstance(node, Node) else repr(node)
    if not places:
        methods = tracker.snapshots[-1].method_names
        return f"unknown method (must be one of {list(methods)})"
    graph = tracker.graph(*places[0])
    ids = ", ".join(other.id for other in graph.nodes[:3])
    values = ", ".join(f"%{name}" for name in list(graph.values)[:4])
    where = f"after {stage!r}" if stage else "at any stage"
    return (
        f"unknown node or value {asked} {where}: {places[0][1]!r} has {len(graph)} nodes "
        f"({ids}, …) and {len(graph.values)} values ({values}, …)"
    )
