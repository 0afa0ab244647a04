"""Which modules torch's static quantization can quantize, and whose qconfig decides on a value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from jitq_explore.snapshots.graph import Graph, Node
from jitq_explore.snapshots.observations import (
    WEIGHT_INPUT,
    Observation,
    observations,
    observing_stage,
)
from jitq_explore.snapshots.once import once
from jitq_explore.snapshots.recording import Recording, Snapshot
from jitq_explore.snapshots.tracking import origin_of

_WITHOUT_WEIGHT = (
    "add", "add_", "mul", "mul_", "cat", "hardswish", "hardswish_", "elu", "elu_", "celu", "celu_",
    "layer_norm", "group_norm", "instance_norm",
)  # fmt: skip

QUANTIZABLE = frozenset(WEIGHT_INPUT) | {f"aten::{name}" for name in _WITHOUT_WEIGHT}
"""Kinds of ops that have a quantized kernel of their own (torch/csrc/jit/passes/quantization/
helper.cpp). Others run on quantized values as they are, or are fused into one of these."""


_AS_THEIR_INPUTS_ARE = {f"aten::{name}" for name in ("add", "add_", "mul", "mul_", "cat")}
"""Kinds that are quantized where their inputs are; on these they have no say."""

_HANDING_ON = {
    f"aten::{name}"
    for name in (
        "relu", "relu6", "leaky_relu", "hardtanh", "hardswish", "elu", "celu", "gelu", "silu",
        "dropout", "max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d", "adaptive_avg_pool1d",
        "adaptive_avg_pool2d", "mean", "flatten", "reshape", "view", "permute", "transpose",
        "squeeze", "unsqueeze", "contiguous",
    )
}  # fmt: skip
"""Kinds behind which a value's large channels are as large as before."""

QUANTIZABLE_DYNAMICALLY = frozenset({"aten::linear"})
"""Kinds of ops that dynamic quantization knows."""


def quantizable_modules(snapshot: Snapshot, *, mode: str = "static") -> tuple[str, ...]:
    """Paths of the modules with ops of their own that can be quantized, in the graph's order.

    BatchNorm counts its batches with tensor additions: those are none of the network's.
    """
    kinds = QUANTIZABLE if mode == "static" else QUANTIZABLE_DYNAMICALLY
    return tuple(
        dict.fromkeys(
            node.module_path
            for node in snapshot.graph().nodes
            if node.kind in kinds and not _is_batch_norm(snapshot, node)
        )
    )


def _is_batch_norm(snapshot: Snapshot, node: Node) -> bool:
    module = snapshot.by_path.get(node.module_path)
    return module is not None and "running_mean" in module.attributes


def deciding_modules(recording: Recording, seen: Observation) -> tuple[str, ...]:
    """The modules whose qconfig decides which observer the value gets.

    It is not the module that owns the observer. A weight is decided on by the module of the op that
    uses it, an activation by that of the op that makes it (for what a ReLU makes, of the op that
    the ReLU is fused into), and what no quantizable op makes, such as the model's input, by those
    of the ops that take it: they have to agree, else torch refuses.
    """
    stage = observing_stage(recording)
    assert stage is not None, "there is no observation without an observing stage"
    graph = stage.after.graph()
    users = using_modules(recording, seen)
    if seen.role == "weight":
        return users or (seen.reading.module,)
    maker = _quantizable_maker(graph, seen.node.inputs[0])
    return (maker.module_path,) if maker is not None else users or (seen.reading.module,)


def using_modules(recording: Recording, seen: Observation) -> tuple[str, ...]:
    """The modules of the quantizable ops that take an observed value."""
    stage = observing_stage(recording)
    assert stage is not None, "there is no observation without an observing stage"
    return _modules(stage.after.graph().consumers.get(seen.node.outputs[0], ()))


def reached_modules(recording: Recording, seen: Observation) -> tuple[str, ...]:
    """The modules of the quantizable ops that an observed value reaches, up to the first weights.

    Between these are ops of one input that work number by number, or put numbers elsewhere, such
    as a hardswish or a pooling: a channel that is large before is large behind.
    """
    stage = observing_stage(recording)
    assert stage is not None, "there is no observation without an observing stage"
    graph = stage.after.graph()
    value = origin_of(graph, seen.node.inputs[0])
    return _modules(
        node
        for node in graph.nodes
        if node.inputs and any(value in _handed_on(graph, name) for name in node.inputs)
    )


def _handed_on(graph: Graph, value: str) -> Iterator[str]:
    """The value, and those that it has its large channels from."""
    value = origin_of(graph, value)
    yield value
    maker = graph.producers.get(value)
    while maker is not None and maker.kind.removesuffix("_") in _HANDING_ON:
        value = origin_of(graph, maker.inputs[0])
        yield value
        maker = graph.producers.get(value)


def agreeing_modules(recording: Recording, modules: Iterable[str]) -> tuple[str, ...]:
    """Those modules, and all that have to have the same activation observer.

    Torch refuses different ones for ops that share an input which no quantizable op makes.
    """
    groups = _agreeing(recording)
    found = dict.fromkeys(modules)
    while more := [g for g in groups if g & found.keys() and not g <= found.keys()]:
        found |= dict.fromkeys(sorted(more[0]))
    return tuple(found)


@once
def _agreeing(recording: Recording) -> tuple[set[str], ...]:
    """The modules that decide together on an activation, where there are several."""
    deciding = (
        set(deciding_modules(recording, seen))
        for seen in observations(recording)
        if seen.role == "activation"
    )
    return tuple(group for group in deciding if len(group) > 1)


def _quantizable_maker(graph: Graph, value: str) -> Node | None:
    """The op that makes a value, looked for through ReLUs."""
    maker = graph.producers.get(origin_of(graph, value))
    while maker is not None and maker.kind in ("aten::relu", "aten::relu_"):
        maker = graph.producers.get(origin_of(graph, maker.inputs[0]))
    return maker if maker is not None and maker.kind in QUANTIZABLE else None


def _modules(nodes: Iterable[Node]) -> tuple[str, ...]:
    kinds = QUANTIZABLE - _AS_THEIR_INPUTS_ARE
    return tuple(dict.fromkeys(node.module_path for node in nodes if node.kind in kinds))
