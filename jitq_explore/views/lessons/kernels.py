"""Which ops will quantized kernels replace?"""

from __future__ import annotations

from collections.abc import Iterator

from jitq_explore.diagnostics.op_kinds import is_compute
from jitq_explore.snapshots.endings import is_kernel
from jitq_explore.snapshots.graph import Node
from jitq_explore.snapshots.tracking import Spot, Tracker
from jitq_explore.views.answers.wording import plural
from jitq_explore.views.lessons.question import Choice, Option, Question
from jitq_explore.views.lessons.transition import Transition, mixed


def ask(transition: Transition) -> Iterator[Question]:
    """Asked where a stage put quantized kernels in."""
    kernels = [node for node in transition.graph.nodes if is_kernel(node)]
    before = transition.diff.before
    if not kernels or any(is_kernel(node) for node in before.nodes):
        return
    taken = _taken(transition, kernels)
    ops = [node for node in before.nodes if is_compute(before, node)]
    right = [node for node in ops if node.id in taken]
    wrong = [node for node in ops if node.id not in taken]
    if not right:
        return
    fused = sum(len(parts) > 1 for parts in _parts(taken).values())
    several = f", {fused} of them for more than one op" if fused else ""
    yield Choice(
        "Which of these ops will this stage replace by a quantized kernel?",
        tuple(
            _option(transition, node, taken.get(node.id), taken)
            for node in mixed(right, wrong, ops)
        ),
        f"{len(right)} of {plural(len(ops), 'op')} went into {plural(len(kernels), 'kernel')}"
        f"{several}. A rule puts a kernel in where it knows the op with "
        f"{_AROUND[transition.recording.mode]}; the other ops stay what they are.",
    )


_STATIC = "a dequantize before it and a quantize behind it"
_DYNAMIC = "a quantize and a dequantize before it, whose scale is computed in the call"
_AROUND = {"static": _STATIC, "dynamic": _DYNAMIC, "on_device": _DYNAMIC}


def _taken(transition: Transition, kernels: list[Node]) -> dict[str, Node]:
    """Id of an op before the stage -> the kernel that computes it now."""
    tracker, found = Tracker.of(transition.recording), dict[str, Node]()
    index = tracker.names.index(transition.stage)
    method = tracker.snapshots[index].main_method
    for kernel in kernels:
        link = tracker.back(Spot(index, method, kernel.id))
        found.update({spot.node_id: kernel for spot in link.before} if link is not None else {})
    return found


def _parts(taken: dict[str, Node]) -> dict[str, list[str]]:
    parts: dict[str, list[str]] = {}
    for part, kernel in taken.items():
        parts.setdefault(kernel.id, []).append(part)
    return parts


def _option(
    transition: Transition, node: Node, kernel: Node | None, taken: dict[str, Node]
) -> Option:
    label = transition.place(node, transition.before)
    if kernel is None:
        return Option(label, False, _why_not(transition, node))
    others = [
        transition.diff.before.by_id[part].kind
        for part in _parts(taken)[kernel.id]
        if part != node.id
    ]
    along = f", together with {', '.join(others)}" if others else ""
    return Option(label, True, f"it goes into {kernel.kind}{along}")


def _why_not(transition: Transition, node: Node) -> str:
    """Asked of the node as it is after the stage, where there is still one."""
    match = transition.diff.match_before.get(node.id)
    if match is None:
        return "it is not needed any more"
    return transition.why(match.after[0], transition.stage)
