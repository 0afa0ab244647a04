"""`stage_lessons`: what is asked about each stage of a recording before it is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from jitq_explore.snapshots.printable import printable
from jitq_explore.snapshots.recording import Recording, StageRecord
from jitq_explore.views.lessons import counts, kernels, norms, observers, ranges, scales
from jitq_explore.views.lessons.question import Question
from jitq_explore.views.lessons.stage_texts import stage_text
from jitq_explore.views.lessons.transition import Transition

_ASKERS: tuple[Callable[[Transition], Iterator[Question]], ...] = (
    norms.ask,
    observers.ask,
    ranges.ask,
    scales.ask,
    kernels.ask,
)
"""Each asks where the stage did what it asks about, whatever the stage is called."""


@dataclass(frozen=True, slots=True)
class StageLesson:
    """A stage: what it is there for, and what a student is asked before seeing what it did."""

    stage: str
    before: str
    text: str
    questions: tuple[Question, ...]


def stage_lessons(recording: Recording) -> tuple[StageLesson, ...]:
    """One for each stage that ran, in order; every stage asks something."""
    before, found = "input", []
    for record in recording.stages:
        if record.error is None:
            found.append(_of_stage(recording, record, before))
            before = record.name
    return tuple(found)


def ended_with(recording: Recording) -> str:
    """The stage that ended with an error, in a sentence; "" where none did."""
    for record in recording.stages:
        if record.error is not None:
            return f"The run ended in {record.name} with an error. {printable(record.error.line)}"
    return ""


def _of_stage(recording: Recording, record: StageRecord, before: str) -> StageLesson:
    transition = Transition(recording, record, before)
    asked = [question for ask in _ASKERS for question in ask(transition)]
    return StageLesson(
        record.name,
        before,
        stage_text(record.name, recording.mode),
        tuple(asked) or tuple(counts.ask(transition)),
    )
