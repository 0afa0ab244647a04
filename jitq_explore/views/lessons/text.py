"""A lesson as text: the twin of the widget."""

from __future__ import annotations

from collections.abc import Iterator

from jitq_explore.snapshots.recording import Recording
from jitq_explore.views.lessons.lesson import ended_with, stage_lessons
from jitq_explore.views.lessons.question import Choice, Question


def lesson_text(recording: Recording, *, answers: bool = False) -> str:
    """All stages and their questions; with `answers` what is right, and why."""
    lines: list[str] = []
    for number, lesson in enumerate(stage_lessons(recording), 1):
        lines += ["", f"{number}. {lesson.stage}: {lesson.text}".rstrip(": ")]
        for question in lesson.questions:
            lines += _lines(question, answers)
    end = ended_with(recording)
    lines += ["", end] if end else []
    return "\n".join(lines[1:])


def _lines(question: Question, answers: bool) -> Iterator[str]:
    yield f"   {question.prompt}"
    if isinstance(question, Choice):
        for option in question.options:
            sign = " " if not answers else "x" if option.is_right else "-"
            reason = f": {option.reason}" if answers and option.reason else ""
            yield f"     [{sign}] {option.label}{reason}"
    if answers:
        yield f"   => {question.explanation}"
