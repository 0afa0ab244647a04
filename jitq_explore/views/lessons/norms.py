"""Which batch norms will be folded?"""

from __future__ import annotations

from collections.abc import Iterator

from jitq_explore.snapshots.graph import Graph, Node
from jitq_explore.views.lessons.question import Choice, Option, Question
from jitq_explore.views.lessons.transition import Transition, mixed

_NORM = "aten::batch_norm"


def ask(transition: Transition) -> Iterator[Question]:
    """Asked where a stage took at least one batch norm away."""
    before = transition.diff.before
    norms = [node for node in before.nodes if node.kind == _NORM]
    kept = {node.id for node in norms if _is_still_there(transition, node)}
    if len(kept) == len(norms):
        return
    gone = [node for node in norms if node.id not in kept]
    asked = mixed(gone, [node for node in norms if node.id in kept], norms)
    yield Choice(
        "Which of these batch norms will be gone after this stage?",
        tuple(_option(transition, before, node, node.id not in kept) for node in asked),
        f"{len(gone)} of {len(norms)} were folded. A convolution computes w·x + b; a batch norm "
        "behind it γ·(y − μ)/σ + β. Together that is a convolution again, with the weight w·γ/σ "
        "and the bias (b − μ)·γ/σ + β: the norm costs nothing any more.",
    )


def _is_still_there(transition: Transition, node: Node) -> bool:
    match = transition.diff.match_before.get(node.id)
    return match is not None and any(after.kind == _NORM for after in match.after)


def _option(transition: Transition, before: Graph, node: Node, is_gone: bool) -> Option:
    maker = before.producers.get(node.inputs[0])
    given = maker.kind if maker is not None else "the model's input"
    reason = (
        f"it stands directly behind {given}, whose weight takes it in"
        if is_gone
        else f"it is given what {given} makes, and that cannot take it in"
        if maker is None or "conv" not in maker.kind
        else f"{given} stands before it, but the pass did not recognise the pair"
    )
    label = transition.place(node, transition.before)
    return Option(label, is_gone, reason)
