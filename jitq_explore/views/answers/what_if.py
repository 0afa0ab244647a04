"""What would become of one observed value: asked by the panel in its details."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from jitq_explore.snapshots.deciding import deciding_modules
from jitq_explore.snapshots.grid import coarser
from jitq_explore.snapshots.observations import Observation, observations
from jitq_explore.snapshots.observers import Histogram, ObserverReading
from jitq_explore.snapshots.recording import Recording
from jitq_explore.snapshots.settling import (
    OBSERVERS,
    QUANT_RANGES,
    histogram_of,
    settled_range,
    stored_integers,
)
from jitq_explore.snapshots.what_if import (
    NothingToPredictError,
    Prediction,
    WhatIf,
    find_observation,
    present_range,
    what_if,
)
from jitq_explore.views.answers.pages import AskError, Book
from jitq_explore.views.answers.wording import numbers_text, plain_number
from jitq_explore.views.printable import printable

_REAL = (int, float)
_WISHES: Mapping[str, tuple[type | tuple[type, ...], str]] = {
    "observer": (str, "the name of an observer"),
    "low": (_REAL, "a number"),
    "high": (_REAL, "a number"),
    "dtype": (str, "the name of a dtype"),
    "per_channel": (bool, "true or false"),
}
"""What can be asked for, and what it must be; null leaves it as it is."""


def answer_what_if(book: Book, value: object, **wish: object) -> dict[str, object]:
    """The answer to "what_if": what is offered for a value or, with a wish, what becomes of it."""
    if len(book.runs) > 1:
        raise AskError("two runs are compared: what if is asked of one")
    recording = book.runs[0]
    wanted = {name: given for name, given in wish.items() if given is not None}
    if not wanted:
        return _offer(recording, _observation(recording, value))
    try:
        found = wished(recording, {"value": value, **wanted})
    except NothingToPredictError as error:
        return {"problem": str(error)}
    return {
        "asked": found.asked,
        "present": _prediction(found.present),
        "predicted": _prediction(found.predicted),
        "modules": _modules(found.change.modules),
        "code": found.change.code(recording.qconfig),
        "problem": "",
    }


def wished(recording: Recording, wish: Mapping[str, Any]) -> WhatIf:
    """What a page wishes for one value: `value` (the path of its observer) and what of `_WISHES`
    it gives. AskError for what cannot be; NothingToPredictError where nothing is known."""
    given = {name: each for name, each in wish.items() if name != "value" and each is not None}
    for name, each in given.items():
        if name not in _WISHES:
            raise AskError(f"unknown wish {name!r} (must be one of {list(_WISHES)})")
        kind, said = _WISHES[name]
        if not isinstance(each, kind) or (isinstance(each, bool) and kind is not bool):
            raise AskError(f"{name} must be {said}, not {each!r}")
    _observation(recording, wish.get("value"))
    try:
        return what_if(recording, wish["value"], **given)
    except NothingToPredictError:
        raise
    except ValueError as error:
        raise AskError(str(error)) from None


def _observation(recording: Recording, value: object) -> Observation:
    if not isinstance(value, str):
        raise AskError(f"value must be the path of an observer, not {value!r}")
    try:
        return find_observation(recording, value)
    except KeyError as error:
        raise AskError(str(error.args[0])) from None


def _offer(recording: Recording, seen: Observation) -> dict[str, object]:
    """The value as it is, what can be asked for, and what the page itself can compute with."""
    reading, histogram = seen.reading, histogram_of(seen.reading)
    predicted, problem = _predictions(recording, seen)
    # Of two numbers a row, which is what is known of a weight, the page computes nothing.
    counts = histogram if histogram is not None and seen.role != "weight" else None
    now = next(iter(predicted.values()), None)
    return {
        "value": printable(seen.value),
        "role": seen.role,
        "observer": reading.short_class,
        "dtype": reading.dtype,
        "quantMin": reading.quant_min,
        "quantMax": reading.quant_max,
        "stored": list(stored_integers(reading)),
        "range": list(_start(reading)),
        "isSymmetric": reading.qscheme.endswith("symmetric"),
        "present": _prediction(now.present) if now is not None else None,
        "predicted": {name: _prediction(each.predicted) for name, each in predicted.items()},
        "isNow": [name for name, made in _CLASSES.items() if made == reading.short_class],
        "ranges": {
            name: list(found) for name in OBSERVERS if (found := settled_range(reading, name))
        },
        "dtypes": {name: list(ends) for name, ends in QUANT_RANGES.items()},
        "runnable": _KERNELS[seen.role],
        "histogram": _histogram(counts) if counts is not None else None,
        "modules": _modules(deciding_modules(recording, seen)),
        "others": _others(recording, seen),
        "problem": problem,
    }


def _start(reading: ObserverReading) -> tuple[float, float]:
    """The range that is moved: the present one or, where a NaN has spoilt that, what was seen."""
    present = present_range(reading)
    if all(map(math.isfinite, present)):
        return present
    return settled_range(reading, "MinMax") or (0.0, 0.0)


_KERNELS = {"activation": "quint8", "weight": "qint8"}
"""Role -> the dtype that torch's quantized kernels take."""

PER_CHANNEL = "PerChannelMinMax"
_CLASSES = {**OBSERVERS, PER_CHANNEL: "PerChannelMinMaxObserver"}


def _predictions(recording: Recording, seen: Observation) -> tuple[dict[str, WhatIf], str]:
    """Name of an observer -> what it would make of the value; else why nothing is known."""
    found, problem = {}, ""
    for name in _CLASSES:
        wish: dict[str, Any] = {"per_channel": True} if name == PER_CHANNEL else {"observer": name}
        try:
            found[name] = what_if(recording, seen.reading.path, **wish)
        except NothingToPredictError as error:
            problem = problem or str(error)
    return found, "" if found else problem


def _others(recording: Recording, seen: Observation) -> int:
    """How many more values the same entries of the qconfig dict decide on."""
    modules = set(deciding_modules(recording, seen))
    return sum(
        other.role == seen.role
        and other.reading.path != seen.reading.path
        and not modules.isdisjoint(deciding_modules(recording, other))
        for other in observations(recording)
    )


def _prediction(made: Prediction) -> dict[str, object]:
    return {
        "scale": numbers_text(made.scale, 3),
        "zeroPoint": numbers_text(made.zero_point, 3),
        "low": plain_number(made.low),
        "high": plain_number(made.high),
        "clipped": plain_number(made.clipped),
        "sqnr": plain_number(made.sqnr),
    }


def _histogram(histogram: Histogram) -> dict[str, object]:
    """In fewer bins; `fine` has those parts bin by bin where most values lie in one (the zeros that
    a ReLU makes, say): spread over a wider bin they would be rounded where they are not."""
    counts = coarser(histogram.counts)
    size = len(histogram.counts) // len(counts)
    parts = {at: histogram.counts[size * at : size * (at + 1)] for at in range(len(counts))}
    few = _FEW * sum(counts)
    peaks = {at: part for at, part in parts.items() if max(part) > max(counts[at] / 2, few)}
    return {
        "low": histogram.low,
        "high": histogram.high,
        "counts": _short(counts),
        "fine": {str(at): _short(part) for at, part in peaks.items() if size > 1},
    }


_FEW = 2e-3
"""Of all values: what so many of them are rounded by is not heard."""


def _short(counts: Sequence[float]) -> list[float | str]:
    """All digits would be most of what a page weighs."""
    return [plain_number(float(f"{each:.5g}")) for each in counts]


def _modules(paths: tuple[str, ...]) -> list[str]:
    return [printable(path) for path in paths]
