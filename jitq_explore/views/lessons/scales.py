"""What will the scale be, and what the zero point?"""

from __future__ import annotations

from collections.abc import Iterator

from jitq_explore.diagnostics.stage_groups import base_name
from jitq_explore.snapshots.lineage import module_of
from jitq_explore.snapshots.observations import Observation, observations, observing_stage
from jitq_explore.snapshots.printable import printable
from jitq_explore.snapshots.qparams import qparams_of
from jitq_explore.snapshots.quant_node import role_of
from jitq_explore.views.answers.wording import number_text
from jitq_explore.views.lessons.question import Number, Question
from jitq_explore.views.lessons.transition import Transition

_TOLERANCE = 0.02
"""Of a scale: what a pocket calculator and rounded ends leave."""


def ask(transition: Transition) -> Iterator[Question]:
    """Asked where ranges become scales, of values whose range says what the scale is."""
    if not _ranges_become_scales(transition):
        return
    seen = [each for each in observations(transition.recording) if _follows_from_range(each)]
    affine = [each for each in seen if each.reading.qscheme == "per_tensor_affine"]
    symmetric = [each for each in seen if each.reading.qscheme.endswith("symmetric")]
    for found in (affine, symmetric):
        if found:
            yield _scale(transition, found[len(found) // 2])
    shifted = [each for each in affine if each.reading.zero_point[0] != each.reading.quant_min]
    if shifted:
        yield _zero_point(transition, shifted[len(shifted) // 2])


def _ranges_become_scales(transition: Transition) -> bool:
    """Whether the stage put quantize nodes in place of observers that had seen something.

    On the device the observers see something later, and a method of its own computes the scales.
    """
    if transition.recording.mode == "on_device":
        return base_name(transition.stage) == "quantize"
    found = transition.diff
    replaced = any(node.is_observer for node in found.removed)
    return replaced and any(role_of(node) for node in found.added)


def _follows_from_range(seen: Observation) -> bool:
    """Whether the scale is what the ends give: a histogram observer may settle on a part.

    A range without a width, such as that of a norm's untrained weight, asks nothing of anybody.
    """
    reading = seen.reading
    if not (reading.calibrated and reading.scale and reading.minimum):
        return False
    if reading.minimum[0] == reading.maximum[0]:
        return False
    if reading.quant_min is None or reading.quant_max is None:
        return False
    found = qparams_of(reading, reading.minimum, reading.maximum)
    return abs(found.scale[0] - reading.scale[0]) <= _TOLERANCE / 10 * reading.scale[0]


def _scale(transition: Transition, seen: Observation) -> Number:
    reading = seen.reading
    steps = _steps(seen)
    low, high = reading.minimum[0], reading.maximum[0]
    if reading.qscheme.endswith("symmetric"):
        whole, parts = max(-low, high), steps / 2
        how = (
            "Symmetric: zero stays in the middle, so the largest magnitude, "
            f"{number_text(whole)}, takes half of the {steps} steps"
        )
    else:
        whole, parts = max(high, 0.0) - min(low, 0.0), steps
        how = "The width of the range, zero included, over the steps"
    scale = number_text(reading.scale[0])
    equals = "=" if number_text(whole / parts) == scale else "≈"
    return Number(
        f"{_introduced(transition, seen)} What will the scale be?",
        reading.scale[0],
        _TOLERANCE * reading.scale[0],
        f"{how}: {number_text(whole)} / {parts:g} {equals} {scale}.",
    )


def _zero_point(transition: Transition, seen: Observation) -> Number:
    reading = seen.reading
    low = min(reading.minimum[0], 0.0)
    return Number(
        f"{_introduced(transition, seen)} Its scale is {number_text(reading.scale[0])}. Which "
        "integer will stand for 0 (the zero point)?",
        reading.zero_point[0],
        0.5,
        f"The least integer, {reading.quant_min}, stands for {number_text(low)}; 0 lies "
        f"{number_text(-low)} / {number_text(reading.scale[0])} steps above it, rounded: "
        f"{reading.zero_point[0]:g}.",
    )


def _steps(seen: Observation) -> int:
    return (seen.reading.quant_max or 0) - (seen.reading.quant_min or 0)


def _introduced(transition: Transition, seen: Observation) -> str:
    reading = seen.reading
    channel = " its first channel" if len(reading.minimum) > 1 else ""
    role = "The weight" if seen.role == "weight" else "The value"
    owner = reading.module or _using(transition, seen)
    module = f" of {printable(owner)}" if owner else ""
    return (
        f"{role} %{printable(seen.value)}{module}: the observer saw"
        f"{' in' + channel if channel else ''} {number_text(reading.minimum[0])} … "
        f"{number_text(reading.maximum[0])}; "
        f"{reading.dtype} here has the integers {reading.quant_min} … {reading.quant_max}, "
        f"{reading.qscheme.replace('_', ' ')}."
    )


def _using(transition: Transition, seen: Observation) -> str:
    """The module that takes a weight whose observer the whole model owns, as on the device."""
    stage = observing_stage(transition.recording)
    if stage is None or seen.role != "weight":
        return ""
    users = stage.after.graph().consumers.get(seen.node.outputs[0], ())
    return module_of(transition.recording, stage.name, users[0]) if users else ""
