"""`explain`: why a node is as it is: float, quantized, fused or not, observed or not."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass, replace

from jitq_explore.diagnostics.causes import Examiner
from jitq_explore.diagnostics.op_kinds import (
    MOVES_DATA,
    ON_QUANTIZED,
    is_compute,
    is_tensor,
    own_tensor,
)
from jitq_explore.diagnostics.reasons import Reason
from jitq_explore.diagnostics.stage_groups import CONVERTS, FUSES, base_name
from jitq_explore.snapshots.deciding import QUANTIZABLE, QUANTIZABLE_DYNAMICALLY
from jitq_explore.snapshots.domains import Domain
from jitq_explore.snapshots.endings import is_kernel
from jitq_explore.snapshots.graph import Graph, Node
from jitq_explore.snapshots.lineage import spot_of
from jitq_explore.snapshots.made_by import rule_of
from jitq_explore.snapshots.printable import printable
from jitq_explore.snapshots.quant_node import role_of
from jitq_explore.snapshots.recording import Recording
from jitq_explore.snapshots.tracking import Spot

_ASKS = frozenset({"aten::q_scale", "aten::q_zero_point", "prim::dtype", "aten::size"})
"""Kinds that ask about a value, and do not compute with it."""

_FUSED_WITH = frozenset({"aten::relu", "aten::relu_"})


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a node is as it is after a stage.

    `verdict` is "float", "quantized" (a kernel), "as it is" (an op that runs on quantized values
    without a kernel of its own), "quantization" (a quantize, dequantize, … node), "observer",
    "moves" (it hands on what it is given) or "fixed" (nothing to explain: a constant, control
    flow). `title` says it in a line; `reasons` lead from the node to the root of it.
    """

    node: Node
    stage: str
    verdict: str
    title: str
    reasons: tuple[Reason, ...] = ()
    evidence: str = ""

    @property
    def remedy(self) -> str:
        """What helps, by the root of the reasons; "" for nothing."""
        return self.reasons[-1].remedy if self.reasons else ""

    @property
    def cause(self) -> str:
        """The word for the root of the reasons; "" without any."""
        return self.reasons[-1].cause if self.reasons else ""

    def text(self) -> str:
        """All of it in a few lines, control characters written out."""
        lines = [f"{self.node.kind} ({self.node.id} after {self.stage!r}): {self.title}"]
        lines += [f"  because {reason.text}" for reason in self.reasons]
        lines += [f"  evidence: {self.evidence}"] if self.evidence else []
        lines += [f"  remedy: {self.remedy}"] if self.remedy else []
        return "\n".join(map(printable, lines))

    __str__ = text

    def _repr_html_(self) -> str:
        first, *others = self.text().splitlines()
        items = "".join(f"<li>{html.escape(line.strip())}</li>" for line in others)
        return f"<p><b>{html.escape(first)}</b></p><ul>{items}</ul>"


def explain(recording: Recording, node: Node | str, stage: str | None = None) -> Explanation:
    """Why a node is float, quantized, fused or not, observed or not.

    `node` is a node of one of the flattened graphs, its id ("n12"), or the name of a value, whose
    op is explained; `stage` names the snapshot that it is from (default: the newest one that has
    it). `print` writes the explanation out. KeyError names the stages, nodes and values there are.
    """
    spot = spot_of(recording, node, stage)
    examiner = Examiner(recording, spot.index, spot.method)
    found = examiner.tracker.node(spot)
    told = _told(examiner, found)
    name = examiner.tracker.names[spot.index]
    return Explanation(found, name, told.verdict, told.title, told.reasons, told.evidence)


@dataclass(frozen=True, slots=True)
class _Told:
    verdict: str
    title: str
    reasons: tuple[Reason, ...] = ()
    evidence: str = ""


def _told(examiner: Examiner, node: Node) -> _Told:
    if node.is_observer:
        return _observer(examiner, node)
    if role_of(node):
        return _quant_node(examiner, node)
    if is_kernel(node):
        return _kernel(examiner, node)
    if node.kind in MOVES_DATA or not node.kind.startswith("aten::"):
        return _handed_on(examiner.graph, node)
    if not is_compute(examiner.graph, node) and node.kind not in ON_QUANTIZED:
        return _handed_on(examiner.graph, node)
    if examiner.is_prepared_only and not examiner.is_where_it_failed:
        return _at_the_observers(examiner, node)
    if Domain.QUANTIZED in {examiner.domains.get(name) for name in node.inputs}:
        return _as_it_is(examiner, node)
    return _float(examiner, node)


def _float(examiner: Examiner, node: Node) -> _Told:
    """What it is in the end says why, where it is there in the end."""
    spot = Spot(examiner.index, examiner.method, node.id)
    ends = [examiner.tracker.node(each) for each in examiner.tracker.ends(spot)]
    kernel = next(filter(is_kernel, ends), None)
    if kernel is not None:
        return _Told("float", f"so far: a later stage puts {kernel.kind} in its place")
    title = "it computes on real numbers"
    if examiner.index == examiner.tracker.last or not ends or ends[0].kind != node.kind:
        return _Told("float", title, examiner.reasons(node), examiner.nearest(node))
    newest = Examiner.newest(examiner.recording)
    if ends[0].id not in newest.graph.by_id or not newest.is_float_op(ends[0]):
        return _Told("float", f"so far: a later stage lets {node.kind} run on quantized values")
    reasons = tuple(replace(reason, node="") for reason in newest.reasons(ends[0]))
    return _Told("float", title, reasons, newest.nearest(ends[0]))


def _handed_on(graph: Graph, node: Node) -> _Told:
    if node.kind.startswith("aten::") and not any(is_tensor(graph, v) for v in node.outputs):
        return _Told("fixed", "it asks about a value, such as its size, and computes no tensor")
    if node.kind.startswith("aten::"):
        return _Told("moves", "it hands on what it is given, and computes nothing")
    return _Told("fixed", "it is no op that could be quantized")


def _kernel(examiner: Examiner, node: Node) -> _Told:
    spot = Spot(examiner.index, examiner.method, node.id)
    origins = [examiner.tracker.node(each) for each in examiner.tracker.origins(spot)]
    kinds = " + ".join(each.kind for each in origins if each.kind.startswith("aten::"))
    stands_for = f"a quantized kernel in place of {kinds}" if kinds else "a quantized kernel"
    ends = [end for end in examiner.tracker.ends(spot) if is_kernel(examiner.tracker.node(end))]
    rule = rule_of(examiner.recording, ends[0].node_id) if ends else None
    if rule is None:
        return _Told("quantized", stands_for)
    reason = Reason("rule", f"torch's rule {rule.name!r} matched")
    return _Told("quantized", stands_for, (reason,))


def _as_it_is(examiner: Examiner, node: Node) -> _Told:
    reasons: tuple[Reason, ...] = ()
    maker = examiner.graph.producers.get(node.inputs[0])
    if node.kind in _FUSED_WITH and maker is not None and is_kernel(maker):
        text = (
            f"it was not fused into {maker.kind}: the value between the two was observed, so that "
            "it has a scale of its own"
        )
        reasons = (Reason("not_fused", text),)
    title = "it runs on quantized values as they are: there is no kernel to put in"
    return _Told("as it is", title, reasons)


def _quant_node(examiner: Examiner, node: Node) -> _Told:
    role = role_of(node)
    given = _maker(examiner.graph, node.inputs[0]) if node.inputs else "the model's input"
    users = _users(examiner.graph, node)
    taken, take = _named(users or ["the model's output"])
    back = [user for user in _all_users(examiner.graph, node) if role_of(user) == "dequantize"]
    if role == "quantize" and back and not users:
        users = [kind for each in back for kind in _users(examiner.graph, each)]
        taken, take = _named(users or ["the model's output"])
        text = f"{given} gives real numbers: they are rounded here, and turned back for {taken}"
        fused = (*FUSES, *CONVERTS)
        later = examiner.tracker.names[examiner.index + 1 :]
        if any(base_name(name) in fused for name in later):
            text += "; a later stage puts in kernels that work on the rounded ones"
        return _Told("quantization", text)
    told = {
        "quantize": f"{given} gives real numbers, and {taken} {take} quantized ones",
        "dequantize": f"{given} gives quantized numbers, and {taken} {take} real ones",
        "prepack": f"it packs a weight for {taken}",
        "choose_qparams": f"it computes at run time the scale that {taken} {_need(take)}",
        "saturate": "it rounds a weight to 16-bit floating point",
    }[role or ""]
    return _Told("quantization", told)


def _need(take: str) -> str:
    return "needs" if take == "takes" else "need"


def _maker(graph: Graph, value: str) -> str:
    """What makes a value, in words."""
    maker = graph.producers.get(value)
    if maker is None:
        return "the model's input"
    held = own_tensor(graph, value)
    if held is not None and maker.kind == "prim::GetAttr":
        return f"the model's own {held!r}"
    return "a constant of the model" if maker.is_constant else maker.kind


def _all_users(graph: Graph, node: Node) -> list[Node]:
    return [user for name in node.outputs for user in graph.consumers.get(name, ())]


def _users(graph: Graph, node: Node) -> list[str]:
    """Kinds of what computes with what a node makes: neither asks for its scale, nor turns it
    back."""
    return list(
        dict.fromkeys(
            user.kind
            for user in _all_users(graph, node)
            if role_of(user) != "dequantize" and user.kind not in _ASKS
        )
    )


def _named(kinds: list[str]) -> tuple[str, str]:
    """The kinds as a subject, and the verb for it."""
    return ", ".join(kinds), "takes" if len(kinds) == 1 else "take"


def _observer(examiner: Examiner, node: Node) -> _Told:
    is_static = examiner.recording.mode == "static"
    maker = examiner.graph.producers.get(node.inputs[0])
    users = [user for name in node.outputs for user in examiner.graph.consumers.get(name, ())]
    makes = maker is not None and (maker.kind in QUANTIZABLE or maker.kind in ON_QUANTIZED)
    kinds = QUANTIZABLE if is_static else QUANTIZABLE_DYNAMICALLY
    takers = list(dict.fromkeys(user.kind for user in users if user.kind in kinds))
    why = []
    if maker is not None and makes and is_static:
        why.append(f"{maker.kind} makes the value, and its kernel needs the scale of its result")
    if takers:
        taken, take = _named(takers)
        if is_static or _is_weight(maker):
            whose = "its kernel takes" if take == "takes" else "their kernels take"
            does = f"{whose} quantized ones"
        else:
            does = "measures it in every call" if take == "takes" else "measure it in every call"
        why.append(f"{taken} {take} the value, and {does}")
    reasons = tuple(Reason("observed", text) for text in why)
    return _Told("observer", "it observes a value to quantize", reasons)


def _is_weight(maker: Node | None) -> bool:
    return maker is not None and maker.kind == "prim::GetAttr"


def _at_the_observers(examiner: Examiner, node: Node) -> _Told:
    """At a stage where the values are observed, and nothing is quantized yet."""
    observed = [
        user
        for name in node.outputs
        for user in examiner.graph.consumers.get(name, ())
        if user.is_observer
    ]
    if observed:
        name = observed[0].attributes.get("observer")
        return _Told("float", f"its result is observed, by {name!r}")
    reasons = tuple(_why_not_observed(examiner, node))
    return _Told("float", "its result is not observed", reasons)


_FIXED_SCALE = frozenset({"aten::sigmoid", "aten::tanh", "aten::hardsigmoid"})
"""Kinds whose results lie between ends that are known beforehand."""


def _same_scale(node: Node) -> Reason:
    if node.kind.removesuffix("_") in _FIXED_SCALE:
        return Reason("as_it_is", "its results lie between ends known beforehand: so is its scale")
    return Reason("as_it_is", "it hands on the scale of its input")


def _hands_on_observed(examiner: Examiner, node: Node) -> bool:
    """Whether it is, or follows, an op that runs on quantized values, behind an observer."""
    maker: Node | None = node
    while maker is not None and maker.kind in ON_QUANTIZED and maker.inputs:
        maker = examiner.graph.producers.get(maker.inputs[0])
    return maker is not None and maker.is_observer


def _why_not_observed(examiner: Examiner, node: Node) -> Iterator[Reason]:
    if examiner.recording.mode != "static" and node.kind in QUANTIZABLE_DYNAMICALLY:
        yield Reason(
            "dynamic",
            "dynamic quantization observes what its kernels take, not what they make: the next "
            "kernel measures that anew in every call",
        )
        return
    for name in node.outputs:
        for user in examiner.graph.consumers.get(name, ()):
            if user.kind in _FUSED_WITH and node.kind in QUANTIZABLE:
                yield Reason(
                    "delayed",
                    f"it will be one kernel with {user.kind}, whose result is observed instead",
                    node=user.id,
                )
                return
    later = examiner.later(node)
    if later is None or later[0].is_where_it_failed:
        if _hands_on_observed(examiner, node):
            yield _same_scale(node)
        elif later is None:
            yield Reason("not_yet", "nothing is quantized yet, or nothing is left of it by then")
        else:
            yield from later[0].reasons(later[1])
        return
    after, there = later
    if is_kernel(there):
        yield Reason("in_kernel", f"it goes into {there.kind}, whose result is another value")
    elif Domain.QUANTIZED in {after.domains.get(name) for name in there.inputs}:
        yield _same_scale(node)
    else:
        yield from after.reasons(there)
