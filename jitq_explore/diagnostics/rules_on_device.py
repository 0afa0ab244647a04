"""What goes wrong on the way to a model that quantizes itself on the device."""

from __future__ import annotations

from collections.abc import Iterator

from jitq_explore.diagnostics.findings import ERROR, INFO, Finding
from jitq_explore.diagnostics.located import at_node, has_run
from jitq_explore.snapshots.endings import is_kernel
from jitq_explore.snapshots.graph import attribute_path
from jitq_explore.snapshots.observations import WEIGHT_INPUT
from jitq_explore.snapshots.recording import Recording


def wrong_fold(recording: Recording) -> Iterator[Finding]:
    """Batch norms folded into the weights, and computed once more."""
    if recording.mode != "on_device" or "fold_conv_bn" not in recording:
        return
    stage = recording["fold_conv_bn"]
    before, after = stage.before.by_path, stage.after.by_path
    graph = stage.after.graph()
    for norm in graph.find("aten::batch_norm"):
        layer = graph.producers.get(norm.inputs[0])
        place = WEIGHT_INPUT.get(layer.kind) if layer is not None else None
        weight = attribute_path(graph, layer.inputs[place]) if layer and place else None
        if weight is None:
            continue
        path, _, name = weight.rpartition(".")
        old, new = before[path].attributes.get(name), after[path].attributes.get(name)
        if old is None or new is None or old.tensor == new.tensor:
            continue
        finding = Finding(
            rule="on_device_norm",
            severity=ERROR,
            title=f"the batch norm {norm.module_path!r} is applied twice",
            why="the passes fold it into the weight of the submodule, and the inlined method "
            "computes it all the same: even the prepared float model is wrong",
            evidence=f"the weight {weight!r} was changed, and {norm.kind} is still there",
            remedy="Fold the batch norms before (torch.nn.utils.fusion.fuse_conv_bn_eval), or use "
            "torch.jit.freeze, which folds them, first.",
        )
        yield at_node(recording, finding, norm, stage.name, norm.module_path)


def not_packed(recording: Recording) -> Iterator[Finding]:
    """A model whose quantized method has no weights yet."""
    name = f"quantized_{recording.method_name}"
    if recording.mode != "on_device" or name not in recording.last.method_names:
        return
    if has_run(recording, "quantize"):
        return
    graph = recording.last.graph(name)
    kernels = [node for node in graph.nodes if is_kernel(node)]
    if kernels:
        tried = recording.error is not None and recording.stages[-1].name == "quantized_run"
        finding = Finding(
            rule="on_device_order",
            severity=ERROR if tried else INFO,
            title=f"{name!r} cannot be called yet",
            why="its packed weights are empty until the device has run "
            f"'reset_observers_{recording.method_name}', 'observe_{recording.method_name}' and "
            f"'quantize_{recording.method_name}', in that order: called before, it ends in an "
            "INTERNAL ASSERT",
            evidence=f"{len(kernels)} kernels, no weight packed so far",
            remedy="Call the three methods first; Session.on_device(…, inputs=…) tries it.",
        )
        yield at_node(recording, finding, kernels[0], recording.names[-1])


RULES = (wrong_fold, not_packed)
