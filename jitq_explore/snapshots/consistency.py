"""What must hold between the parts of a recording, so that whatever reads it can rely on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from jitq_explore.snapshots.graph import Graph
from jitq_explore.snapshots.recording import MODES, Recording, Snapshot, StageRecord


def problems(recording: Recording) -> Iterator[str]:
    """One sentence for everything that is inconsistent; none for a sound recording.

    Shared snapshots and graphs are looked at once.
    """
    if recording.mode not in MODES:
        yield f"unknown mode {recording.mode!r} (must be one of {list(MODES)})"
    checked: set[int] = set()
    for where, snapshot in _snapshots(recording):
        if id(snapshot) in checked:
            continue
        checked.add(id(snapshot))
        yield from (f"{where}: {problem}" for problem in _module_problems(snapshot))
        for (group, method), body in snapshot.bodies.items():
            if id(body) not in checked:
                checked.add(id(body))
                place = f"{where}, {method!r} of {group!r}"
                yield from (f"{place}: {problem}" for problem in graph_problems(body))


def graph_problems(graph: Graph) -> Iterator[str]:
    """One sentence for everything that is inconsistent within a graph.

    Every name must be that of a known value, made once and before it is used; every block must
    belong to the node that lists it.
    """
    yield from _block_problems(graph)
    made: set[str] = set()
    yield from _making(graph.inputs, "the graph", graph, made)
    for node in graph.nodes:
        unmade = [name for name in node.inputs if name not in made]
        if unmade:
            yield f"node {node.id!r} takes %{unmade[0]}, which nothing before it makes"
        yield from _making(node.outputs, f"node {node.id!r}", graph, made)
        for block_id in node.blocks:
            if block_id in graph.blocks:
                inputs = graph.blocks[block_id].inputs
                yield from _making(inputs, f"block {block_id!r}", graph, made)
    for whose, outputs in [("graph", graph.outputs)] + [
        (f"block {block_id!r}", block.outputs) for block_id, block in graph.blocks.items()
    ]:
        if not made.issuperset(outputs):
            yield f"the {whose} returns a value that nothing makes"


def _making(names: Iterable[str], maker: str, graph: Graph, made: set[str]) -> Iterator[str]:
    """Count the values as made."""
    for name in names:
        if name not in graph.values or graph.values[name].name != name:
            yield f"{maker} makes %{name}, which is not among the values"
        if name in made:
            yield f"{maker} makes %{name}, which is made before"
        made.add(name)


def _block_problems(graph: Graph) -> Iterator[str]:
    if len({node.id for node in graph.nodes}) != len(graph.nodes):
        yield "two nodes have the same id"
    owners = {block_id: node.id for node in graph.nodes for block_id in node.blocks}
    for node in graph.nodes:
        for block_id in (*node.blocks, *filter(None, [node.block])):
            if block_id not in graph.blocks:
                yield f"node {node.id!r} names a block {block_id!r} that does not exist"
    for block_id, block in graph.blocks.items():
        if block.id != block_id or owners.get(block_id) != block.owner:
            yield f"block {block_id!r} is not among the blocks of its owner {block.owner!r}"


def _module_problems(snapshot: Snapshot) -> Iterator[str]:
    paths = [module.path for module in snapshot.modules]
    if paths[:1] != [""]:
        yield 'the first module is not the model itself (path "")'
    if len(set(paths)) != len(paths):
        yield "two modules have the same path"
    for module in snapshot.modules:
        for method in module.methods:
            if not module.is_observer and (module.class_group, method) not in snapshot.bodies:
                yield f"there is no body of {method!r} of the module {module.path!r}"


def _snapshots(recording: Recording) -> Iterator[tuple[str, Snapshot]]:
    yield "input", recording.input
    yield from _of_stages(recording.stages)


def _of_stages(stages: Iterable[StageRecord]) -> Iterator[tuple[str, Snapshot]]:
    for stage in stages:
        yield f"before {stage.name!r}", stage.before
        yield f"after {stage.name!r}", stage.after
        yield from _of_stages(stage.steps)
