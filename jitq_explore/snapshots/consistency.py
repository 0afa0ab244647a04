"""What must hold between the parts of a recording, so that whatever reads it can rely on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from itertools import chain

from jitq_explore.snapshots.graph import Graph
from jitq_explore.snapshots.recording import MODES, Recording, Snapshot, StageRecord


def problems(recording: Recording) -> Iterator[str]:
    """One sentence for everything that is inconsistent; none for a sound recording.

    Shared snapshots and graphs are looked at once.
    """
    if recording.mode not in MODES:
        yield f"unknown mode {recording.mode!r} (must be one of {list(MODES)})"
    for stage in recording.stages:
        yield from (f"stage {stage.name!r}: {problem}" for problem in _timeline_problems(stage))
    checked: set[int] = set()
    for where, snapshot in _snapshots(recording):
        if id(snapshot) in checked:
            continue
        checked.add(id(snapshot))
        yield from (f"{where}: {problem}" for problem in _module_problems(snapshot))
        yield from (f"{where}: {problem}" for problem in _observer_problems(snapshot))
        for (group, method), body in snapshot.bodies.items():
            if id(body) not in checked:
                checked.add(id(body))
                place = f"{where}, {method!r} of {group!r}"
                yield from (f"{place}: {problem}" for problem in graph_problems(body))


def graph_problems(graph: Graph) -> Iterator[str]:
    """One sentence for everything that is inconsistent within a graph.

    Every name is that of a known value, made once; no value takes itself to be made; every node
    stands in a block that a node before it has, and every block belongs to the node that lists it.
    A value may be measured before it is made, even for its own making: torch's dynamic passes leave
    such graphs behind an If.
    """
    yield from _block_problems(graph)
    made: set[str] = set()
    early: dict[str, str] = {}
    yield from _making(graph.inputs, "the graph", graph, made)
    for node in graph.nodes:
        early.update((name, node.id) for name in node.inputs if name not in made)
        yield from _making(node.outputs, f"node {node.id!r}", graph, made)
        for block in filter(None, map(graph.blocks.get, node.blocks)):
            yield from _making(block.inputs, f"block {block.id!r}", graph, made)
    for name, taker in early.items():
        if name not in made:
            yield f"node {taker!r} takes %{name}, which nothing makes"
    if (early or graph.blocks) and _has_cycle(graph):
        yield "values are made from themselves"
    for outputs in (graph.outputs, *(block.outputs for block in graph.blocks.values())):
        for name in outputs:
            if name not in made:
                yield f"%{name} is returned, and nothing makes it"


_MEASURES = "aten::_choose_qparams_per_tensor"


def _has_cycle(graph: Graph) -> bool:
    """Whether a value is needed to make it; what blocks return is what their node makes."""
    needs = TopologicalSorter[str]()
    for node in (node for node in graph.nodes if node.kind != _MEASURES):
        returned = [graph.blocks[block].outputs for block in node.blocks if block in graph.blocks]
        for name in node.outputs:
            needs.add(name, *node.inputs, *chain.from_iterable(returned))
    try:
        needs.prepare()
    except CycleError:
        return True
    return False


def _making(names: Iterable[str], maker: str, graph: Graph, made: set[str]) -> Iterator[str]:
    """Count the values as made."""
    for name in names:
        if name not in graph.values or graph.values[name].name != name:
            yield f"{maker} makes %{name}, which is not among the values"
        if name in made:
            yield f"{maker} makes %{name}, which is made before"
        made.add(name)


def _block_problems(graph: Graph) -> Iterator[str]:
    opened = {""}
    for node in graph.nodes:
        if node.block not in opened:
            yield f"node {node.id!r} stands in block {node.block!r}, which no node before it has"
        opened.update(node.blocks)
    if len({node.id for node in graph.nodes}) != len(graph.nodes):
        yield "two nodes have the same id"
    if any(block.id != block_id for block_id, block in graph.blocks.items()):
        yield "a block is listed under the id of another"
    listed = sorted((block_id, node.id) for node in graph.nodes for block_id in node.blocks)
    if listed != sorted((block.id, block.owner) for block in graph.blocks.values()):
        yield "nodes and blocks do not agree on which block belongs to which node"


def _module_problems(snapshot: Snapshot) -> Iterator[str]:
    paths = [module.path for module in snapshot.modules]
    if paths[:1] != [""]:
        yield 'the first module is not the model itself (path "")'
    if len(set(paths)) != len(paths):
        yield "two modules have the same path"
    for module in snapshot.modules:
        for method in () if module.is_observer else module.methods:
            key = (module.class_group, method)
            if key not in snapshot.bodies:
                yield f"there is no body of {method!r} of the module {module.path!r}"
            # Older files have no codes at all.
            if snapshot.codes and key not in snapshot.codes:
                yield f"there is no code of {method!r} of the module {module.path!r}"


def _observer_problems(snapshot: Snapshot) -> Iterator[str]:
    for reading in snapshot.observers:
        if len(reading.batch_minimum) != len(reading.batch_maximum):
            yield f"the batches of observer {reading.path!r} have not two ends each"


def _timeline_problems(stage: StageRecord) -> Iterator[str]:
    for track in stage.timeline.tracks if stage.timeline is not None else ():
        lengths = {len(track.batches), len(track.minimum), len(track.maximum)}
        counted = len(track.counts) in (0, len(track.batches))
        if not track.batches or len(lengths) > 1 or not counted:
            yield f"the ranges of observer {track.observer!r} and their batches do not agree"


def _snapshots(recording: Recording) -> Iterator[tuple[str, Snapshot]]:
    yield "input", recording.input
    for stage in recording.stages:
        yield f"before {stage.name!r}", stage.before
        yield f"after {stage.name!r}", stage.after
