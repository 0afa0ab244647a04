"""What will the scale be, and what the zero point?"""

from __future__ import annotations

from collections.abc import Iterator

from jitq_explore.snapshots.observations import Observation, observations
from jitq_explore.snapshots.printable import printable
from jitq_explore.snapshots.qparams import qparams_of
from jitq_explore.snapshots.quant_node import role_of
from jitq_explore.views.answers.wording import number_text
from jitq_explore.views.lessons.question import Number, Question
from jitq_explore.views.lessons.transition import Transition

_TOLERANCE = 0.02
"""Of a scale: what a pocket calculator and rounded ends leave."""


def ask(transition: Transition) -> Iterator[Question]:
    """Asked where a stage put quantize nodes in, of values whose range says what the scale is."""
    if not any(role_of(node) for node in transition.diff.added):
        return
    seen = [each for each in observations(transition.recording) if _follows_from_range(each)]
    affine = [each for each in seen if each.reading.qscheme == "per_tensor_affine"]
    symmetric = [each for each in seen if each.reading.qscheme.endswith("symmetric")]
    for found in (affine, symmetric):
        if found:
            yield _scale(found[len(found) // 2])
    shifted = [each for each in affine if each.reading.zero_point[0] != each.reading.quant_min]
    if shifted:
        yield _zero_point(shifted[len(shifted) // 2])


def _follows_from_range(seen: Observation) -> bool:
    """Whether the scale is what the ends give: a histogram observer may settle on a part."""
    reading = seen.reading
    if not (reading.calibrated and reading.scale and reading.minimum):
        return False
    if reading.quant_min is None or reading.quant_max is None:
        return False
    found = qparams_of(reading, reading.minimum, reading.maximum)
    return abs(found.scale[0] - reading.scale[0]) <= _TOLERANCE / 10 * reading.scale[0]


def _scale(seen: Observation) -> Number:
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
        f"{_introduced(seen)} What will the scale be?",
        reading.scale[0],
        _TOLERANCE * reading.scale[0],
        f"{how}: {number_text(whole)} / {parts:g} {equals} {scale}.",
    )


def _zero_point(seen: Observation) -> Number:
    reading = seen.reading
    low = min(reading.minimum[0], 0.0)
    return Number(
        f"{_introduced(seen)} Its scale is {number_text(reading.scale[0])}. Which integer will "
        "stand for 0 (the zero point)?",
        reading.zero_point[0],
        0.5,
        f"The least integer, {reading.quant_min}, stands for {number_text(low)}; 0 lies "
        f"{number_text(-low)} / {number_text(reading.scale[0])} steps above it, rounded: "
        f"{reading.zero_point[0]:g}.",
    )


def _steps(seen: Observation) -> int:
    return (seen.reading.quant_max or 0) - (seen.reading.quant_min or 0)


def _introduced(seen: Observation) -> str:
    reading = seen.reading
    channel = " its first channel" if len(reading.minimum) > 1 else ""
    role = "The weight" if seen.role == "weight" else "The value"
    module = f" of {printable(reading.module)}" if reading.module else ""
    return (
        f"{role} %{printable(seen.value)}{module}: the observer saw"
        f"{' in' + channel if channel else ''} {number_text(reading.minimum[0])} … "
        f"{number_text(reading.maximum[0])}; "
        f"{reading.dtype} here has the integers {reading.quant_min} … {reading.quant_max}, "
        f"{reading.qscheme.replace('_', ' ')}."
    )
