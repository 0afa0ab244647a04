"""Which methods of which submodules a method calls."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from jitq_explore.snapshots.graph import Graph
from jitq_explore.snapshots.recording import Snapshot


def reached_methods(
    snapshot: Snapshot, method: str | None = None, outside: Collection[str] = ()
) -> tuple[tuple[str, str], ...]:
    """(module path, method) of the model's method and of all that it calls, callers first.

    Each once, in the order of the calls (default: of `main_method`). Observers are left out. Of
    calls in the blocks of nodes of the kinds `outside` ("prim::Loop") none is followed.
    """
    found: dict[tuple[str, str], None] = {}
    waiting = [("", method or snapshot.main_method)]
    while waiting:
        called = waiting.pop()
        path, name = called
        state = snapshot.by_path[path]
        body = snapshot.bodies.get((state.class_group, name))
        if body is not None and called not in found:
            found[called] = None
            calls = _calls(path, body, snapshot.by_path, _blocks_of(body, outside))
            waiting.extend(reversed(list(calls)))
    return tuple(found)


def _blocks_of(body: Graph, kinds: Collection[str]) -> set[str]:
    """The blocks of nodes of these kinds, those inside of them too."""
    found: set[str] = set()
    for node in body.nodes:
        if node.kind in kinds or node.block in found:
            found.update(node.blocks)
    return found


def _calls(
    path: str, body: Graph, known: Mapping[str, object], hidden: Collection[str]
) -> Iterator[tuple[str, str]]:
    """The calls in the body of a method of the module at that path, but for hidden blocks."""
    module_of = dict.fromkeys(body.inputs[:1], path)
    for node in body.nodes:
        owner = module_of.get(node.inputs[0]) if node.inputs else None
        if node.kind == "prim::fork":
            # Its block takes what the fork is given, modules too.
            inner = body.blocks[node.blocks[0]].inputs if node.blocks else ()
            pairs = zip(inner, node.inputs, strict=False)
            module_of.update({new: module_of[old] for new, old in pairs if old in module_of})
        elif owner is None:
            continue
        elif node.kind == "prim::GetAttr":
            name = str(node.attributes["name"])
            fetched = f"{owner}.{name}" if owner else name
            if fetched in known:
                module_of[node.outputs[0]] = fetched
        elif node.kind == "prim::CallMethod" and node.block not in hidden:
            yield owner, str(node.attributes["name"])
