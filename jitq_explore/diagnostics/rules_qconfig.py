"""What is wrong with the qconfig dict, and what nothing was quantized for."""

from __future__ import annotations

from collections.abc import Iterator

from jitq_explore.diagnostics.findings import ERROR, INFO, WARNING, Finding
from jitq_explore.diagnostics.located import has_run
from jitq_explore.diagnostics.qconfig_keys import NO_QCONFIG, unmatched_keys
from jitq_explore.diagnostics.stage_groups import CONVERTS, PREPARES
from jitq_explore.snapshots.deciding import QUANTIZABLE, QUANTIZABLE_DYNAMICALLY
from jitq_explore.snapshots.endings import is_kernel
from jitq_explore.snapshots.quant_node import role_of
from jitq_explore.snapshots.recording import Recording

ON_DEVICE = "on_device"


def _is_quantized(recording: Recording) -> bool:
    methods = recording.last.method_names
    graphs = [recording.last.graph(name) for name in methods]
    return any(is_kernel(node) or role_of(node) for graph in graphs for node in graph.nodes)


def _converted_to_nothing(recording: Recording) -> bool:
    return has_run(recording, *CONVERTS) and not _is_quantized(recording)


def not_prepared(recording: Recording) -> Iterator[Finding]:
    """Converted, but never prepared."""
    if has_run(recording, *CONVERTS) and not any(name in PREPARES for name in recording.names):
        if _is_quantized(recording) or any(m.is_observer for m in recording.input.modules):
            return
        yield Finding(
            rule="not_prepared",
            severity=ERROR,
            title="the model was converted without having been prepared",
            why="without observers there is nothing to convert, and torch says nothing of it: the "
            "model is a float one",
            evidence="no observer in the model that was given to convert",
            remedy="Call prepare_jit and the calibration first, or quantize_jit for all of it.",
        )


def empty_qconfig(recording: Recording) -> Iterator[Finding]:
    """A qconfig dict that keeps the whole model in float."""
    if not any(name in PREPARES for name in recording.names):
        return
    if any(text != NO_QCONFIG for text in recording.qconfig.values()):
        return
    given = "is empty" if not recording.qconfig else "has None for every key"
    yield Finding(
        rule="empty_qconfig",
        severity=ERROR,
        title=f"the qconfig dict {given}: nothing is quantized",
        why="a module without a QConfig, its own or a parent's, stays in float",
        evidence=f"keys {list(recording.qconfig)}",
        remedy='Name a QConfig for the whole model: {"": get_default_qconfig("x86")}.',
    )


def unknown_keys(recording: Recording) -> Iterator[Finding]:
    """Keys that name no module."""
    for row in unmatched_keys(recording):
        if recording.mode == ON_DEVICE and row.path != "":
            continue  # there no key but "" has any effect
        nothing = _converted_to_nothing(recording)
        closest = " or ".join(map(repr, row.closest))
        yield Finding(
            rule="unknown_key",
            severity=ERROR if nothing else WARNING,
            title=f"the key {row.path!r} names no module"
            + (": nothing is quantized" if nothing else ""),
            why="torch ignores such a key, and says nothing of it",
            evidence=f"closest: {closest}" if closest else "no module has a name like it",
            remedy=f"Write {closest}." if closest else "Take it out, or name a module's path.",
        )


def nothing_quantized(recording: Recording) -> Iterator[Finding]:
    """A run that ended as it began, for none of the reasons that have a rule of their own."""
    others = (not_prepared, empty_qconfig)
    if not _converted_to_nothing(recording) or any(any(rule(recording)) for rule in others):
        return
    if unmatched_keys(recording) and len(unmatched_keys(recording)) == len(recording.qconfig):
        return
    graph = recording.input.graph(recording.method_name)
    kinds = QUANTIZABLE if recording.mode == "static" else QUANTIZABLE_DYNAMICALLY
    found = sorted({node.kind for node in graph.nodes if node.kind in kinds})
    has_some = f"it has {', '.join(found)}, which were all left out" if found else ""
    yield Finding(
        rule="nothing_quantized",
        severity=ERROR if found or recording.mode == "static" else WARNING,
        title="nothing was quantized",
        why=has_some or "the model has no op that this mode can quantize",
        evidence=f"{recording.mode.replace('_', '-')} mode",
        remedy="See the findings about single ops."
        if found
        else "Try static quantization."
        if recording.mode != "static"
        else "Quantize another part of the model.",
    )


def dynamic_qconfig(recording: Recording) -> Iterator[Finding]:
    """A qconfig for dynamic quantization in a static run."""
    if recording.mode != "static":
        return
    for key, text in recording.qconfig.items():
        if "PlaceholderObserver" in text:
            yield Finding(
                rule="dynamic_qconfig",
                severity=ERROR,
                title=f"the QConfig of {key!r} is one for dynamic quantization",
                why="its observers observe nothing: convert ends in an INTERNAL ASSERT of torch",
                evidence=text,
                remedy="Use get_default_qconfig(…), or quantize_dynamic_jit for this QConfig.",
                module=key if key in recording.input.by_path else "",
            )


def on_device_keys(recording: Recording) -> Iterator[Finding]:
    """Keys other than "" in an on-device run."""
    if recording.mode != ON_DEVICE:
        return
    for key, text in recording.qconfig.items():
        if key == "":
            continue
        ignored = text == NO_QCONFIG
        nothing = _converted_to_nothing(recording)
        effect = "it is quantized all the same" if ignored else "nothing is quantized by it"
        yield Finding(
            rule="on_device_key",
            severity=ERROR if nothing else WARNING,
            title=f"on-device quantization ignores the key {key!r}: {effect}",
            why="its passes work on one inlined method, and know the entry of the whole model only",
            evidence=f"{key!r}: {text}",
            remedy='Use the key "" alone; keep a layer in float by leaving it out of the method.',
            module=key if key in recording.input.by_path else "",
        )


def kept_methods(recording: Recording) -> Iterator[Finding]:
    """Methods besides `forward`: dropped, or kept in float."""
    base = recording.method_name
    # `__len__` and `_helper` are nobody's business but the model's own.
    others = [
        name for name in recording.input.method_names if name != base and not name.startswith("_")
    ]
    if recording.mode == ON_DEVICE or not has_run(recording, "quant_finalize"):
        return
    for name in others:
        if name not in recording.last.method_names:
            yield Finding(
                rule="dropped_method",
                severity=INFO,
                title=f"the method {name!r} is gone",
                why="freezing keeps 'forward' alone",
                evidence=f"preserved_attrs={list(recording.preserved_attrs)}",
                remedy=f"Pass preserved_attrs=[{name!r}] to keep it, in float.",
            )
            continue
        nodes = [n for n in recording.last.graph(name).nodes if n.kind in QUANTIZABLE]
        if nodes:
            yield Finding(
                rule="float_method",
                severity=WARNING,
                title=f"the method {name!r} was kept, and stays in float",
                why="the passes quantize 'forward' alone; the kept method needs the float weights, "
                "so that the model holds both",
                evidence=", ".join(dict.fromkeys(node.kind for node in nodes)),
                remedy="Make it the forward of a module of its own, and quantize that.",
                stage=recording.names[-1],
            )


RULES = (
    not_prepared,
    empty_qconfig,
    unknown_keys,
    dynamic_qconfig,
    on_device_keys,
    nothing_quantized,
    kept_methods,
)
