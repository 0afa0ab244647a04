"""Stages that failed, and what a comparison measured."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace

from jitq_explore.diagnostics.findings import ERROR, WARNING, Finding
from jitq_explore.diagnostics.located import at_node
from jitq_explore.snapshots.recording import INPUT, Recording, StageRecord

_PLACE = re.compile(r"# (\S[^#\n]*:\d+:\d+)")
"""A line of the user's in IR that a message holds."""

POOR = 20.0
"""dB of SQNR at the output: the error is a tenth of the signal, by definition of the decibel. A
judgement, not a measurement: the healthy nets of the tests lie above it."""

USELESS = 6.0
"""dB at the output: the error is half of the signal."""

KNOWN_ERRORS = (
    (
        "Unknown name",
        "preserved_attrs names something that the model does not have",
        "Name methods or attributes of the model in preserved_attrs.",
    ),
    (
        "Can't handle the access pattern of GetAttr",
        "a weight is shared, or fetched in a way that torch's passes cannot follow",
        "Freeze the model first (torch.jit.freeze), or trace it.",
    ),
    (
        "We don't have an op for quantized::conv",
        "a convolution whose padding is given as a text ('same', 'valid') has no quantized form",
        "Give the padding in numbers.",
    ),
    (
        "We don't have an op for aten::quantize_per_tensor",
        "a QConfig for dynamic quantization has no scale to quantize with",
        "Use a QConfig for static quantization, such as get_default_qconfig('x86').",
    ),
    (
        "aminmax",
        "an observer was shown values that have no minimum (integers, or nothing at all)",
        "Keep the module that makes or takes them in float.",
    ),
    (
        "Per Channel Quantization is currently disabled for transposed conv",
        "transposed convolutions have no scales per channel",
        "Give them a weight observer per tensor.",
    ),
    (
        "branches for `if` should return values that are observed consistently",
        "one branch makes a value that is quantized, the other one does not",
        "Trace the model, where a setting alone decides on the branch; else keep the module of "
        "that line in float, or make both branches end alike. A model that was prepared already "
        "also ends so.",
    ),
    (
        "outputs_[i]->uses().empty()",
        "torch's fold comes twice to the same batch norm, which is called in two places",
        "Give each place a batch norm of its own (copy.deepcopy before tracing), or script the "
        "model.",
    ),
    (
        "is not finite",
        "the calibration data has NaN or infinity",
        "Look for them with torch.isfinite.",
    ),
    (
        "packed params",
        "the quantized method was called before the one that packs the weights",
        "Call reset_observers, observe and quantize first.",
    ),
)  # fmt: skip
"""What torch's message has in it -> what it means, what helps."""


def failed(recording: Recording) -> Iterator[Finding]:
    """The stage that ended the run."""
    error = recording.error
    if error is None:
        return
    stage = recording.stages[-1]
    if error.type in _TITLES:
        yield _not_run(stage)
        return
    known = next((each for each in KNOWN_ERRORS if each[0] in error.message), None)
    lines = [line.strip() for line in error.message.splitlines() if line.strip()]
    # The line that is known says more than the last one, which may be of a graph.
    told = [line for line in lines if known is not None and known[0] in line]
    finding = Finding(
        rule="stage_failed",
        severity=ERROR,
        title=f"the stage {stage.name!r} ended with {error.type}",
        why=known[1] if known else "torch says what is in the evidence",
        evidence=[*lines[-1:], *told][-1] if lines else error.type,
        remedy=known[2] if known else "See the error's message and traceback.",
        stage=stage.name,
    )
    yield _located(recording, finding, error.message)


_TITLES = {
    "WouldCrashError": "was not run: torch's pass would crash",
    "IsolatedPassError": "was not run: it failed in the process that it was tried in",
}
"""Error that the guard or the isolation raises -> what to say of the stage."""


def _not_run(stage: StageRecord) -> Finding:
    """A stage whose pass would have ended the process."""
    assert stage.error is not None, "the stage failed"
    what, _, remedy = stage.error.message.partition("Remedy: ")
    remedy = remedy.replace("Remedy: ", "").strip()
    return Finding(
        rule="stage_failed",
        severity=ERROR,
        title=f"the stage {stage.name!r} {_TITLES[stage.error.type]}",
        why=what.partition("torch's pass would crash. ")[2].strip() or what.strip(),
        evidence=f"{stage.error.type}; this process is unharmed",
        remedy=remedy[:1].upper() + remedy[1:] or "See the error's message.",
        stage=stage.name,
    )


def _located(recording: Recording, finding: Finding, message: str) -> Finding:
    """The finding at the node of the model whose line stands first in the message, if any."""
    graph = recording.input.graph(recording.method_name)
    for place in _PLACE.findall(message):
        for node in graph.nodes:
            if place in node.frames and node.blocks:
                found = at_node(recording, finding, node, INPUT)
                return replace(found, source=place)
    return finding


def poor_output(recording: Recording) -> Iterator[Finding]:
    """A model whose output has little to do with the float one."""
    numerics = recording.numerics
    if numerics is None or not numerics.stages:
        return
    stage = numerics.stages[-1]
    outputs = [out for out in numerics.outputs if out.stage == stage and not math.isnan(out.sqnr)]
    worst = min(outputs, key=lambda out: out.sqnr, default=None)
    if worst is None or worst.sqnr >= POOR:
        return
    ranked = numerics.rank(stage)
    culprit = ranked[0] if ranked else None
    finding = Finding(
        rule="poor_output",
        severity=ERROR if worst.sqnr < USELESS else WARNING,
        title=f"{worst.name} has an SQNR of {worst.sqnr:.1f} dB",
        why="quantization changed the output by "
        f"{10 ** (-worst.sqnr / 20):.0%} of its size, and torch says nothing of it",
        evidence=f"most is made by {culprit.kind} of {culprit.module!r} "
        f"({min(culprit.own_sqnr, culprit.own_channel_sqnr):.1f} dB)"
        if culprit
        else f"{worst.batches} batches",
        remedy="See jq.recommend(session); or keep the modules that cost most in float.",
        stage=stage,
        module=culprit.module if culprit else "",
    )
    graph = recording.snapshot(stage).graph()
    if culprit is not None and culprit.node in graph.by_id:
        finding = at_node(recording, finding, graph.by_id[culprit.node], stage, culprit.module)
    yield finding


RULES = (failed, poor_output)
