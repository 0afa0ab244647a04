"""What torch's passes can do with each kind of op: their own tables, as far as reasons need them.

From torch/csrc/jit/passes/quantization/helper.cpp of torch 2.13, each entry tried on a small net
(tests/diagnostics/test_op_kinds.py).
"""

from __future__ import annotations

from collections.abc import Mapping

from jitq_explore.snapshots.deciding import QUANTIZABLE, QUANTIZABLE_DYNAMICALLY
from jitq_explore.snapshots.graph import Graph, Node, TensorSummary, attribute_path
from jitq_explore.snapshots.quant_node import role_of


def _aten(names: str) -> frozenset[str]:
    return frozenset(f"aten::{name}" for name in names.split())


ON_QUANTIZED = _aten(
    "relu relu_ hardtanh hardtanh_ leaky_relu leaky_relu_ clamp "
    "sigmoid sigmoid_ tanh tanh_ hardsigmoid hardsigmoid_ "
    "max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d "
    "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d mean "
    "upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_linear1d "
    "upsample_bilinear2d upsample_trilinear3d upsample_bicubic2d "
    "dropout max min sort flatten reshape resize_ chunk view transpose contiguous permute repeat "
    "repeat_interleave squeeze squeeze_ unsqueeze unsqueeze_ detach detach_ stack"
)
"""Kinds that run on quantized values as they are, where their input is one."""

FOLLOWS_INPUTS = _aten("add add_ mul mul_ cat")
"""Kinds with a kernel, quantized where all of their inputs are."""

MOVES_DATA = _aten(
    "slice select narrow expand expand_as clone split split_with_sizes unbind index index_select "
    "gather to detach type_as copy_ roll pad flip tile movedim t unfold as_strided view_as "
    "unsafe_chunk unsafe_split append __getitem__ Bool Int Float ScalarImplicit item"
)
"""Kinds that hand on numbers and compute none."""

COMPUTE_NOTHING = MOVES_DATA | _aten(
    "flatten reshape view transpose contiguous permute repeat repeat_interleave squeeze squeeze_ "
    "unsqueeze unsqueeze_ detach_ stack chunk dropout dropout_ resize_"
)
"""The same with those that run on quantized values."""

RECKONS = _aten("add sub mul div floor_divide remainder floor ceil to detach")
"""Kinds with which models reckon with sizes."""

INSTEAD: Mapping[str, str] = {
    "aten::gelu": "hardswish or relu, which have quantized kernels, if the model can be retrained",
    "aten::silu": "hardswish, which is close to it and has a quantized kernel",
    "aten::mish": "hardswish, which is close to it and has a quantized kernel",
    "aten::relu6": "hardtanh(0, 6), the same function, which runs on quantized values",
    "aten::sub": "add of a negated layer output (the sign goes into its weight)",
    "aten::div": "mul with the inverse, where the divisor is a constant",
    "aten::lstm": "torch.ao.quantization.quantize_dynamic on the eager model, which knows LSTM",
    "aten::gru": "torch.ao.quantization.quantize_dynamic on the eager model, which knows GRU",
    "aten::embedding": "torch.ao.quantization on the eager model, which knows Embedding",
    "aten::adaptive_max_pool2d": "max_pool2d with a fixed size",
    "aten::prelu": "leaky_relu, where one slope for all is enough",
    "aten::_convolution_mode": "numbers for `padding` instead of 'same' or 'valid'",
    "aten::addmm": "nn.Linear, which becomes aten::linear",
}
"""Kind that has no rule -> what could stand in its place."""

_INSTEAD_IN_ANY_MODE = _aten("lstm gru embedding addmm")
"""Those whose stand-in is known outside of static quantization, too."""


def in_place_of(kind: str, mode: str = "static") -> str:
    """What could stand in place of an op without a rule in that mode, in words; "" for nothing."""
    known = kind if kind in INSTEAD else kind.removesuffix("_")
    if mode != "static" and known not in _INSTEAD_IN_ANY_MODE:
        return ""
    return INSTEAD.get(known, "")


def is_compute(graph: Graph, node: Node) -> bool:
    """Whether the node computes a tensor from a tensor of real numbers (or of what stands for it).

    Not: what quantization put in, what asks for shapes or reckons with them, what only hands on.
    """
    if not node.kind.startswith("aten::") or role_of(node) or node.kind in COMPUTE_NOTHING:
        return False
    makes = any(is_tensor(graph, name) for name in node.outputs)
    given = [name for name in node.inputs if is_tensor(graph, name)]
    return makes and any(not _is_number(graph, name) for name in given)


def _is_number(graph: Graph, value: str) -> bool:
    """Whether a tensor is a number that a trace wrapped into one, such as a size, or half of it."""
    maker = graph.producers.get(value)
    if maker is None or maker.kind not in RECKONS:
        return maker is not None and maker.kind == "prim::NumToTensor"
    given = [name for name in maker.inputs if is_tensor(graph, name)]
    return bool(given) and all(_is_number(graph, name) for name in given)


def is_tensor(graph: Graph, value: str) -> bool:
    """Whether a value is a tensor, or a list of them, and none that the model itself holds."""
    printed = graph.values[value].type
    is_one = "Tensor" in printed or printed.startswith(("Float(", "Double(", "Half("))
    return is_one and own_tensor(graph, value) is None


def own_tensor(graph: Graph, value: str) -> str | None:
    """The name of a tensor that the model holds as an attribute or, frozen, as a constant."""
    maker = graph.producers.get(value)
    if maker is not None and isinstance(maker.attributes.get("value"), TensorSummary):
        return value.removeprefix("self.")
    return attribute_path(graph, value)


def has_rule(kind: str, mode: str) -> bool:
    """Whether torch ever computes ops of that kind on quantized values in that mode."""
    if mode != "static":
        return kind in QUANTIZABLE_DYNAMICALLY
    return kind in QUANTIZABLE or kind in ON_QUANTIZED or kind == "aten::batch_norm"
