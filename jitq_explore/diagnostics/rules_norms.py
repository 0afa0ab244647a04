"""Batch norms: folded wrongly, not folded, without statistics, observed."""

from __future__ import annotations

from collections.abc import Iterator

from jitq_explore.diagnostics.findings import ERROR, INFO, Finding
from jitq_explore.diagnostics.located import at_node, at_observation, plural
from jitq_explore.diagnostics.stage_groups import base_name
from jitq_explore.snapshots.changes import Change
from jitq_explore.snapshots.graph import Graph, Node, attribute_path, constant_value
from jitq_explore.snapshots.modules import ModuleState
from jitq_explore.snapshots.observations import WEIGHT_INPUT, Observation, observations
from jitq_explore.snapshots.recording import INPUT, Recording, Snapshot, StageRecord
from jitq_explore.snapshots.source import short_source

NORMS = frozenset(
    f"aten::{name}" for name in ("batch_norm", "layer_norm", "group_norm", "instance_norm")
)

FOLDED_CLASSES = {
    "torch.nn.modules.conv.Conv2d": "torch.nn.modules.batchnorm.BatchNorm2d",
    "torch.nn.modules.conv.Conv3d": "torch.nn.modules.batchnorm.BatchNorm3d",
}
"""Layer -> the norm that torch folds into it: it goes by these names, and takes no subclass."""

_BY_HAND = "torch.nn.utils.fusion.fuse_conv_bn_eval"


def double_fold(recording: Recording) -> Iterator[Finding]:
    """One layer with a folded norm behind it, and called elsewhere too: all get the new weight.

    It may come before two norms, or before a norm here and before something else there.
    """
    if "fold_conv_bn" not in recording.planned:
        return
    graph = recording.input.graph(recording.method_name)
    kept = _kept(recording)
    for weight, calls in _calls_by_weight(graph).items():
        norms = {norm.module_path: norm for call in calls if (norm := _norm_behind(graph, call))}
        folded = [
            path
            for path, norm in norms.items()
            if path not in kept and _why_not_folded(recording.input, graph, norm) is None
        ]
        without = [call for call in calls if _norm_behind(graph, call) is None]
        if not folded or len(norms) + len(without) < 2:
            continue
        layer = weight.rpartition(".")[0]
        also = f" and is also called {plural(len(without), 'time')} without any"
        finding = Finding(
            rule="double_fold",
            severity=ERROR,
            title=f"{layer!r} comes before {plural(len(norms), 'batch norm')}"
            + (also if without else ""),
            why="torch folds every one of them into the weight of the layer that they share: each "
            "branch computes with a wrong weight, and nothing says so"
            if len(folded) > 1
            else f"torch folds {folded[0]!r} into the weight of the layer: every other call of it "
            "computes with a wrong weight, and nothing says so",
            evidence="; also called at ".join([", ".join(map(repr, norms)), *_lines(without)]),
            remedy="Give each batch norm a layer of its own (copy.deepcopy before scripting)."
            if not without
            else "Give each of the calls a layer of its own (copy.deepcopy before scripting).",
            module=layer,
        )
        yield at_node(recording, finding, norms[folded[0]], INPUT, layer)


def _calls_by_weight(graph: Graph) -> dict[str, list[Node]]:
    """Path of a layer's weight -> the nodes that compute with it."""
    found: dict[str, list[Node]] = {}
    for node in graph.nodes:
        place = WEIGHT_INPUT.get(node.kind)
        weight = attribute_path(graph, node.inputs[place]) if place is not None else None
        if weight is not None:
            found.setdefault(weight, []).append(node)
    return found


def _kept(recording: Recording) -> frozenset[str]:
    """The modules of the norms that were not folded; of none where nothing was folded so far."""
    stage = _folding(recording)
    if stage is None or stage.error is not None:
        return frozenset()
    graph = stage.after.graph(recording.method_name)
    return frozenset(norm.module_path for norm in graph.find("aten::batch_norm"))


def _folding(recording: Recording) -> StageRecord | None:
    return next((s for s in recording if base_name(s.name) == "fold_conv_bn"), None)


def _lines(nodes: list[Node]) -> list[str]:
    return list(dict.fromkeys(short_source(node.source) for node in nodes if node.source))


def _norm_behind(graph: Graph, layer: Node) -> Node | None:
    """The batch norm that takes what the layer makes."""
    users = graph.consumers.get(layer.outputs[0], ())
    return next((user for user in users if user.kind == "aten::batch_norm"), None)


def norm_kept(recording: Recording) -> Iterator[Finding]:
    """Batch norms that were not folded."""
    stage = _folding(recording)
    if stage is None or stage.error is not None or recording.mode == "on_device":
        return
    graph = stage.after.graph(recording.method_name)
    for norm in graph.find("aten::batch_norm"):
        if constant_value(graph, norm.inputs[5]) == (True,):
            continue  # it works in training mode: that is said elsewhere
        why, remedy = _why_not_folded(stage.after, graph, norm) or _why_not_matched(graph, norm)
        finding = Finding(
            rule="norm_not_folded",
            severity=INFO,
            title=f"the batch norm {norm.module_path!r} was not folded",
            why=why,
            evidence=f"{norm.kind} is still there after {stage.name!r}",
            remedy=remedy,
        )
        yield at_node(recording, finding, norm, stage.name, norm.module_path)


def _why_not_folded(snapshot: Snapshot, graph: Graph, norm: Node) -> tuple[str, str] | None:
    """Why torch's pass passes over the norm, and what helps; None where it need not."""
    layer = graph.producers.get(norm.inputs[0])
    given = layer.kind if layer is not None else "the model's input"
    if layer is None or given not in WEIGHT_INPUT:
        return (
            f"torch folds a norm that directly follows a convolution, and this one takes {given}",
            "Put the norm right behind the convolution, if the model can be retrained.",
        )
    others = [
        user.kind
        for user in graph.consumers[norm.inputs[0]]
        if user.id != norm.id and not _asks_for_shape(graph, user)
    ]
    returned = norm.inputs[0] in graph.outputs
    if others or returned:
        taker = "is returned by the model" if returned else f"goes to {others[0]} too"
        return (
            f"what the layer makes {taker}: that needs it as it is, without the norm",
            "Give the norm a layer of its own (copy.deepcopy before scripting), if it is worth "
            "the time of a second one.",
        )
    classes = [_class_at(snapshot, node.module_path) for node in (layer, norm)]
    if FOLDED_CLASSES.get(classes[0]) != classes[1]:
        pairs = " and ".join(" with ".join(map(_short, pair)) for pair in FOLDED_CLASSES.items())
        is_linear = given == "aten::linear"
        return (
            f"torch folds {pairs} alone, by the names of these classes; here are "
            f"{' and '.join(map(_short, classes))}",
            "Fold it before quantizing, on the eager model in eval mode: "
            + ("torch.nn.utils.fusion.fuse_linear_bn_eval." if is_linear else f"{_BY_HAND}."),
        )
    return None


def _why_not_matched(graph: Graph, norm: Node) -> tuple[str, str]:
    """The same for what could have been folded."""
    layer = graph.producers[norm.inputs[0]]
    calls = [node for node in graph.find(layer.kind) if node.module_path == layer.module_path]
    if len(calls) > 1:
        return (
            f"the layer is called {len(calls)} times, and of these torch folds the first alone",
            "Give each of the calls a layer of its own (copy.deepcopy before tracing).",
        )
    return (
        "torch folds a norm that the same method calls right after the convolution, and here they "
        "are called by two methods, or something stands between them",
        f"Call both in one method, one right after the other, or fold it before: {_BY_HAND}.",
    )


def _asks_for_shape(graph: Graph, node: Node) -> bool:
    """Whether what a node makes is no tensor: `x.dim()`, `x.size(1)`."""
    return not any("Tensor" in graph.values[name].type for name in node.outputs)


def _class_at(snapshot: Snapshot, path: str) -> str:
    state = snapshot.by_path.get(path)
    return state.class_name if state is not None else ""


def _short(class_name: str) -> str:
    return class_name.rpartition(".")[2] or "a function"


def no_statistics(recording: Recording) -> Iterator[Finding]:
    """Batch norms that keep no running statistics: each batch's own are computed at every call."""
    if recording.mode != "static":
        return
    graph = recording.input.graph(recording.method_name)
    for norm in graph.find("aten::batch_norm"):
        if not keeps_statistics(recording.input, graph, norm):
            finding = Finding(
                rule="norm_without_statistics",
                severity=ERROR,
                title=f"the batch norm {norm.module_path!r} has no running statistics",
                why="it computes those of each batch, also in eval mode; the quantized kernel "
                "needs them beforehand, and quant_finalize fails",
                evidence="running_mean is None (track_running_stats=False)",
                remedy="Train it with track_running_stats=True, or use nn.GroupNorm, which has a "
                "quantized kernel and needs none.",
            )
            yield at_node(recording, finding, norm, INPUT, norm.module_path)


def keeps_statistics(snapshot: Snapshot, graph: Graph, norm: Node) -> bool:
    """Whether a batch norm has running statistics to use in eval mode."""
    if constant_value(graph, norm.inputs[3]) == (None,):
        return False
    state: ModuleState | None = snapshot.by_path.get(norm.module_path)
    mean = state.attributes.get("running_mean") if state is not None else None
    return mean is None or mean.type != "NoneType"


def norm_parameters(recording: Recording) -> Iterator[Finding]:
    """Observers on the parameters of a norm."""
    first: dict[str, Observation] = {}
    counts: dict[str, int] = {}
    for seen in observations(recording):
        if seen.role == "weight" and seen.op in NORMS:
            first.setdefault(seen.reading.module, seen)
            counts[seen.reading.module] = counts.get(seen.reading.module, 0) + 1
    for module, seen in first.items():
        batch = seen.op == "aten::batch_norm"
        finding = Finding(
            rule="norm_parameter",
            severity=INFO,
            title=f"parameters of the norm {module!r} are observed",
            why="they are rounded to 8 bits, and turned back into real numbers for the kernel: "
            "precision is lost, and nothing gained",
            evidence=f"{plural(counts[module], 'observer')} on inputs of {seen.op}",
            remedy=f"Keep {module!r} in float, or script the model instead of tracing it."
            if batch
            else f"Keep {module!r} in float if its precision matters.",
            change=Change((module,), keep_float=True),
        )
        yield at_observation(recording, finding, seen)


RULES = (double_fold, no_statistics, norm_kept, norm_parameters)
