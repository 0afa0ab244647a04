"""In which numbers a value is held: real ones, or small integers that stand for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from jitq_explore.snapshots.graph import Graph, Node, constant_value
from jitq_explore.snapshots.settled import settled_branch

QTYPES: Mapping[object, str] = {12: "qint8", 13: "quint8", 14: "qint32"}
"""How torch numbers the quantized element types."""


class Domain(StrEnum):
    """What kind of numbers a tensor holds; OTHER is no tensor, or one of which nothing is known."""

    FLOAT = "float"
    QUANTIZED = "quantized"
    PACKED = "packed"
    OTHER = "other"


def domains_of(graph: Graph) -> dict[str, Domain]:
    """Name of each value -> its domain.

    What an If or a Loop hands on is what its blocks hand to it (QUANTIZED where any of them is).
    """
    found = {name: _by_type(graph.values[name].type) for name in graph.inputs}
    nodes_of: dict[str, list[Node]] = {}
    for node in graph.nodes:
        nodes_of.setdefault(node.block, []).append(node)

    def go_through(block: str) -> None:
        for node in nodes_of.get(block, ()):
            for inner in node.blocks:
                found.update(_taken_in(graph, node, inner, found))
                go_through(inner)
            made = _handed_on if node.blocks else _made
            found.update(made(graph, node, found))

    go_through("")
    return found


def dtypes_of(graph: Graph) -> dict[str, str]:
    """Name of each value that a quantize makes -> its element type ("quint8"), where it is told."""
    return {
        node.outputs[0]: QTYPES[told[0]]
        for node in graph.nodes
        if is_quantize(node)
        for told in [constant_value(graph, node.inputs[-1])]
        if told is not None and told[0] in QTYPES
    }


def is_quantize(node: Node) -> bool:
    """Whether the node turns real numbers into quantized ones and does nothing else."""
    return node.kind.startswith(("aten::quantize_per_", "quantized::quantize_per_"))


def is_dequantize(node: Node) -> bool:
    """Whether the node turns quantized numbers into real ones and does nothing else."""
    return node.kind.rpartition("::")[2] == "dequantize"


def _taken_in(
    graph: Graph, node: Node, block: str, known: Mapping[str, Domain]
) -> dict[str, Domain]:
    """What a loop's body begins with, as it is in the first round."""
    names = graph.blocks[block].inputs
    carried = dict(zip(names[1:], node.inputs[2:], strict=False))
    return {
        name: known.get(carried.get(name, ""), _by_type(graph.values[name].type)) for name in names
    }


def _made(graph: Graph, node: Node, known: Mapping[str, Domain]) -> dict[str, Domain]:
    domain = _domain_made(node, [known.get(name, Domain.OTHER) for name in node.inputs])
    made = {}
    for position, name in enumerate(node.outputs):
        by_type = _by_type(graph.values[name].type)
        # Behind the weight comes the bias, which is not quantized.
        is_bias = position > 0 and node.kind.endswith("_unpack")
        made[name] = domain if by_type is Domain.FLOAT and not is_bias else by_type
        if "[]" in graph.values[name].type or graph.values[name].type.startswith("("):
            made[name] = domain
    return made


def _domain_made(node: Node, inputs: Iterable[Domain]) -> Domain:
    namespace, _, name = node.kind.partition("::")
    if is_quantize(node):
        return Domain.QUANTIZED
    if is_dequantize(node):
        return Domain.FLOAT
    if namespace == "quantized":
        if name.endswith("_prepack"):
            return Domain.PACKED
        return Domain.FLOAT if "dynamic" in name or "fp16" in name else Domain.QUANTIZED
    # Whatever takes quantized values without being a kernel for them (max_pool2d, flatten, an
    # observer, a list) hands on what it takes.
    return Domain.QUANTIZED if Domain.QUANTIZED in inputs else Domain.FLOAT


def _handed_on(graph: Graph, node: Node, known: Mapping[str, Domain]) -> dict[str, Domain]:
    found = {}
    for position, name in enumerate(node.outputs):
        settled = settled_branch(graph, name)
        skip = 1 if node.kind == "prim::Loop" else 0  # the first is whether to go on
        handed = [settled] if settled else _yields(graph, node, position + skip)
        domains = {known.get(value, Domain.OTHER) for value in handed}
        if Domain.QUANTIZED in domains:
            found[name] = Domain.QUANTIZED
        elif len(domains) == 1:
            found[name] = domains.pop()
    return found


def _yields(graph: Graph, node: Node, position: int) -> list[str]:
    outputs = (graph.blocks[block].outputs for block in node.blocks)
    return [names[position] for names in outputs if position < len(names)]


def _by_type(printed: str) -> Domain:
    if "PackedParams" in printed:
        return Domain.PACKED
    if printed.startswith(("QInt", "QUInt")):
        return Domain.QUANTIZED
    return Domain.FLOAT if "Tensor" in printed or printed.startswith("Float(") else Domain.OTHER
