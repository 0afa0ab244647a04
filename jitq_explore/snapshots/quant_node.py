"""One quantize, dequantize, choose-qparams, saturate or prepack node, seen in its graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from jitq_explore.snapshots.dtypes import SCALAR_TYPES
from jitq_explore.snapshots.graph import (
    Attribute,
    Graph,
    Node,
    attribute_names,
    attribute_path,
    constant_value,
)
from jitq_explore.snapshots.modules import QPARAM
from jitq_explore.snapshots.observers import ObserverReading
from jitq_explore.snapshots.recording import Snapshot

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

_ASKED = {"aten::q_scale": 1, "aten::q_zero_point": 2, "prim::dtype": 3}
"""Kind that asks a quantized value for a qparam -> the input of a quantize node that gives it."""


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
    zero_point: tuple[float, ...]
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


def float_value(graph: Graph, node: Node) -> str | None:
    """The float value that a chain of quantization nodes begins with."""
    producer: Node | None = node
    value = None
    while producer is not None and role_of(producer) and producer.inputs:
        value = producer.inputs[0]
        producer = graph.producers.get(value)
    return value


def users_of(graph: Graph, node: Node) -> Iterator[Node]:
    """The ops that take what the node gives, other quantization nodes stepped over."""
    for value in node.outputs:
        for user in graph.consumers.get(value, ()):
            if role_of(user):
                yield from users_of(graph, user)
            else:
                yield user


@dataclass(frozen=True)
class Place:
    """One graph of one snapshot, as the place to look a node's surroundings up in."""

    snapshot: Snapshot
    graph: Graph
    observers: Mapping[str, str]
    readings: Mapping[str, ObserverReading]

    def describe(self, node: Node, stage: str, fate: str) -> QuantNode:
        """What there is to say of the node, given the stage that inserted it and its fate."""
        quantizer = self.quantizer(node)
        module, value, observer = self.observed(node, quantizer)
        quantizer = quantizer or self.handed_on(node)
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
            feeds=tuple(dict.fromkeys(user.kind for user in users_of(self.graph, node))),
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

    def handed_on(self, node: Node) -> Node | None:
        """The quantize node whose qparams a dequantize has, through aten ops alone: those that run
        on quantized values keep their qparams, kernels have qparams of their own."""
        if role_of(node) != "dequantize":
            return None
        maker = self.graph.producers.get(node.inputs[0])
        while maker is not None and role_of(maker) is None and maker.kind.startswith("aten::"):
            maker = self.graph.producers.get(maker.inputs[0])
        return maker if maker is not None and role_of(maker) == "quantize" else None

    def quantized_source(self, value: str) -> Node | None:
        """The quantize node a quantized value comes from, through ops that keep its qparams."""
        node = self.graph.producers.get(value)
        while node is not None and role_of(node) is None and node.inputs:
            node = self.graph.producers.get(node.inputs[0])
        return node if node is not None and role_of(node) == "quantize" else None

    def observed(self, node: Node, quantizer: Node | None) -> tuple[str, str, str]:
        """Module and name of the float value a node stands on, and the observer that decided on
        it."""
        observer = self.observers.get((quantizer or node).id, "") or self.asked_observer(quantizer)
        for value in quantizer.inputs[1:] if quantizer is not None else ():
            names = attribute_names(self.graph, value)
            qparam = QPARAM.match(names[-1]) if names else None
            if names and qparam:
                return ".".join(names[:-1]), qparam["value"], observer
        begin = float_value(self.graph, node) or node.inputs[0]
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
    ) -> tuple[tuple[float, ...], tuple[float, ...], str]:
        """Scale, zero point and dtype: fixed in the graph, else what the observer would give."""
        scale = tuple(float(number) for number in _numbers(self.qparam(quantizer, 1)))
        zero_point = tuple(_whole(number) for number in _numbers(self.qparam(quantizer, 2)))
        number = self.qparam(quantizer, dtype_place)
        dtype = SCALAR_TYPES.get(number, "") if isinstance(number, int) else ""
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
        asked = self.graph.producers.get(quantizer.inputs[place])
        if asked is not None and asked.kind in _ASKED:
            # After an op that works on quantized values the qparams are read off its input.
            source = self.quantized_source(asked.inputs[0])
            return self.qparam(source, _ASKED[asked.kind]) if source is not quantizer else None
        names = attribute_names(self.graph, quantizer.inputs[place])
        state = self.snapshot.by_path.get(".".join(names[:-1])) if names else None
        found = state.attributes.get(names[-1]) if state is not None and names else None
        return found.value if found is not None else None


def _whole(number: float) -> float:
    """An integer where it is one: those read from tensors of the model come as real numbers."""
    return int(number) if float(number).is_integer() else number


def _numbers(value: Attribute) -> tuple[float, ...]:
    if isinstance(value, tuple):
        return tuple(item for item in value if isinstance(item, int | float))
    return (value,) if isinstance(value, int | float) else ()
