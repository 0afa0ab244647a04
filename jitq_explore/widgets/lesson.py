"""`lesson`: predict what a stage does, then see it, and why."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from importlib import resources

import ipywidgets as widgets

from jitq_explore.snapshots.recording import INPUT, Recording
from jitq_explore.views.answers.answers import Answers
from jitq_explore.views.lessons.lesson import ended_with, stage_lessons
from jitq_explore.widgets.lesson_forms import Form, form_of
from jitq_explore.widgets.lesson_progress import LessonProgress

_LEAST_SCALE = 0.9
"""Pixels for a point of a drawing, so that its smallest text can still be read."""

_FRAME = 24
"""Pixels around a drawing."""

_STYLE = resources.files("jitq_explore.widgets").joinpath("lesson.css").read_text("utf-8")


def lesson(recording: Recording) -> Lesson:
    """A lesson about any recording: at each stage, predict what it will do; then see it, and why.

    The questions are made of the recording: which batch norms are folded, which values observed,
    whose range is widest, what scale and zero point follow, which ops become kernels. In a terminal
    `views.lessons.text.lesson_text` prints them.

    TypeError for anything but a recording, ValueError for one without a stage.
    """
    if not isinstance(recording, Recording):
        raise TypeError(
            f"a lesson needs a Recording, got {type(recording).__name__}; of a session it is "
            "session.recording, and jq.load reads one from a file"
        )
    lessons = stage_lessons(recording)
    end = ended_with(recording)
    if not lessons:
        why = end or "no stage has run; session.run() runs them all"
        raise ValueError(f"nothing to ask: {why}")
    return Lesson(Answers.of(recording), LessonProgress(lessons), end)


class Lesson(widgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """The widget: what is there before a stage, the questions about it, then what it did."""

    def __init__(self, answers: Answers, progress: LessonProgress, end: str = "") -> None:
        self._answers, self.progress, self._end = answers, progress, end
        self._forms: list[Form] = []
        super().__init__()
        self.add_class("jitq-lesson")
        self._show()

    def _show(self) -> None:
        lesson = self.progress.lesson
        self._forms = [form_of(question) for question in lesson.questions]
        self._check = _button("Check", self._on_check, "Marks the answers and shows the stage")
        self._next = _button("Next stage", self._on_next, "Asks about the stage after this one")
        self._next.layout.display = "none"
        self._heading, self._picture = widgets.HTML(), widgets.HTML()
        self._fill(f"The graph that {lesson.stage} is given", lesson.before, "after")
        forms = [form.widget for form in self._forms]
        side = widgets.VBox([*forms, widgets.HBox([self._check, self._next])])
        side.add_class("jitq-lesson-questions")
        both = widgets.Box([self._picture, side])
        both.add_class("jitq-lesson-both")
        self.children = (widgets.HTML(f"<style>{_STYLE}</style>"), self._heading, both)

    def _fill(self, caption: str, stage: str, side: str) -> None:
        progress = self.progress
        name = html.escape(progress.lesson.stage)
        scored = f"{progress.score:.3g} of {progress.asked} points" if progress.asked else ""
        scored = f"The end: {scored}" if progress.is_over else scored
        end = f"<p>{html.escape(self._end)}</p>" if progress.is_over and self._end else ""
        self._heading.value = (
            f'<div class="jitq-lesson-head"><h3>{name}</h3>'
            f"<span>stage {progress.at + 1} of {len(progress.lessons)}</span>"
            f"<b>{scored}</b></div><p>{html.escape(progress.lesson.text)}</p>{end}"
        )
        answer = self._answers.answer("drawing", {"stage": stage, "side": side})
        assert isinstance(answer, dict)
        least = answer.get("width", 0.0) * _LEAST_SCALE
        # Where there is no room for that beside the questions, they come below.
        self._picture.layout.flex = f"1 1 {least + _FRAME:.0f}px"
        self._picture.value = _figure(answer, least, caption, stage, side)

    def _on_check(self, _: object) -> None:
        self.progress = self.progress.answer([form.given for form in self._forms])
        for form, verdict in zip(self._forms, self.progress.verdicts, strict=True):
            form.reveal(verdict)
        stage = self.progress.lesson.stage
        self._fill(f"What {stage} did: + added, − removed, ~ changed", stage, "union")
        self._check.layout.display = "none"
        if not self.progress.is_over:
            self._next.layout.display = None

    def _on_next(self, _: object) -> None:
        further = self.progress.next()
        if further is not self.progress:
            self.progress = further
            self._show()


def _figure(answer: Mapping[str, object], least: float, caption: str, stage: str, side: str) -> str:
    """The drawing, at least that wide in pixels, with what is said above and below it."""
    problem = answer.get("error") or answer.get("problem")
    picture = f"<pre>{html.escape(str(problem))}</pre>" if problem else str(answer["svg"])
    if side == "after" and stage != INPUT and _is_marked(picture):
        caption += f"; marked is what {stage} did"
    note = html.escape(str(answer.get("note", "")))
    return (
        f'<figure class="jitq-lesson-figure jitq-lesson-{side}">'
        f"<figcaption>{html.escape(caption)}</figcaption>"
        f'<div class="jitq-lesson-sheet" style="--jitq-lesson-least: {least:.0f}px" tabindex="0" '
        f'role="img" aria-label="{html.escape(caption)}">{picture}</div>'
        f'<p class="jitq-lesson-note">{note}</p></figure>'
    )


def _is_marked(svg: str) -> bool:
    """Whether a drawing of what is there has boxes that are new, or changed."""
    return 'class="row added"' in svg or 'class="row changed"' in svg


def _button(label: str, pressed: Callable[[object], None], hint: str) -> widgets.Button:
    button = widgets.Button(description=label, tooltip=hint)
    button.on_click(pressed)
    return button
