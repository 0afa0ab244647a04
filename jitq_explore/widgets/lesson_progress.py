"""How far a student has come in a lesson: a small frozen object with its moves."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import cast

from jitq_explore.views.lessons.lesson import StageLesson
from jitq_explore.views.lessons.question import Choice, Verdict

Given = Collection[int] | float
"""An answer: the numbers of the options chosen, or a number."""


@dataclass(frozen=True)
class LessonProgress:
    """Which stage is being asked about, and what was scored.

    `verdicts` are those of the present stage's questions, once they were answered; `score` is what
    all answers so far made, out of `asked`.
    """

    lessons: tuple[StageLesson, ...]
    at: int = 0
    verdicts: tuple[Verdict, ...] = ()
    scores: tuple[float, ...] = field(default=())

    @property
    def lesson(self) -> StageLesson:
        """The present stage."""
        return self.lessons[self.at]

    @property
    def is_revealed(self) -> bool:
        """Whether the present stage was answered, so that it may be shown."""
        return bool(self.verdicts)

    @property
    def is_over(self) -> bool:
        """Whether the last stage was answered."""
        return self.is_revealed and self.at == len(self.lessons) - 1

    @property
    def score(self) -> float:
        """Of `asked`."""
        return sum(self.scores)

    @property
    def asked(self) -> int:
        """How many questions were answered so far."""
        return len(self.scores)

    def answer(self, given: Collection[Given]) -> LessonProgress:
        """The present stage's questions answered, one answer each; a second try changes nothing.

        ValueError where their numbers differ.
        """
        if self.is_revealed:
            return self
        pairs = zip(self.lesson.questions, given, strict=True)
        verdicts = tuple(
            question.mark(cast("Collection[int]", one))
            if isinstance(question, Choice)
            else question.mark(cast("float", one))
            for question, one in pairs
        )
        scores = self.scores + tuple(verdict.score for verdict in verdicts)
        return replace(self, verdicts=verdicts, scores=scores)

    def next(self) -> LessonProgress:
        """On to the next stage, once this one was answered."""
        if not self.is_revealed or self.is_over:
            return self
        return replace(self, at=self.at + 1, verdicts=())
