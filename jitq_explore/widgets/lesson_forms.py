"""The fields of a lesson's questions, and what is said beneath them once they are answered."""

from __future__ import annotations

import html
from typing import Protocol

import ipywidgets as widgets

from jitq_explore.views.lessons.question import Choice, Number, Option, Question, Verdict
from jitq_explore.widgets.lesson_progress import Given


class Form(Protocol):
    """The fields of one question."""

    widget: widgets.VBox

    @property
    def given(self) -> Given:
        """What was answered."""

    def reveal(self, verdict: Verdict) -> None:
        """Say what is right and why; the fields are closed."""


def form_of(question: Question) -> Form:
    """The fields for that kind of question."""
    if isinstance(question, Number):
        return _NumberForm(question)
    return _RadioForm(question) if question.is_single else _CheckForm(question)


class _CheckForm:
    """A box to tick for every option, and beneath it the reason."""

    def __init__(self, question: Choice) -> None:
        self.question = question
        self.boxes = [_wide(widgets.Checkbox, option.label) for option in question.options]
        self.notes = [widgets.HTML() for _ in question.options]
        rows = [field for pair in zip(self.boxes, self.notes, strict=True) for field in pair]
        self.end = widgets.HTML()
        self.widget = _framed(question, *rows, self.end)

    @property
    def given(self) -> Given:
        return [number for number, box in enumerate(self.boxes) if box.value]

    def reveal(self, verdict: Verdict) -> None:
        options = self.question.options
        for option, box, note in zip(options, self.boxes, self.notes, strict=True):
            box.disabled = True
            note.value = _reason(option, box.value == option.is_right)
        self.end.value = _verdict(self.question, verdict)


class _RadioForm:
    """One of the options, and beneath all of them the reasons."""

    def __init__(self, question: Choice) -> None:
        self.question = question
        labels = [(option.label, number) for number, option in enumerate(question.options)]
        self.field = widgets.RadioButtons(options=labels, value=None, layout={"width": "auto"})
        self.end = widgets.HTML()
        self.widget = _framed(question, self.field, self.end)

    @property
    def given(self) -> Given:
        return [] if self.field.value is None else [self.field.value]

    def reveal(self, verdict: Verdict) -> None:
        self.field.disabled = True
        rows = "".join(map(_told, self.question.options))
        self.end.value = f"<ul>{rows}</ul>{_verdict(self.question, verdict)}"


class _NumberForm:
    """A field for a number; what is no number counts as no answer."""

    def __init__(self, question: Number) -> None:
        self.question = question
        self.field = widgets.Text(placeholder="a number", layout={"width": "160px"})
        self.end = widgets.HTML()
        self.widget = _framed(question, self.field, self.end)

    @property
    def given(self) -> Given:
        try:
            return float(self.field.value.replace(",", "."))
        except ValueError:
            return float("nan")

    def reveal(self, verdict: Verdict) -> None:
        self.field.disabled = True
        self.end.value = _verdict(self.question, verdict)


def _wide(kind: type[widgets.DOMWidget], label: str) -> widgets.DOMWidget:
    return kind(description=label, indent=False, layout={"width": "auto"})


def _framed(question: Question, *fields: widgets.DOMWidget) -> widgets.VBox:
    frame = widgets.VBox([widgets.HTML(f"<b>{html.escape(question.prompt)}</b>"), *fields])
    frame.add_class("jitq-lesson-form")
    return frame


def _reason(option: Option, was_hit: bool) -> str:
    sign, word = ("✓", "hit") if was_hit else ("✗", "miss")
    answer = "yes" if option.is_right else "no"
    reason = f": {html.escape(option.reason)}" if option.reason else ""
    return f'<p class="jitq-lesson-{word}">{sign} {answer}{reason}</p>'


def _told(option: Option) -> str:
    """An option of which one is right: that one stands out, the others where there is a reason."""
    label = html.escape(option.label)
    label = f"<b>✓ {label}</b>" if option.is_right else label
    reason = f": {html.escape(option.reason)}" if option.reason else ""
    return f"<li>{label}{reason}</li>" if option.is_right or option.reason else ""


def _verdict(question: Question, verdict: Verdict) -> str:
    word = "hit" if verdict.score == 1 else "miss"
    return (
        f'<p class="jitq-lesson-{word}"><b>{html.escape(verdict.text)}</b></p>'
        f"<p>{html.escape(question.explanation)}</p>"
    )
