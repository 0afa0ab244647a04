"""The quantize, dequantize, choose-qparams, saturate and prepack nodes of a run: what became of
them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from jitq_explore.snapshots.diff import GraphDiff, Match, diff_graphs
from jitq_explore.snapshots.graph import (
    Attribute,
    Graph,
    Node,
    attribute_names,
    attribute_path,
    constant_value,
)
from jitq_explore.snapshots.modules import QPARAM, AttributeState
from jitq_explore.snapshots.observations import (
    WEIGHT_INPUT,
    newest_readings,
    observers_of_quantizers,
)
from jitq_explore.snapshots.observers import ObserverReading
from jitq_explore.snapshots.recording import Recording, Snapshot

_ROLES = {
    "aten::quantize_per_tensor": "quantize",
    "aten::quantize_per_channel": "quantize",
    "aten::dequantize": "dequantize",
    "aten::_choose_qparams_per_tensor": "choose_qparams",
    "aten::_saturate_weight_to_fp16": "saturate",
}
_SCHEMES = {
    "aten::quantize_per_tensor": "per tensor",
    "aten::quantize_per_channel": "per channel",
    "aten::_choose_qparams_per_tensor": "per tensor, at run time",
    "aten::_saturate_weight_to_fp16": "float16",
}
# TorchScript stores a dtype as the number of c10::ScalarType.
_DTYPES = {5: "float16", 12: "qint8", 13: "quint8", 14: "qint32"}

_PREPACKED = re.compile(r"(_relu6?|_dynamic|_fp16)+$")
"""What a kernel's name has more than that of the op which packs its weight."""


@dataclass(frozen=True, slots=True)
class QuantNode:
    """One inserted node.

    `node` is the node itself; for a prepack node that was folded at once, the one that fetches what
    it packed. `role` is "quantize", "dequantize", "choose_qparams", "saturate" or "prepack".
    `value` is the float value it stands on and `module` that value's module; `observer` is the path
    of the observer that decided on it ("" where none did). `scale` and `zero_point` have one
    number, or one a channel, and are empty where they are computed at run time. `feeds` are the
    kinds of the ops that take the result, other such nodes stepped over. `fate` says what became of
    it by the end.
    """

    node: Node
    inserted_by: str
    kind: str
    role: str
    value: str
    module: str
    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int | None
    dtype: str
    scheme: str
    observer: str
    feeds: tuple[str, ...]
    fate: str


def role_of(node: Node) -> str | None:
    """The role of a quantization node, None for any other node."""
    if node.kind.startswith("quantized::") and node.kind.endswith("_prepack"):
        return "prepack"
    return _ROLES.get(node.kind)


def quant_nodes(recording: Recording) -> tuple[QuantNode, ...]:
    """Every such node of the run: by the stage that inserted it, then in the order of the graph."""
    return tuple(_Reader(recording).read())


class _Reader:
    """Goes through the stages of one recording; each difference is computed once."""

    def __init__(self, recording: Recording) -> None:
        self.stages = [stage for stage in recording.stages if stage.error is None]
        self.readings = newest_readings(recording)
        self.found_observers: dict[tuple[int, str], dict[str, str]] = {}
        self.diffs: dict[tuple[int, str], GraphDiff] = {}

    def read(self) -> Iterator[QuantNode]:
        for index, stage in enumerate(self.stages):
            for method in _methods(stage.after):
                graph = stage.after.graph(method)
                place = _Place(stage.after, graph, self.observers(index, method), self.readings)
                for node in self.inserted(index, method):
                    yield place.describe(node, stage.name, self.fate(index, method, node))
                if method in stage.before.method_names:
                    yield from self.packed(index, method)

    def observers(self, index: int, method: str) -> dict[str, str]:
        """Id of a quantize node -> its observer, in the graph after a stage that replaced
        observers."""
        key = index, method
        if key not in self.found_observers:
            before = self.stages[index].before
            observed = method in before.method_names and any(
                node.is_observer for node in before.graph(method).nodes
            )
            self.found_observers[key] = (
                observers_of_quantizers(self.diff(index, method)) if observed else {}
            )
        return self.found_observers[key]

    def packed(self, index: int, method: str) -> Iterator[QuantNode]:
        """Prepack nodes that a stage inserted and folded at once: their packed weights tell of
        them."""
        stage = self.stages[index]
        graph = stage.after.graph(method)
        before = stage.before.by_path
        for node in graph.find("prim::GetAttr"):
            names = attribute_names(graph, node.outputs[0]) or ("",)
            path = ".".join(names[:-1])
            state = stage.after.by_path[path].attributes.get(names[-1]) if names[-1] else None
            known = before[path].attributes if path in before else {}
            if state is None or state.kind != "packed" or names[-1] in known:
                continue
            users = graph.consumers.get(node.outputs[0], ())
            module, value, observer = self.weight_of(index, method, users)
            kernel = users[0].kind if users else ""
            yield QuantNode(
                node=node,
                inserted_by=stage.name,
                kind=f"{_PREPACKED.sub('', kernel)}_prepack",
                role="prepack",
                value=value,
                module=module,
                scale=state.scale,
                zero_point=state.zero_point,
                axis=state.axis,
                dtype=str(state.value),
                scheme=_scheme_of(state),
                observer=observer,
                feeds=tuple(user.kind for user in users),
                fate=f"folded into the attribute {'.'.join(names)}",
            )

    def weight_of(self, index: int, method: str, kernels: Sequence[Node]) -> tuple[str, str, str]:
        """Module, value and observer of the weight of the float op that a kernel stands for."""
        match = self.diff(index, method).match_after.get(kernels[0].id) if kernels else None
        if match is None:
            return "", "", ""
        graph = self.stages[index].before.graph(method)
        for op in match.before:
            weight = WEIGHT_INPUT.get(op.kind)
            maker = graph.producers.get(op.inputs[weight]) if weight is not None else None
            if maker is not None and role_of(maker) and index:
                place = _Place(
                    self.stages[index].before,
                    graph,
                    self.observers(index - 1, method),
                    self.readings,
                )
                return place.observed(maker, place.quantizer(maker))
        return match.before[0].module_path, "", ""

    def inserted(self, index: int, method: str) -> list[Node]:
        stage = self.stages[index]
        found = [node for node in stage.after.graph(method).nodes if role_of(node)]
        if not found or method not in stage.before.method_names:
            return found
        added = {node.id for node in self.diff(index, method).added}
        return [node for node in found if node.id in added]

    def diff(self, index: int, method: str) -> GraphDiff:
        key = index, method
        if key not in self.diffs:
            stage = self.stages[index]
            self.diffs[key] = diff_graphs(stage.before.graph(method), stage.after.graph(method))
        return self.diffs[key]

    def fate(self, index: int, method: str, node: Node) -> str:
        """Follow the node through the later stages."""
        for later in range(index + 1, len(self.stages)):
            if method not in self.stages[later].after.method_names:
                return "removed"
            diff = self.diff(later, method)
            match = _match_of(diff, node)
            if match is None:
                return _end_of(diff, node)
            node = match.after[0]
        return "kept"


def _methods(snapshot: Snapshot) -> tuple[str, ...]:
    """The methods that hold a run's quantization: one, but for the two on-device ones."""
    base = snapshot.method_name
    wanted = (base, f"quantize_{base}", f"quantized_{base}")
    return tuple(name for name in wanted if name in snapshot.method_names)


def _match_of(diff: GraphDiff, node: Node) -> Match | None:
    return diff.match_before.get(node.id)


def _end_of(diff: GraphDiff, node: Node) -> str:
    """What a node that has no partner after the stage was made into."""
    graph = diff.before
    weight = _float_value(graph, node)
    user = next((m for m in (_match_of(diff, n) for n in _users(graph, node)) if m), None)
    if weight is not None and attribute_path(graph, weight) is not None:
        return f"folded into the packed weight of {user.after[0].kind}" if user else "folded"
    maker = graph.producers.get(weight or "")
    made = _match_of(diff, maker) if maker is not None else None
    ends = (made, user) if role_of(node) == "quantize" else (user, made)
    for match in ends:
        if match is not None and match.after[0].kind.startswith("quantized::"):
            return f"fused into {match.after[0].kind}"
    for match in ends:
        if match is not None:
            return f"dropped: {match.after[0].kind} works on quantized values"
    return "removed"


def _float_value(graph: Graph, node: Node) -> str | None:
    """The float value that a chain of quantization nodes begins with."""
    producer: Node | None = node
    value = None
    while producer is not None and role_of(producer) and producer.inputs:
        value = producer.inputs[0]
        producer = graph.producers.get(value)
    return value


def _users(graph: Graph, node: Node) -> Iterator[Node]:
    """The ops that take what the node gives, other quantization nodes stepped over."""
    for value in node.outputs:
        for user in graph.consumers.get(value, ()):
            if role_of(user):
                yield from _users(graph, user)
            else:
                yield user


@dataclass(frozen=True)
class _Place:
    """One graph of one snapshot, as the place to look a node's surroundings up in."""

    snapshot: Snapshot
    graph: Graph
    observers: Mapping[str, str]
    readings: Mapping[str, ObserverReading]

    def describe(self, node: Node, stage: str, fate: str) -> QuantNode:
        quantizer = self.quantizer(node)
        module, value, observer = self.observed(node, quantizer)
        per_channel = quantizer is not None and quantizer.kind.endswith("per_channel")
        axis = self.qparam(quantizer, 3) if per_channel else None
        scale, zero_point, dtype = self.qparams(quantizer, 4 if per_channel else 3, observer)
        return QuantNode(
            node=node,
            inserted_by=stage,
            kind=node.kind,
            role=role_of(node) or "",
            value=value,
            module=module,
            scale=scale,
            zero_point=zero_point,
            axis=axis if isinstance(axis, int) else None,
            dtype=dtype,
            scheme=_SCHEMES.get((quantizer or node).kind, ""),
            observer=observer,
            feeds=tuple(dict.fromkeys(user.kind for user in _users(self.graph, node))),
            fate=fate,
        )

    def quantizer(self, node: Node) -> Node | None:
        """The quantize node: this one, the one whose result it takes, or the one it serves."""
        found: Node | None = node
        while found is not None and role_of(found) in ("dequantize", "prepack"):
            found = self.graph.producers.get(found.inputs[0])
        if found is not None and role_of(found) == "choose_qparams":
            users = self.graph.consumers.get(found.outputs[0], ())
            found = next((user for user in users if role_of(user) == "quantize"), None)
        return found if found is not None and role_of(found) == "quantize" else None

    def observed(self, node: Node, quantizer: Node | None) -> tuple[str, str, str]:
        """Module and name of the float value a node stands on, and the observer that decided on
        it."""
        observer = self.observers.get((quantizer or node).id, "") or self.asked_observer(quantizer)
        for value in quantizer.inputs[1:] if quantizer is not None else ():
            names = attribute_names(self.graph, value)
            qparam = QPARAM.match(names[-1]) if names else None
            if names and qparam:
                return ".".join(names[:-1]), qparam["value"], observer
        begin = _float_value(self.graph, node) or node.inputs[0]
        module = observer.rpartition(".")[0] if observer else node.module_path
        return module, self.graph.values[begin].debug_name, observer

    def asked_observer(self, quantizer: Node | None) -> str:
        """On the device the quantize node takes what the observer's own method returns."""
        node = self.graph.producers.get(quantizer.inputs[1]) if quantizer is not None else None
        while node is not None and node.kind in ("prim::TupleUnpack", "prim::TupleIndex"):
            node = self.graph.producers.get(node.inputs[0])
        if node is None or node.kind != "prim::CallMethod":
            return ""
        return attribute_path(self.graph, node.inputs[0]) or ""

    def qparams(
        self, quantizer: Node | None, dtype_place: int, observer: str
    ) -> tuple[tuple[float, ...], tuple[int, ...], str]:
        """Scale, zero point and dtype: fixed in the graph, else what the observer would give."""
        scale = tuple(float(number) for number in _numbers(self.qparam(quantizer, 1)))
        zero_point = tuple(int(number) for number in _numbers(self.qparam(quantizer, 2)))
        number = self.qparam(quantizer, dtype_place)
        dtype = _DTYPES.get(number, "") if isinstance(number, int) else ""
        reading = self.readings.get(observer)
        if reading is None:
            return scale, zero_point, dtype
        return scale or reading.scale, zero_point or reading.zero_point, dtype or reading.dtype

    def qparam(self, quantizer: Node | None, place: int) -> Attribute:
        """An input of the quantize node that is fixed: a constant, or an attribute of the model."""
        if quantizer is None or place >= len(quantizer.inputs):
            return None
        constant = constant_value(self.graph, quantizer.inputs[place])
        if constant is not None:
            return constant[0]
        names = attribute_names(self.graph, quantizer.inputs[place])
        state = self.snapshot.by_path.get(".".join(names[:-1])) if names else None
        found = state.attributes.get(names[-1]) if state is not None and names else None
        return found.value if found is not None else None


def _numbers(value: Attribute) -> tuple[float, ...]:
    if isinstance(value, tuple):
        return tuple(item for item in value if isinstance(item, int | float))
    return (value,) if isinstance(value, int | float) else ()


def _scheme_of(state: AttributeState) -> str:
    if not state.scale:
        return str(state.value)
    return "per tensor" if state.axis is None else "per channel"
