"""Where torch's passes do not look: loops, forks, functions of the user's own."""

from __future__ import annotations

from collections.abc import Iterator

from jitq_explore.diagnostics.reasons import Reason
from jitq_explore.snapshots.graph import Graph, Node
from jitq_explore.snapshots.recording import Snapshot
from jitq_explore.snapshots.source import is_library, short_source

_LOOPS = {
    "prim::Loop": (
        "in_loop",
        "it stands in a prim::Loop, and torch's passes do not look into loops",
        "Unroll the loop: iterate over an nn.ModuleList, write the rounds out, or trace the model.",
    ),
    "prim::fork": (
        "in_fork",
        "it stands in a prim::fork, and torch's passes do not look into these",
        "Call the module directly instead of through torch.jit.fork.",
    ),
}


def unseen_place(graph: Graph, snapshot: Snapshot, node: Node) -> Reason | None:
    """Why the passes do not come to a node of the graph that they decided on; None where they do.

    `snapshot` is the one that the graph is of.
    """
    for owner in _owners(graph, node):
        if owner.kind in _LOOPS:
            cause, text, remedy = _LOOPS[owner.kind]
            line = short_source(owner.source)
            return Reason(cause, f"{text} ({line})" if line else text, remedy)
    name = _function_of(snapshot, node)
    if not name:
        return None
    return Reason(
        "in_function",
        f"it is in the function {name!r}, and torch's passes look into modules only",
        "Make the function a method of a module, or a module of its own.",
    )


def _function_of(snapshot: Snapshot, node: Node) -> str:
    """The user's own function that the op stands in; "" for none."""
    if not node.frames or is_library(node.frames[0]):
        return ""
    state = snapshot.by_path.get(node.module_path)
    if state is None:
        return ""
    # A trace keeps no line of the call, and none but its own line of what was called.
    frames = node.frames[1:] or ("",)
    texts = [snapshot.texts.get((state.class_group, name), "") for name in state.methods]
    names = (_called_at(text, frame) for text in texts for frame in frames)
    return next(filter(None, names), "")


def _owners(graph: Graph, node: Node) -> Iterator[Node]:
    """The nodes in whose blocks a node stands, the innermost first."""
    block = node.block
    while block:
        owner = graph.by_id[graph.blocks[block].owner]
        yield owner
        block = owner.block


def _called_at(text: str, frame: str) -> str:
    """The function that printed IR calls at that line of the user's; "" for none."""
    for line in text.splitlines():
        head, _, place = line.partition(" # ")
        if place == frame and "prim::CallFunction(" in head:
            callee = head.partition("prim::CallFunction(")[2].partition(",")[0]
            named = next((at for at in text.splitlines() if at.lstrip().startswith(callee)), "")
            return named.partition('name="')[2].partition('"')[0] or "?"
    return ""
