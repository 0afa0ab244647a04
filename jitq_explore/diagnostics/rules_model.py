"""What is wrong with the model as it was given, before any pass has touched it."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from jitq_explore.diagnostics.findings import ERROR, WARNING, Finding
from jitq_explore.diagnostics.located import at_node, has_run, plural
from jitq_explore.diagnostics.qconfig_keys import NO_QCONFIG, winning_key
from jitq_explore.diagnostics.rules_norms import keeps_statistics
from jitq_explore.snapshots.calls import reached_methods
from jitq_explore.snapshots.changes import Change
from jitq_explore.snapshots.deciding import QUANTIZABLE, QUANTIZABLE_DYNAMICALLY
from jitq_explore.snapshots.endings import is_kernel
from jitq_explore.snapshots.graph import Graph, Node, attribute_path, constant_value
from jitq_explore.snapshots.modules import ModuleState
from jitq_explore.snapshots.observations import WEIGHT_INPUT
from jitq_explore.snapshots.recording import INPUT, Recording, Snapshot

ATTENTION = frozenset(
    {
        "torch.nn.modules.activation.MultiheadAttention",
        "torch.nn.modules.transformer.TransformerEncoderLayer",
        "torch.nn.modules.transformer.TransformerDecoderLayer",
    }
)
"""Classes whose scripted form kills `insert_observers` (torch 2.13, every run)."""

UNSEEN = ("prim::Loop", "prim::fork")
"""Kinds of nodes into whose blocks torch's passes do not look."""

_TRAINING_INPUT = {"aten::batch_norm": 5, "aten::dropout": 2, "aten::dropout_": 2}
"""Kind -> which of its inputs says that it is in training mode."""


def shared_classes(recording: Recording) -> Iterator[Finding]:
    """Unreached submodules of a class that a reached one has: torch may kill the process."""
    if recording.mode == "on_device":
        return  # there the observers sit in one inlined method
    kinds = QUANTIZABLE if recording.mode == "static" else QUANTIZABLE_DYNAMICALLY
    sharers = unreached_sharers(recording.input, recording.method_name, kinds)
    survived = has_run(recording, "insert_observers")
    told: list[str] = []
    for inside, unreached in sharers:
        observed = [path for path in inside if not _kept_float(recording, path)]
        if survived:
            observed = [path for path in observed if _has_observers(recording, path)]
        kept = [
            path
            for path in unreached
            # What helps a module helps those inside of it.
            if not _kept_float(recording, path) and not any(_is_under(path, top) for top in told)
        ]
        if not observed or not kept:
            continue
        told += kept
        yield Finding(
            rule="shared_class",
            severity=WARNING if survived else ERROR,
            title=f"{', '.join(map(repr, kept))} {'is' if len(kept) == 1 else 'are'} out of the "
            "reach of torch's passes, and "
            f"{'shares its' if len(kept) == 1 else 'share their'} TorchScript class with "
            f"{observed[0]!r}",
            why="insert_observers gives observers to the module that it comes to, and none to the "
            "other one of the same class: it ends the process at times, or in every run",
            evidence=f"class {recording.input.module(observed[0]).class_name}",
            remedy="Leave those out that are not reached: "
            + ", ".join(f"qconfig_dict[{path!r}] = None" for path in kept),
            module=kept[0],
            change=Change(tuple(kept), keep_float=True),
        )


def _has_observers(recording: Recording, path: str) -> bool:
    """Whether the pass put observers into that very module."""
    after = recording["insert_observers"].after
    return any(m.is_observer and m.path.rpartition(".")[0] == path for m in after.modules)


def _is_under(path: str, top: str) -> bool:
    return path == top or path.startswith(f"{top}.") or not top


def unreached_sharers(
    snapshot: Snapshot, method: str = "forward", kinds: Collection[str] = QUANTIZABLE
) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
    """(reached modules, unreached ones) of one TorchScript class, for each class that has both.

    Out of reach is what is never called, or in loops and forks alone, where torch's passes do not
    look. Only classes that get observers count: those that compute something of these kinds.
    """
    if method not in snapshot.method_names:
        return ()
    reached = {path for path, _ in reached_methods(snapshot, method, UNSEEN)}
    groups: dict[str, list[ModuleState]] = {}
    for module in snapshot.modules:
        if not module.is_observer and "forward" in module.methods:
            groups.setdefault(module.class_group, []).append(module)
    found = []
    for group in groups.values():
        inside = [module.path for module in group if module.path in reached]
        outside = [module.path for module in group if module.path not in reached]
        if inside and outside and _computes(snapshot, method, inside[0], kinds):
            found.append((tuple(inside), tuple(outside)))
    return tuple(found)


def _computes(snapshot: Snapshot, method: str, path: str, kinds: Collection[str]) -> bool:
    """Whether the module or one inside of it gets observers: of a weight, or of what is in between.

    What a module returns is observed by whoever calls it.
    """
    ops: dict[str, set[str]] = {}
    for node in snapshot.graph(method).nodes:
        if _is_under(node.module_path, path):
            ops.setdefault(node.module_path, set()).add(node.kind)
    # A batch norm reckons with the number of batches, which nobody quantizes.
    found = [each & set(kinds) for each in ops.values() if "aten::batch_norm" not in each]
    return any(each & set(WEIGHT_INPUT) for each in found) or sum(map(len, found)) > 1


def _kept_float(recording: Recording, path: str) -> bool:
    key = winning_key(recording, path)
    return key is None or recording.qconfig[key] == NO_QCONFIG


def scripted_attention(recording: Recording) -> Iterator[Finding]:
    """Attention modules of torch, scripted: torch kills the process."""
    if has_run(recording, "insert_observers"):
        return
    reached = {path for path, _ in reached_methods(recording.input, recording.method_name)}
    for module in recording.input.modules:
        if module.class_name not in ATTENTION or module.path not in reached:
            continue
        body = recording.input.bodies.get((module.class_group, "forward"))
        if body is None or not body.blocks:
            continue  # a trace has no branches, and survives
        yield Finding(
            rule="scripted_attention",
            severity=ERROR,
            title=f"scripted {module.short_class} ends the process in insert_observers",
            why="torch's pass does not survive the nested blocks of its code, with any qconfig",
            evidence=f"class {module.class_name}, {plural(len(body.blocks), 'block')}",
            remedy="Trace the model with torch.jit.trace, or write attention with nn.Linear and "
            "matmul.",
            module=module.path,
        )


def training_mode(recording: Recording) -> Iterator[Finding]:
    """A model that was not set to eval mode before it was scripted or traced."""
    graph = recording.input.graph(recording.method_name)
    traced = [node for node in graph.nodes if _is_training(recording.input, graph, node)]
    if traced:
        kinds = ", ".join(dict.fromkeys(node.kind for node in traced))
        finding = Finding(
            rule="traced_in_training",
            severity=ERROR,
            title=f"the model was traced in training mode, or is in it for good ({kinds})",
            why="training=True is a constant of its graph: batch norms are not folded, dropout "
            "stays and fails on quantized values; .eval() does not change that any more",
            evidence=plural(len(traced), "op") + " with training=True",
            remedy="Call .eval() on the eager model before tracing it; in code of your own write "
            "F.dropout(x, training=self.training), whose default is True.",
        )
        yield at_node(recording, finding, traced[0], INPUT)
        return
    flagged = [module for module in recording.input.modules if _trains(graph, module)]
    if flagged:
        yield Finding(
            rule="scripted_in_training",
            severity=WARNING,
            title="the model is in training mode",
            why="torch folds batch norms as in eval mode all the same, and calibrates with dropout "
            "switched on: ranges come out too wide",
            evidence=", ".join(repr(module.path) for module in flagged[:4]),
            remedy="Call .eval() on the model before quantizing it.",
            module=flagged[0].path,
        )


def _is_training(snapshot: Snapshot, graph: Graph, node: Node) -> bool:
    place = _TRAINING_INPUT.get(node.kind)
    if place is None or place >= len(node.inputs):
        return False
    if node.kind == "aten::batch_norm" and not keeps_statistics(snapshot, graph, node):
        return False  # it works so in eval mode too
    if "dropout" in node.kind and constant_value(graph, node.inputs[1]) in (None, (0.0,)):
        return False  # the share to drop says the same: torch's own attention computes it
    return constant_value(graph, node.inputs[place]) == (True,)


def _trains(graph: Graph, module: ModuleState) -> bool:
    """Whether the mode of the module is read in the graph, and is training."""
    if not module.training:
        return False
    wanted = f"{module.path}.training" if module.path else "training"
    return any(
        attribute_path(graph, node.outputs[0]) == wanted
        for node in graph.find("prim::GetAttr")
        if node.attributes.get("name") == "training"
    )


def broken_weights(recording: Recording) -> Iterator[Finding]:
    """Weights with NaN or infinity."""
    reached = {path for path, _ in reached_methods(recording.input, recording.method_name)}
    for module in recording.input.modules:
        for name, state in module.attributes.items():
            tensor = state.tensor
            if state.kind != "parameter" or tensor is None or not tensor.non_finite:
                continue
            if module.path in reached:
                path = f"{module.path}.{name}" if module.path else name
                yield Finding(
                    rule="broken_weight",
                    severity=ERROR,
                    title=f"{path!r} has {plural(tensor.non_finite, 'element')} that "
                    "is not a finite number",
                    why="its range is not finite either, and so its scale is not a number",
                    evidence=f"shape {tensor.shape}, the largest finite one {tensor.abs_max:.4g}",
                    remedy="Load or train the weights anew.",
                    module=module.path,
                )


def not_float32(recording: Recording) -> Iterator[Finding]:
    """Weights of another floating-point type than float32: torch quantizes that one alone."""
    if recording.mode == "on_device" or not recording.qconfig:
        return
    reached = {path for path, _ in reached_methods(recording.input, recording.method_name)}
    found = [
        (module.path, name, state.tensor.dtype)
        for module in recording.input.modules
        if module.path in reached and not _kept_float(recording, module.path)
        for name, state in module.attributes.items()
        if state.kind == "parameter"
        and state.tensor is not None
        and state.tensor.dtype in ("float64", "float16", "bfloat16")
    ]
    if found:
        path, name, dtype = found[0]
        yield Finding(
            rule="not_float32",
            severity=ERROR,
            title=f"the model's weights are {dtype}",
            why="torch quantizes float32 alone: the model converts, and fails when it is run",
            evidence=f"{plural(len(found), 'parameter')}, the first {path + '.' + name!r}",
            remedy="Call .float() on the eager model (and on its inputs) before scripting or "
            "tracing it.",
            module=path,
        )


def already_quantized(recording: Recording) -> Iterator[Finding]:
    """A model that was quantized before."""
    graph = recording.input.graph(recording.method_name)
    kernels = [node for node in graph.nodes if is_kernel(node)]
    left = QUANTIZABLE & {node.kind for node in graph.nodes}
    if kernels and not left:
        finding = Finding(
            rule="already_quantized",
            severity=WARNING,
            title="the model that was given is quantized already",
            why="nothing is left in it that could be quantized: it comes out as it went in",
            evidence=f"{plural(len(kernels), 'kernel')}, the first {kernels[0].kind}",
            remedy="Quantize the float model.",
        )
        yield at_node(recording, finding, kernels[0], INPUT)


def already_optimized(recording: Recording) -> Iterator[Finding]:
    """A model that was frozen into other ops before it was quantized."""
    graph = recording.input.graph(recording.method_name)
    kinds = {node.kind for node in graph.nodes}
    foreign = sorted(kind for kind in kinds if kind.startswith(("mkldnn::", "prim::ConvertToMKL")))
    products = [
        node
        for node in graph.find("aten::matmul")
        if any(constant_value(graph, name) is not None for name in node.inputs)
    ]
    if kinds & set(WEIGHT_INPUT) or not (foreign or products):
        return
    yield Finding(
        rule="already_optimized",
        severity=ERROR,
        title="the model was optimized for inference before it was quantized",
        why="optimize_for_inference takes layers apart (aten::linear becomes aten::matmul) or "
        "hands them to another library: no rule of torch's quantization is for these",
        evidence=", ".join(foreign)
        or plural(len(products), "aten::matmul", "aten::matmul")
        + " with a constant weight, and no layer left",
        remedy="Quantize the model first; optimize what comes out.",
    )


RULES = (
    shared_classes,
    scripted_attention,
    training_mode,
    broken_weights,
    not_float32,
    already_optimized,
    already_quantized,
)
