"""Which value will turn out to have the widest range?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jitq_explore.snapshots.observations import Observation, observations
from jitq_explore.snapshots.printable import printable
from jitq_explore.views.answers.wording import number_text
from jitq_explore.views.lessons.question import Choice, Option, Question
from jitq_explore.views.lessons.transition import Transition, spread

_OPTIONS = 4


def ask(transition: Transition) -> Iterator[Question]:
    """Asked where a stage let observers of activations see something for the first time."""
    seen_before = _seen(transition, transition.before)
    seen = [
        each
        for each in observations(transition.recording)
        if each.role == "activation"
        and each.reading.path in _seen(transition, transition.stage) - seen_before
        and len(each.reading.minimum) == 1
    ]
    if len(seen) < 2:
        return
    asked = spread(seen, _OPTIONS)
    widest = max(map(_width, asked))
    yield Choice(
        "Which of these values will have the widest range?",
        tuple(_option(transition, each, widest) for each in asked),
        f"A wide range means large steps: {_integers(asked)} have to cover it. Sums (residual "
        "connections, wide linear layers) widen a range, a relu cuts it off at 0.",
        is_single=True,
    )


def _seen(transition: Transition, stage: str) -> set[str]:
    """The paths of the observers that had seen something after a stage."""
    snapshot = transition.recording.snapshot(stage)
    return {path for path, reading in snapshot.readings.items() if reading.calibrated}


def _width(seen: Observation) -> float:
    return seen.reading.maximum[0] - seen.reading.minimum[0]


def _integers(asked: Sequence[Observation]) -> str:
    """How many integers there are for a range, where they all have as many."""
    ends = {(each.reading.quant_min, each.reading.quant_max) for each in asked}
    least, most = ends.pop()
    if ends or least is None or most is None:
        return "its integers"
    return f"{most - least + 1} integers"


def _option(transition: Transition, seen: Observation, widest: float) -> Option:
    low, high = seen.reading.minimum[0], seen.reading.maximum[0]
    what = "the model's input" if seen.op == "input" else f"result of {printable(seen.op)}"
    module = f" in {printable(seen.reading.module)}" if seen.reading.module else ""
    return Option(
        f"%{printable(seen.value)}: {what}{module}",
        _width(seen) == widest,
        f"{number_text(low)} … {number_text(high)}, a width of {number_text(high - low)}",
    )
