"""Which values will be observed?"""

from __future__ import annotations

from collections.abc import Iterator

from jitq_explore.diagnostics.op_kinds import is_compute
from jitq_explore.snapshots.graph import Node
from jitq_explore.views.lessons.question import Choice, Option, Question
from jitq_explore.views.lessons.transition import Transition, mixed


def ask(transition: Transition) -> Iterator[Question]:
    """Asked where a stage put observers in."""
    graph = transition.graph
    if not any(node.is_observer for node in transition.diff.added):
        return
    ops = [node for node in graph.nodes if is_compute(graph, node)]
    observed = [node for node in ops if _observers(transition, node)]
    unobserved = [node for node in ops if node not in observed]
    if not ops:
        return
    total = sum(node.is_observer for node in graph.nodes)
    yield Choice(
        "The results of which of these ops will be observed?",
        tuple(_option(transition, node) for node in mixed(observed, unobserved, ops)),
        f"{total} observers were put in: on the results of {len(observed)} of {len(ops)} ops, and "
        "on inputs and weights that quantized kernels take. A value is observed where a quantized "
        "kernel makes it or takes it.",
    )


def _observers(transition: Transition, node: Node) -> list[Node]:
    users = (transition.graph.consumers.get(name, ()) for name in node.outputs)
    return [user for taken in users for user in taken if user.is_observer]


def _option(transition: Transition, node: Node) -> Option:
    observers = _observers(transition, node)
    asked = observers[0] if observers else node
    return Option(
        transition.place(node, transition.stage),
        bool(observers),
        transition.why(asked, transition.stage),
        (transition.stage, node.id),
    )
