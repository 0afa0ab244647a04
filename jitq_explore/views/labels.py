"""What is written in the box of a node."""

from __future__ import annotations

from jitq_explore.snapshots.diff import Match
from jitq_explore.snapshots.graph import (
    Attribute,
    Graph,
    Node,
    show_attribute,
    show_attributes,
)
from jitq_explore.snapshots.settled import decided_value, is_decision, settled_branch
from jitq_explore.snapshots.source import short_source
from jitq_explore.views.boxes import Role
from jitq_explore.views.printable import printable, shorten, shorten_end

LINE_WIDTH = 38
"""The longest small line in a box, in characters."""

_CONV = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_POOL = ("input", "kernel", "stride", "padding", "dilation", "ceil mode")
_NORM = ("input", "weight", "bias", "mean", "variance", "training", "momentum", "eps")
_NORM_KERNEL = ("input", "weight", "bias", "mean", "variance", "eps")

_KERNELS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d", "linear"), ("input", "weight")),
    **dict.fromkeys(("conv1d_relu", "conv2d_relu", "conv3d_relu"), ("input", "weight")),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d"), ("input", "weight")),
    **dict.fromkeys(("linear_relu", "prelu"), ("input", "weight")),
    **dict.fromkeys(("add", "add_relu", "mul", "mul_relu", "matmul"), ("input", "other")),
    **dict.fromkeys(("cat", "cat_relu"), ("tensors", "dim")),
    **dict.fromkeys(("hardswish", "sigmoid", "elu"), ("input",)),
    **dict.fromkeys(("batch_norm", "batch_norm_relu"), _NORM_KERNEL),
    **dict.fromkeys(("batch_norm2d", "batch_norm2d_relu"), _NORM_KERNEL),
    "instance_norm": ("input", "weight", "bias", "eps"),
    "layer_norm": ("input", "normalized shape", "weight", "bias", "eps"),
    "group_norm": ("input", "groups", "weight", "bias", "eps"),
    "leaky_relu": ("input", "slope", "in place"),
    "softmax": ("input", "dim"),
}
"""What comes before the scale and zero point of a quantized kernel's result."""

# A snapshot holds no schemas, so the few names that make a label readable are kept here.
_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "aten::conv1d": _CONV,
    "aten::conv2d": _CONV,
    "aten::conv3d": _CONV,
    "aten::_convolution": (*_CONV[:-1], "transposed", "output padding", "groups"),
    "aten::batch_norm": _NORM,
    "aten::layer_norm": ("input", "normalized shape", "weight", "bias", "eps"),
    "aten::linear": ("input", "weight", "bias"),
    "aten::max_pool2d": _POOL,
    "aten::avg_pool2d": _POOL,
    "aten::adaptive_avg_pool2d": ("input", "output size"),
    "aten::flatten": ("input", "from dim", "to dim"),
    "aten::add": ("input", "other", "alpha"),
    "aten::add_": ("input", "other", "alpha"),
    "aten::cat": ("tensors", "dim"),
    "aten::softmax": ("input", "dim"),
    "aten::mean": ("input", "dim"),
    "aten::dropout": ("input", "p", "training"),
    "aten::quantize_per_tensor": ("input", "scale", "zero point", "dtype"),
    "aten::quantize_per_channel": ("input", "scales", "zero points", "axis", "dtype"),
    "prim::Loop": ("at most", "while"),
    "quantized::linear_dynamic": ("input", "weight"),
    **{f"quantized::{kind}": (*names, "scale", "zero point") for kind, names in _KERNELS.items()},
}

_USUAL = {
    ("stride", "1"),
    ("padding", "0"),
    ("dilation", "1"),
    ("groups", "1"),
    ("alpha", "1"),
    ("transposed", "False"),
    ("ceil mode", "False"),
    ("output padding", "0"),
}
"""Settings not worth a word."""

_QUIET = ("bias", "mean", "variance", "training", "momentum", "eps", "scales", "zero points")
"""Operands that a label only names when they differ."""

_DTYPES = {"0": "uint8", "1": "int8", "5": "float16", "12": "qint8", "13": "quint8", "14": "qint32"}
"""How torch numbers the element types that quantization uses."""


def role_of(node: Node) -> Role:
    """What kind of thing the node is, for its shape."""
    if node.is_observer:
        return Role.OBSERVER
    if node.blocks:
        return Role.CHOICE
    name = node.kind.rpartition("::")[2]
    if name.startswith("quantize_per_"):
        return Role.QUANTIZE
    return Role.DEQUANTIZE if name == "dequantize" else Role.OPERATION


def title_of(node: Node) -> str:
    """The node's name in large."""
    if node.is_observer:
        return printable(str(node.attributes.get("class", "observer")))
    if node.kind == "prim::CallMethod":
        return printable(f"call {node.attributes.get('name', '')}")
    namespace, _, name = node.kind.rpartition("::")
    return printable(name if namespace in ("aten", "prim") else node.kind)


def kind_of(node: Node) -> str:
    """The node's kind in full; of an observer, whose kind is none of torch's, its class."""
    return title_of(node) if node.is_observer else printable(node.kind)


def title_of_match(match: Match) -> str:
    """Old → new where the kind differs, several old ones with "+" between them."""
    new = title_of(match.after[0])
    old = " + ".join(dict.fromkeys(title_of(node) for node in match.before))
    return new if old == new or not old else f"{shorten_end(old, LINE_WIDTH)} →\n{new}"


def argument_names(node: Node) -> tuple[str, ...]:
    """What the node's inputs are called, as far as that is known."""
    return _ARGUMENTS.get(node.kind, ())


def operands(node: Node, graph: Graph, folded: frozenset[str]) -> dict[str, str]:
    """What of the node's inputs is not drawn: its name -> a constant, or a path into the model."""
    names = argument_names(node)
    found: dict[str, str] = {}
    for position, value in enumerate(node.inputs):
        text = operand(value, graph, folded)
        if text is None:
            continue
        path = _attribute_path(value, graph)
        default = path.rpartition(".")[2] if path else f"input {position}"
        name = names[position] if position < len(names) else default
        if name in ("input", "tensors") and path:
            name = default
        found[name] = dtype_name(name, text)
    return found


def dtype_name(argument: str, text: str) -> str:
    """The value of an argument ("13", "path : 13"); of one that numbers an element type its name
    ("quint8")."""
    if argument != "dtype":
        return text
    path, colon, number = text.rpartition(" : ")
    return f"{path}{colon}{_DTYPES.get(number, number)}"


def detail_lines(node: Node, graph: Graph, folded: frozenset[str]) -> tuple[str, ...]:
    """At most two short lines: the parameter that the node works with, and its settings."""
    paths, settings = [], []
    for name, text in operands(node, graph, folded).items():
        is_unnamed = name.startswith("input ")
        if name in _QUIET or (name, text) in _USUAL or text in ("None", "[]"):
            continue
        if is_unnamed and text in ("True", "False"):
            continue
        if _looks_like_path(name, text):
            paths.append(_path_line(name, text))
        else:
            settings.append(text if is_unnamed else f"{name} {text}")
    line = " · ".join(settings)
    return (*paths[:1], *([line] if 0 < len(line) <= LINE_WIDTH else []))


def _path_line(name: str, path: str) -> str:
    """The parameter and where it is: what there is no room for is not said twice."""
    line = f"{name}: {path}"
    if len(line) > LINE_WIDTH and path.endswith(f".{name}"):
        return shorten(path, LINE_WIDTH)
    return f"{name}: {shorten(path, LINE_WIDTH - len(name) - 2)}"


def change_lines(match: Match, old: dict[str, str], new: dict[str, str]) -> tuple[str, ...]:
    """At most two short lines: what differs, old → new. The kind is left to the title."""
    # What is in one of them only is drawn in the other one, so it can be seen there.
    differing = [
        f"{name}: {shorten(text, 16)} → {shorten(new[name], 16)}"
        for name, text in old.items()
        if new.get(name, text) != text
    ]
    told = [
        f"{what}: {shorten_end(before, 16)} → {shorten_end(after, 16)}"
        for what, before, after in match.changes
        if what not in ("kind", "inputs")
    ]
    lines = [*told, *differing] or ["other inputs"]
    return tuple(printable(line) for line in lines[:2])


def name_line(node: Node, graph: Graph) -> tuple[str, ...]:
    """What torch calls the node's first output; nothing where it has none."""
    names = (printable(graph.values[name].debug_name) for name in node.outputs[:1])
    return tuple(f"%{shorten(name, LINE_WIDTH)}" for name in names)


def tooltip(node: Node, graph: Graph, status: str, match: Match | None = None) -> str:
    """All that is known of the node, a line each."""
    lines = [f"{node.kind} ({status})"]
    if node.module_path:
        lines.append(f"module {node.module_path}")
    lines.extend(f"%{name} : {graph.values[name].type}" for name in node.outputs[:4])
    if node.attributes:
        lines.append(show_attributes(node.attributes))
    if match is not None:
        lines.extend(f"{what}: {old} → {new}" for what, old, new in match.changes)
        lines.append(f"matched by {match.reason} ({match.confidence:.0%})")
    if node.source:
        lines.append(f"{short_source(node.source)}  {graph.line_of(node.source)}")
    return "\n".join(shorten_end(printable(line), 160) for line in lines)


def operand(value: str, graph: Graph, folded: frozenset[str]) -> str | None:
    """A value that is not drawn as text; None where it is drawn."""
    node = graph.producers.get(value)
    if node is None or node.id not in folded:
        return None
    if node.is_constant:
        return printable(_constant(node.attributes.get("value")))
    if node.kind == "prim::GetAttr":
        return printable(_attribute_path(value, graph))
    if node.blocks:
        settled = settled_branch(graph, value)
        return operand(settled, graph, folded) if settled else None
    if is_decision(graph, node):
        decided = decided_value(graph, value)
        return printable(_constant(decided[0])) if decided is not None else None
    items = [operand(name, graph, folded) or "" for name in node.inputs]
    if items and len(set(items)) == 1 and len(items) <= 3:
        return items[0]  # a stride of [2, 2] reads as 2
    return f"[{', '.join(items)}]"


def _constant(value: Attribute) -> str:
    if isinstance(value, tuple) and value and len(set(map(repr, value))) == 1 and len(value) <= 3:
        return show_attribute(value[0])
    return show_attribute(value)


def _attribute_path(value: str, graph: Graph) -> str:
    """`layer1.0.conv1.weight` for a value read from the model; "" for any other."""
    names: list[str] = []
    node = graph.producers.get(value)
    while node is not None and node.kind == "prim::GetAttr":
        names.append(str(node.attributes.get("name", "?")))
        node = graph.producers.get(node.inputs[0]) if node.inputs else None
    return ".".join(reversed(names))


def _looks_like_path(name: str, text: str) -> bool:
    return name == "weight" or text.endswith(f".{name}") or text == name
