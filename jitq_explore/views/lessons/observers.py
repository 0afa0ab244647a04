"""Which values will be observed?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jitq_explore.diagnostics.op_kinds import is_compute, is_tensor
from jitq_explore.snapshots.graph import Graph, Node
from jitq_explore.snapshots.observations import WEIGHT_INPUT
from jitq_explore.snapshots.printable import printable
from jitq_explore.views.lessons.question import Choice, Option, Question
from jitq_explore.views.lessons.transition import Transition, mixed


@dataclass(frozen=True, slots=True)
class _Value:
    """A value of the graph before any observer hands it on; `node` makes it or takes it."""

    name: str
    role: str
    node: Node | None
    observer: Node | None


def ask(transition: Transition) -> Iterator[Question]:
    """Asked where a stage put observers in."""
    graph = transition.graph
    if not any(node.is_observer for node in transition.diff.added):
        return
    values = list(_values(graph))
    right = [value for value in values if value.observer is not None]
    wrong = [value for value in values if value.observer is None]
    if not right:
        return
    yield Choice(
        "Which of these values will get an observer?",
        tuple(_option(transition, value) for value in mixed(right, wrong, values)),
        f"{len(right)} of {len(values)} values are observed. {_GOAL[transition.recording.mode]}",
    )


_STATIC = "A value is observed where a quantized kernel will make it or take it."
_DYNAMIC = (
    "Dynamic quantization observes what a kernel takes, its weight and its input. The ranges of "
    "activations are measured anew in every call, so results need no observer."
)
_ON_DEVICE = (
    "On-device quantization observes weights alone: the ranges of activations are measured in "
    "every call."
)
_GOAL = {"static": _STATIC, "dynamic": _DYNAMIC, "on_device": _ON_DEVICE}


def _values(graph: Graph) -> Iterator[_Value]:
    for name in graph.inputs:
        if is_tensor(graph, name):
            yield _Value(name, "the input", None, _observer(graph, name))
    for node in graph.nodes:
        if not is_compute(graph, node):
            continue
        place = WEIGHT_INPUT.get(node.kind)
        if place is not None and place < len(node.inputs):
            weight = node.inputs[place]
            maker = graph.producers.get(weight)
            is_observed = maker is not None and maker.is_observer
            yield _Value(weight, "weight of", node, maker if is_observed else None)
        yield _Value(node.outputs[0], "result of", node, _observer(graph, node.outputs[0]))


def _observer(graph: Graph, name: str) -> Node | None:
    return next((node for node in graph.consumers.get(name, ()) if node.is_observer), None)


def _option(transition: Transition, value: _Value) -> Option:
    graph, stage = transition.graph, transition.stage
    if value.node is None:
        label = f"the input %{printable(graph.values[value.name].debug_name)}"
    else:
        label = f"{value.role} {transition.place(value.node, stage)}"
    return Option(label, value.observer is not None, _reason(transition, value))


def _reason(transition: Transition, value: _Value) -> str:
    if value.observer is not None:
        return transition.why(value.observer, transition.stage)
    if transition.recording.mode == "on_device" and value.role != "weight of":
        return "it is no weight; what a kernel needs to know of it is measured in every call"
    if value.node is None:
        return "no quantized kernel will take it"
    if transition.recording.mode == "dynamic" and value.role == "result of":
        return "no op takes it that has a dynamic kernel"
    return transition.why(value.node, transition.stage)
