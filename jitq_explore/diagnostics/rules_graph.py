"""What is in the graphs that should not be there."""

from __future__ import annotations

from collections.abc import Iterator

from jitq_explore.diagnostics.causes import Examiner
from jitq_explore.diagnostics.findings import ERROR, WARNING, Finding, Severity
from jitq_explore.diagnostics.located import at_node, has_run, last_name, plural
from jitq_explore.diagnostics.op_kinds import is_tensor
from jitq_explore.diagnostics.stage_groups import CONVERTS, base_name
from jitq_explore.snapshots.domains import Domain
from jitq_explore.snapshots.graph import Graph, Node, TensorSummary, attribute_path, constant_value
from jitq_explore.snapshots.quant_node import role_of
from jitq_explore.snapshots.recording import Recording

READS_CONTENTS = frozenset(
    f"aten::{name}"
    for name in ("Bool", "Int", "Float", "item", "ScalarImplicit", "IntImplicit", "FloatImplicit",
                 "equal", "allclose", "is_nonzero", "tolist")
)  # fmt: skip
"""Kinds that make a number of what a tensor holds. Others ask for its shape, device or dtype."""


def prepared_twice(recording: Recording) -> Iterator[Finding]:
    """Two observers on one value."""
    for stage in recording:
        graph = stage.after.graph()
        for node in graph.nodes:
            maker = graph.producers.get(node.inputs[0]) if node.is_observer else None
            if maker is None or not maker.is_observer:
                continue
            finding = Finding(
                rule="prepared_twice",
                severity=ERROR,
                title="the model was prepared twice",
                why="each observer gets quantize and dequantize nodes of its own: values are "
                "rounded twice, and weights are packed anew at every call",
                evidence=f"{node.attributes['observer']} observes what "
                f"{maker.attributes['observer']} hands on",
                remedy="Call prepare_jit once, on the float model.",
            )
            yield at_node(recording, finding, node, stage.name)
            return


def unpacked_weights(recording: Recording) -> Iterator[Finding]:
    """Weights that are packed at every call, or cannot be."""
    if not has_run(recording, "quant_finalize") or recording.debug:
        return
    graph = recording.last.graph()
    left = [node for node in graph.nodes if role_of(node) == "prepack"]
    failing = [node for node in left if _cannot_be_packed(graph, node)]
    kept = [node for node in left if _belongs_to_the_model(graph, node)]
    others = [node for node in left if node not in failing and node not in kept]
    if failing:
        in_branch = all(node.block for node in failing)
        yield _unpacked(
            recording,
            failing,
            ERROR,
            "packing them fails: the model cannot be run"
            + (" where it takes their branch" if in_branch else ""),
            "See the other findings: the scales of these weights are missing, or they are of a "
            "kind that the kernel does not take.",
        )
    if kept:
        yield _unpacked(
            recording,
            kept,
            WARNING,
            "they belong to a module that was kept, which freezing leaves alone: they are "
            "quantized and packed again at every call",
            f"Leave it out of preserved_attrs={list(recording.preserved_attrs)}.",
        )
    if others:
        yield _unpacked(
            recording,
            others,
            WARNING,
            "what quantizes them could not be folded: they are packed again at every call",
            "See the other findings; prepare the model once.",
        )


def _unpacked(
    recording: Recording, left: list[Node], severity: Severity, why: str, remedy: str
) -> Finding:
    finding = Finding(
        rule="unpacked_weight",
        severity=severity,
        title=f"{plural(len(left), 'weight')} could not be packed beforehand",
        why=why,
        evidence=f"still there: {', '.join(dict.fromkeys(node.kind for node in left))}",
        remedy=remedy,
    )
    return at_node(recording, finding, left[0], last_name(recording))


def _belongs_to_the_model(graph: Graph, prepack: Node) -> bool:
    """Whether the weight is fetched from the model, not a constant of the graph."""
    maker = graph.producers.get(prepack.inputs[0])
    while maker is not None and role_of(maker):
        maker = graph.producers.get(maker.inputs[0])
    return maker is not None and maker.kind == "prim::GetAttr"


def _cannot_be_packed(graph: Graph, prepack: Node) -> bool:
    """Transposed with scales per channel, scales of another number than channels, not float32."""
    if _belongs_to_the_model(graph, prepack):
        return False
    quantize = graph.producers.get(prepack.inputs[0])
    if quantize is None or role_of(quantize) != "quantize":
        return "transpose" in prepack.kind
    weight, scale = (constant_value(graph, name) for name in quantize.inputs[:2])
    if not weight or not isinstance(weight[0], TensorSummary):
        return False
    if weight[0].dtype != "float32":
        return True
    one_a_channel = quantize.kind.endswith("per_channel")
    given = scale[0] if scale else None
    return one_a_channel and isinstance(given, TensorSummary) and given.shape != weight[0].shape[:1]


def data_branches(recording: Recording) -> Iterator[Finding]:
    """Branches that are taken by a value that was quantized."""
    for stage in recording:
        if base_name(stage.name) not in CONVERTS or stage.error is not None:
            continue
        graph = stage.after.graph()
        for node in graph.nodes:
            if node.kind not in ("prim::If", "prim::Loop"):
                continue
            asked = node.inputs[0 if node.kind == "prim::If" else 1]
            source = _quantized_behind(graph, asked)
            if source is None:
                continue
            taken = [
                each
                for each in (recording.numerics.branches if recording.numerics else ())
                if each.source == node.source
            ]
            finding = Finding(
                rule="branch_on_quantized",
                severity=ERROR if taken else WARNING,
                title=f"{node.kind} decides by a value that was quantized",
                why="rounding may tip the scales: the quantized model then takes another branch "
                "than the float one, and nothing says so",
                evidence=str(taken[0])
                if taken
                else f"its condition goes back to %{graph.values[source.inputs[0]].debug_name}",
                remedy="Decide by something that is not quantized: keep the module that makes the "
                "value in float.",
            )
            maker = _maker_of(graph, source)
            module = maker.module_path if maker is not None else ""
            yield at_node(recording, finding, node, stage.name, module)


def _maker_of(graph: Graph, dequantize: Node) -> Node | None:
    """The op whose result was quantized, and is dequantized there."""
    maker: Node | None = dequantize
    while maker is not None and role_of(maker):
        maker = graph.producers.get(maker.inputs[0])
    return maker


def _quantized_behind(graph: Graph, value: str) -> Node | None:
    """The first dequantize whose contents a value depends on."""
    waiting, seen = [value], {value}
    while waiting:
        name = waiting.pop(0)
        maker = graph.producers.get(name)
        if maker is None:
            continue
        if role_of(maker) == "dequantize":
            if attribute_path(graph, maker.inputs[0]) is None:
                return maker
            continue
        new = [other for other in _decided_by(graph, maker, name) if other not in seen]
        seen.update(new)
        waiting.extend(new)
    return None


def _decided_by(graph: Graph, node: Node, value: str) -> list[str]:
    """The values whose contents one of a node's results depends on: not those that it asks for
    shapes, nor what an If or a Loop makes besides."""
    if node.blocks:
        place = node.outputs.index(value)
        bodies = [graph.blocks[block].outputs for block in node.blocks]
        if node.kind == "prim::Loop":
            (body,) = bodies
            return [*node.inputs[:2], node.inputs[2 + place], body[0], body[1 + place]]
        return [*node.inputs, *(body[place] for body in bodies if place < len(body))]
    if node.kind in READS_CONTENTS or any(is_tensor(graph, name) for name in node.outputs):
        return list(node.inputs)
    return [name for name in node.inputs if not is_tensor(graph, name)]


def redundant_pairs(recording: Recording) -> Iterator[Finding]:
    """Values dequantized and quantized again at once, or for nobody; the largest first."""
    if not has_run(recording, "quant_finalize"):
        return
    graph = recording.last.graph()
    returned = {*graph.outputs, *(name for b in graph.blocks.values() for name in b.outputs)}
    found = []
    for node in graph.nodes:
        if role_of(node) not in ("dequantize", "quantize"):
            continue
        users = [user for name in node.outputs for user in graph.consumers.get(name, ())]
        if not users and not returned.intersection(node.outputs):
            found.append((_size(recording, graph, node), "for nobody", node))
        elif role_of(node) == "dequantize":
            again = [user for user in users if role_of(user) == "quantize"]
            if again:
                found.append((_size(recording, graph, node), "and quantized again", node))
    found.sort(key=lambda each: -each[0])
    for size, how, node in found:
        finding = Finding(
            rule="redundant_pair",
            severity=WARNING,
            title=f"%{graph.values[node.inputs[0]].debug_name} is {role_of(node)}d {how}",
            why="it costs time and, where the scales differ, precision, and computes nothing",
            evidence=f"{size:,} elements" if size else "size not known",
            remedy="Prepare the model once; keep modules around it all quantized, or all float.",
        )
        yield at_node(recording, finding, node, last_name(recording))


def _size(recording: Recording, graph: Graph, node: Node) -> int:
    """Elements of the value a node stands on: measured, or of the shape that a trace kept."""
    if recording.numerics is not None:
        for name in (node.id, *(m.id for m in [graph.producers.get(node.inputs[0])] if m)):
            row = recording.numerics.of(last_name(recording), name)
            if row is not None:
                return row.elements
    printed = graph.values[node.inputs[0]].type
    shape = printed.partition("(")[2].partition(", strides")[0]
    size = 1
    for part in shape.split(", "):
        if not part.isdigit():
            return 0
        size *= int(part)
    return size


def tuple_outputs(recording: Recording) -> Iterator[Finding]:
    """A tuple that is dequantized as a whole."""
    if not has_run(recording, *CONVERTS):
        return
    graph = recording.last.graph()
    tuples = [
        (node, maker)
        for node in graph.nodes
        if role_of(node) == "dequantize"
        and (maker := graph.producers.get(node.inputs[0])) is not None
        and maker.kind == "prim::TupleConstruct"
    ]
    # Of nested ones the outermost comes last.
    for node, maker in tuples[-1:]:
        finding = Finding(
            rule="tuple_output",
            severity=ERROR,
            title="the model returns a tuple, and cannot be loaded once it is saved",
            why="torch dequantizes the tuple as a whole, which gives a list: what is returned is "
            "not what the method says it returns",
            evidence=f"{node.kind} takes a prim::TupleConstruct of {len(maker.inputs)}",
            remedy="Return a list, or a dict; or keep the layer that makes one of the items in "
            "float (None in the qconfig dict).",
        )
        yield at_node(recording, finding, node, last_name(recording))


def binary_max(recording: Recording) -> Iterator[Finding]:
    """The maximum of two quantized tensors, which nothing computes."""
    if recording.mode != "static" or not has_run(recording, "quant_finalize"):
        return
    examiner = Examiner.newest(recording)
    for node in examiner.graph.nodes:
        if node.kind not in ("aten::max", "aten::min") or len(node.inputs) != 2:
            continue
        domains = [examiner.domains.get(name) for name in node.inputs]
        if Domain.QUANTIZED not in domains:
            continue
        finding = Finding(
            rule="binary_max",
            severity=ERROR,
            title=f"{node.kind} of two tensors, one of them quantized, cannot be run",
            why="torch takes it for the maximum of one tensor, which runs on quantized values; "
            "that of two does not",
            evidence="inputs: " + ", ".join(map(str, domains)),
            remedy=f"Use torch.{node.kind[6:]}imum, which stays in float.",
        )
        yield at_node(recording, finding, node, last_name(recording))


RULES = (
    prepared_twice,
    unpacked_weights,
    binary_max,
    tuple_outputs,
    data_branches,
    redundant_pairs,
)
