"""What is lost of the weights, what saturates, and what the model weighs."""

from __future__ import annotations

from collections.abc import Iterator

from jitq_explore.diagnostics.findings import ERROR, WARNING, Finding
from jitq_explore.diagnostics.located import at_observation, has_run, plural
from jitq_explore.diagnostics.qconfig_keys import qconfig_text
from jitq_explore.diagnostics.rules_model import not_float32
from jitq_explore.snapshots.changes import Change, choice_like
from jitq_explore.snapshots.deciding import deciding_modules
from jitq_explore.snapshots.graph import TensorSummary
from jitq_explore.snapshots.observations import Observation, observations
from jitq_explore.snapshots.recording import Recording, Snapshot
from jitq_explore.snapshots.what_if import weight_stats

LOST_ROWS = 0.05
"""Share of a weight's rows that may be rounded to zero altogether: pruned channels of healthy nets
stay below (tests); facts: 15 of 16 lost rows still read 33 dB of SQNR."""

FLOAT16_MAX = 65504.0
"""The largest number of IEEE 754 half precision: larger weights are cut off there."""

SEVEN_BITS = 127
"""Steps of an activation with `reduce_range`. With more, `vpmaddubsw` (CPUs without VNNI) adds two
products of 8-bit numbers in 16 bits and saturates: 256 becomes 128.5 (measured)."""

SATURATING_ENGINES = ("x86", "fbgemm", "onednn")

BYTES = {"float64": 8, "int64": 8, "float32": 4, "int32": 4, "qint32": 4, "float16": 2}
"""Bytes of an element of a constant; 1 for all other dtypes."""

GROWTH = 1.05
"""A model that is so much larger than before has something twice; less is bookkeeping."""


def lost_rows(recording: Recording) -> Iterator[Finding]:
    """One scale for all rows, and rows that are smaller than half of it."""
    for seen in _weights(recording):
        scale = seen.reading.scale
        stats = weight_stats(recording, seen) if len(scale) == 1 else None
        if stats is None or not stats.channel_abs_max or "transpose" in seen.op:
            continue
        rows = stats.channel_abs_max
        lost = [number for number, most in enumerate(rows) if 0 < most < scale[0] / 2]
        if len(lost) < max(1.0, LOST_ROWS * len(rows)):
            continue
        largest = rows.index(max(rows))
        choice = choice_like(seen.reading, "PerChannelMinMaxObserver")
        finding = Finding(
            rule="lost_rows",
            severity=ERROR if 2 * len(lost) > len(rows) else WARNING,
            title=f"{len(lost)} of {len(rows)} rows of the weight of "
            f"{seen.reading.module or 'the model'!r} become zero",
            why="one scale for all rows has to reach the largest, and is more than twice what "
            "these hold; the SQNR, of all values together, does not show it",
            evidence=f"row {largest} reaches {rows[largest]:.3g}, scale {scale[0]:.3g}, a lost row "
            f"{rows[lost[0]]:.3g}",
            remedy="Use a weight observer per channel (PerChannelMinMaxObserver).",
            change=Change(deciding_modules(recording, seen), weight=choice),
        )
        yield at_observation(recording, finding, seen)


def _weights(recording: Recording) -> list[Observation]:
    return [seen for seen in observations(recording) if seen.role == "weight"]


def transposed_per_channel(recording: Recording) -> Iterator[Finding]:
    """A transposed convolution with a scale per channel."""
    for seen in _weights(recording):
        if "conv_transpose" in seen.op and seen.reading.qscheme.startswith("per_channel"):
            finding = Finding(
                rule="transposed_per_channel",
                severity=ERROR,
                title=f"{seen.reading.module or 'the model'!r} is a transposed convolution with "
                "scales per channel",
                why="torch converts it and cannot run it: its kernels have no per-channel form, "
                "and the weight stays unpacked",
                evidence=f"{seen.op}, {seen.reading.short_class}",
                remedy=f"Give {seen.reading.module!r} a weight observer per tensor "
                "(default_weight_observer).",
                change=Change(
                    deciding_modules(recording, seen),
                    weight=choice_like(seen.reading, "MinMaxObserver"),
                ),
            )
            yield at_observation(recording, finding, seen)


def half_overflow(recording: Recording) -> Iterator[Finding]:
    """Weights that 16-bit floating point cannot hold."""
    for module in recording.input.modules:
        if "float16" not in qconfig_text(recording, module.path):
            continue
        weight = module.attributes.get("weight")
        if weight is None or weight.tensor is None or weight.tensor.abs_max <= FLOAT16_MAX:
            continue
        yield Finding(
            rule="float16_overflow",
            severity=ERROR,
            title=f"the weight of {module.path!r} reaches {weight.tensor.abs_max:.4g}",
            why="16-bit floating point ends at 65504: what lies beyond is cut off",
            evidence=f"largest magnitude {weight.tensor.abs_max:.6g} > {FLOAT16_MAX:g}",
            remedy="Quantize it to 8 bits instead (default_dynamic_qconfig), or keep it in float.",
            module=module.path,
            change=Change((module.path,), keep_float=True),
        )


def saturating_kernels(recording: Recording) -> Iterator[Finding]:
    """8-bit activations on a CPU whose multiplication saturates."""
    if recording.vnni is not False or recording.engine not in SATURATING_ENGINES:
        return
    wide = [
        seen
        for seen in observations(recording)
        if seen.role == "activation"
        and seen.reading.quant_min is not None
        and seen.reading.quant_max is not None
        and seen.reading.quant_max - seen.reading.quant_min > SEVEN_BITS
    ]
    if wide and recording.mode == "static":
        finding = Finding(
            rule="saturating_kernel",
            severity=WARNING,
            title="this CPU has no VNNI, and activations use all 8 bits",
            why="its vpmaddubsw adds two products in 16 bits, which saturate: large sums come out "
            "too small, without a word",
            evidence=f"{plural(len(wide), 'activation')} with {wide[0].reading.quant_min} … "
            f"{wide[0].reading.quant_max}, engine {recording.engine}",
            remedy="Use observers with reduce_range=True (get_default_qconfig('x86')).",
        )
        yield at_observation(recording, finding, wide[0])


def grown(recording: Recording) -> Iterator[Finding]:
    """A final model that is larger than the float one."""
    if not has_run(recording, "quant_finalize"):
        return
    before, after = weight_bytes(recording.input), weight_bytes(recording.last)
    if any(not_float32(recording)):
        return  # that is why: what could not be quantized is there beside its scales
    if before and after > GROWTH * before:
        yield Finding(
            rule="model_grew",
            severity=WARNING,
            title=f"the final model is {after / before:.2g} times as large as the float one",
            why="it holds weights twice: packed for a kernel, and in float for a method or module "
            "that was kept, or packed for each use of one that is shared",
            evidence=f"{after:,} bytes of tensors, before {before:,}",
            remedy="Keep no other methods (preserved_attrs), and share no module that is "
            "quantized twice.",
            stage=recording.names[-1],
        )


def weight_bytes(snapshot: Snapshot) -> int:
    """Bytes of all tensors of a model, equal ones counted once; those in its graph too."""
    found = {}
    for module in snapshot.modules:
        for state in module.attributes.values():
            if state.tensor is not None and not module.is_observer:
                found[state.tensor.digest, state.kind == "packed", state.scale] = (
                    state.tensor.nbytes
                )
    for body in snapshot.bodies.values():
        for node in body.nodes:
            value = node.attributes.get("value")
            if isinstance(value, TensorSummary):
                size = BYTES.get(value.dtype, 1)
                for count in value.shape:
                    size *= count
                found[value.digest, False, ()] = size
    return sum(found.values())


RULES = (
    lost_rows,
    transposed_per_channel,
    half_overflow,
    saturating_kernels,
    grown,
)
