"""What is left in the graphs that should not be there, or stays float."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from jitq_explore.diagnostics.causes import CONVERTS, FUSES, Examiner, Reason, base_name, float_ops
from jitq_explore.diagnostics.findings import ERROR, INFO, WARNING, Finding, Severity
from jitq_explore.diagnostics.located import at_node, has_run, last_name, plural
from jitq_explore.diagnostics.op_kinds import INSTEAD, is_tensor
from jitq_explore.snapshots.deciding import QUANTIZABLE, QUANTIZABLE_DYNAMICALLY
from jitq_explore.snapshots.domains import Domain
from jitq_explore.snapshots.endings import is_kernel
from jitq_explore.snapshots.graph import Graph, Node, attribute_path, constant_value
from jitq_explore.snapshots.observations import WEIGHT_INPUT
from jitq_explore.snapshots.quant_node import role_of
from jitq_explore.snapshots.recording import Recording

_UNEXPECTED = frozenset({"in_loop", "in_fork", "in_function", "no_match"})
"""Causes for which an op that has a kernel stays float though a QConfig is meant for it."""

READS_CONTENTS = frozenset(
    f"aten::{name}"
    for name in ("Bool", "Int", "Float", "item", "ScalarImplicit", "IntImplicit", "FloatImplicit",
                 "equal", "allclose", "is_nonzero", "tolist")
)  # fmt: skip
"""Kinds that make a number of what a tensor holds. Others ask for its shape, device or dtype."""

_SAID_ELSEWHERE = frozenset({"not_prepared", "failed", "not_yet", "debug", "training"})
"""Causes that hold for the whole run, which have rules of their own."""


def norm_kept(recording: Recording) -> Iterator[Finding]:
    """Batch norms that were not folded."""
    stage = next((s for s in recording if base_name(s.name) == "fold_conv_bn"), None)
    if stage is None or stage.error is not None or recording.mode == "on_device":
        return
    graph = stage.after.graph(recording.method_name)
    for norm in graph.find("aten::batch_norm"):
        if constant_value(graph, norm.inputs[5]) == (True,):
            continue  # traced in training mode: that is said elsewhere
        maker = graph.producers.get(norm.inputs[0])
        given = maker.kind if maker is not None else "the model's input"
        follows = given in WEIGHT_INPUT
        finding = Finding(
            rule="norm_not_folded",
            severity=INFO,
            title=f"the batch norm {norm.module_path!r} was not folded",
            why="torch folds a norm that the same method calls right after the convolution, and "
            "here they are in two methods"
            if follows
            else f"torch folds a norm that directly follows a convolution, and this one takes "
            f"{given}",
            evidence=f"{norm.kind} is still there after {stage.name!r}",
            remedy="Call both in one method, or trace the model."
            if follows
            else "Put the norm right behind the convolution, if the model can be retrained.",
        )
        yield at_node(recording, finding, norm, stage.name, norm.module_path)


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
    """Weights that are packed at every call."""
    if not has_run(recording, "quant_finalize") or recording.debug:
        return
    graph = recording.last.graph()
    left = [node for node in graph.nodes if role_of(node) == "prepack"]
    if not left:
        return
    per_channel = any(node.kind.endswith("per_channel") for node in graph.nodes)
    finding = Finding(
        rule="unpacked_weight",
        severity=ERROR if per_channel else WARNING,
        title=f"{plural(len(left), 'weight')} could not be packed beforehand",
        why="packing fails, and is tried again at every call: the model cannot be run"
        if per_channel
        else "what quantizes the weight could not be folded: it is packed again at every call",
        evidence=", ".join(dict.fromkeys(node.kind for node in left)),
        remedy="See the other findings: the scales of these weights are missing or of a kind that "
        "the kernel does not have.",
    )
    yield at_node(recording, finding, left[0], last_name(recording))


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
        maker = graph.producers.get(waiting.pop(0))
        if maker is None:
            continue
        if role_of(maker) == "dequantize":
            if attribute_path(graph, maker.inputs[0]) is None:
                return maker
            continue
        new = [name for name in _decided_by(graph, maker) if name not in seen]
        seen.update(new)
        waiting.extend(new)
    return None


def _decided_by(graph: Graph, node: Node) -> list[str]:
    """The values whose contents a node's result depends on: not those that it asks for shapes."""
    inner = [name for block in node.blocks for name in graph.blocks[block].outputs]
    if node.kind in READS_CONTENTS or any(is_tensor(graph, name) for name in node.outputs):
        return [*node.inputs, *inner]
    return [name for name in (*node.inputs, *inner) if not is_tensor(graph, name)]


def left_in_float(recording: Recording) -> Iterator[Finding]:
    """Ops left in float: one finding for each cause and module, or kind."""
    if not has_run(recording, *FUSES):
        return
    examiner = Examiner.newest(recording)
    groups: dict[tuple[str, str], list[tuple[Node, Reason]]] = {}
    for node in float_ops(recording):
        root = examiner.reasons(node)[-1]
        where = "" if root.cause == "dynamic_only" else root.text
        groups.setdefault((root.cause, where), []).append((node, root))
    for (cause, _), members in groups.items():
        if cause in _SAID_ELSEWHERE:
            continue
        # The one that could have had a kernel says most.
        node, root = next((each for each in members if each[0].kind in QUANTIZABLE), members[0])
        kinds = list(dict.fromkeys(each.kind for each, _ in members))
        finding = Finding(
            rule=f"float_{cause}",
            severity=_severity(recording, cause, kinds),
            title=f"{plural(len(members), 'op')} left in float: {', '.join(kinds[:4])}"
            + (", …" if len(kinds) > 4 else ""),
            why=root.text,
            evidence=examiner.nearest(node) or _untouched(recording, members),
            remedy=root.remedy,
            module=root.module,
        )
        located = at_node(recording, finding, node, last_name(recording), root.module)
        own = (each.source for each in examiner.origins(node) if each.source)
        yield replace(located, source=next(own, located.source))


def _untouched(recording: Recording, members: list[tuple[Node, Reason]]) -> str:
    names = [f"%{node.outputs[0]} = {node.kind}" for node, _ in members[:3]]
    more = ", …" if len(members) > len(names) else ""
    return f"still there after {last_name(recording)!r}: {', '.join(names)}{more}"


def _severity(recording: Recording, cause: str, kinds: list[str]) -> Severity:
    known = QUANTIZABLE if recording.mode == "static" else QUANTIZABLE_DYNAMICALLY
    return WARNING if cause in _UNEXPECTED and known.intersection(kinds) else INFO


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


def float_islands(recording: Recording) -> Iterator[Finding]:
    """Float ops between kernels: values go to real numbers and back for them."""
    if not has_run(recording, "quant_finalize") or recording.mode != "static":
        return
    examiner = Examiner.newest(recording)
    graph = examiner.graph
    for island in _islands(graph, float_ops(recording)):
        before = [n for n in _takes(graph, island) if role_of(n) == "dequantize"]
        after = [n for n in _gives(graph, island) if role_of(n) == "quantize"]
        if not before or not after:
            continue
        node, alone = island[0], len(island) == 1
        joins = alone and any(map(is_kernel, _around(graph, before, after)))
        kinds = ", ".join(dict.fromkeys(each.kind for each in island))
        instead = INSTEAD.get(node.kind, "")
        finding = Finding(
            rule="joined_by_float" if joins else "float_island",
            severity=INFO,
            title=f"{kinds} is float between quantized ops",
            why="values are dequantized before it and quantized again behind it",
            evidence=f"{plural(len(before), 'dequantize')} before, "
            f"{plural(len(after), 'quantize')} behind",
            remedy=f"Use {instead}."
            if instead and alone
            else "Keep the modules around it in "
            "float too, if they are small: that saves the conversions.",
        )
        yield at_node(recording, finding, node, last_name(recording))


def _islands(graph: Graph, ops: tuple[Node, ...]) -> list[list[Node]]:
    """Ops that hand values to each other, ops that only hand on stepped over."""
    home: dict[str, list[Node]] = {}
    islands: list[list[Node]] = []
    for node in ops:
        joined = {
            id(home[maker.id]): home[maker.id] for maker in _makers(graph, node) if maker.id in home
        }
        merged = [each for island in joined.values() for each in island] + [node]
        islands = [island for island in islands if id(island) not in joined] + [merged]
        home.update((each.id, merged) for each in merged)
    return islands


def _makers(graph: Graph, node: Node) -> Iterator[Node]:
    for name in node.inputs:
        maker = graph.producers.get(name)
        while maker is not None and maker.inputs and _hands_on(maker):
            maker = graph.producers.get(maker.inputs[0])
        if maker is not None:
            yield maker


def _hands_on(node: Node) -> bool:
    return node.kind in ("aten::transpose", "aten::view", "aten::reshape", "aten::permute") or (
        node.kind.startswith("prim::") and node.kind.endswith(("Construct", "Unpack"))
    )


def _takes(graph: Graph, island: list[Node]) -> list[Node]:
    return [maker for node in island for maker in _makers(graph, node)]


def _gives(graph: Graph, island: list[Node]) -> list[Node]:
    found: list[Node] = []
    waiting = list(island)
    while waiting:
        for name in waiting.pop(0).outputs:
            for user in graph.consumers.get(name, ()):
                (waiting if _hands_on(user) else found).append(user)
    return found


def _around(graph: Graph, before: list[Node], after: list[Node]) -> Iterator[Node]:
    for node in before:
        maker = graph.producers.get(node.inputs[0])
        if maker is not None:
            yield maker
    for node in after:
        yield from graph.consumers.get(node.outputs[0], ())


def tuple_outputs(recording: Recording) -> Iterator[Finding]:
    """A tuple that is dequantized as a whole."""
    if not has_run(recording, *CONVERTS):
        return
    graph = recording.last.graph()
    for node in graph.nodes:
        maker = graph.producers.get(node.inputs[0]) if role_of(node) == "dequantize" else None
        if maker is None or maker.kind != "prim::TupleConstruct":
            continue
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
    norm_kept,
    left_in_float,
    float_islands,
)
