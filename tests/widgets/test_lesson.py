"""Lessons: what is asked about any run, how it is marked, and the widget that asks."""

from __future__ import annotations

import ipywidgets
import pytest
from runs import recorded, session
from torch.ao.quantization import float16_dynamic_qconfig

import jitq_explore as jq
from jitq_explore.views.lessons.lesson import stage_lessons
from jitq_explore.views.lessons.question import Choice, Number, Option, Question
from jitq_explore.views.lessons.text import lesson_text
from jitq_explore.widgets.lesson_progress import Given, LessonProgress

RUNS = [
    ("conv_bn_relu", "scripted", "static"),
    ("residual", "traced", "static"),
    ("loop", "scripted", "static"),
    ("two_inputs", "traced", "static"),
    ("transformer_block", "scripted", "static"),
    ("branch", "scripted", "static"),
    ("lstm", "scripted", "dynamic"),
    ("transformer_block", "traced", "dynamic"),
    ("conv_bn_relu", "scripted", "on_device"),
]


def right(question: Question) -> Given:
    if isinstance(question, Number):
        return question.answer
    return [number for number, option in enumerate(question.options) if option.is_right]


@pytest.mark.parametrize("run", RUNS, ids="-".join)
def test_every_stage_of_any_run_asks_what_can_be_answered(run: tuple[str, str, str]):
    recording = recorded(*run)
    lessons = stage_lessons(recording)
    assert [lesson.stage for lesson in lessons] == list(recording.names)
    for lesson in lessons:
        assert lesson.text, lesson.stage
        assert lesson.questions
        for question in lesson.questions:
            assert question.mark(right(question)).score == 1  # type: ignore[arg-type]
            if isinstance(question, Choice):
                assert 2 <= len(question.options) <= 8
                assert len({option.label for option in question.options}) > 1
                assert any(option.is_right for option in question.options)
                assert not question.is_single or len(right(question)) == 1  # type: ignore[arg-type]


def test_it_asks_of_what_the_stage_did():
    asked = {lesson.stage: lesson.questions for lesson in stage_lessons(recorded("residual"))}
    (norms,) = asked["fold_conv_bn"]
    assert isinstance(norms, Choice)
    assert [option.is_right for option in norms.options] == [True] * 4
    (observed,) = asked["insert_observers"]
    assert isinstance(observed, Choice)
    reasons = {option.label: option.reason for option in observed.options if not option.is_right}
    assert any("one kernel with aten::relu" in reason for reason in reasons.values())
    scale, _, zero_point = asked["insert_quant_dequant"]
    readings = jq.observer_table(recorded("residual"))
    assert isinstance(scale, Number)
    assert isinstance(zero_point, Number)
    assert scale.answer in set(readings["scale"])
    assert zero_point.answer in set(readings["zero_point"])
    (kernels,) = asked["quant_finalize"]
    assert isinstance(kernels, Choice)
    assert {option.reason for option in kernels.options if option.is_right} >= {
        "it goes into quantized::add_relu, together with aten::relu"
    }


@pytest.mark.parametrize(
    ("mode", "stages"), [("static", ["insert_quant_dequant"]), ("on_device", ["quantize"])]
)
def test_scales_are_asked_for_once_where_they_are_computed(mode: str, stages: list[str]):
    lessons = stage_lessons(recorded("transformer_block", "scripted", mode))
    asks = [each for each in lessons if any(isinstance(asked, Number) for asked in each.questions)]
    assert [each.stage for each in asks] == stages


def test_ranges_are_covered_by_as_many_integers_as_there_are():
    (asked,) = next(
        each.questions for each in stage_lessons(recorded("residual")) if each.stage == "calibrate"
    )
    most = jq.observer_table(recorded("residual")).quant_max.max()
    assert f": {most + 1} integers have to cover it" in asked.explanation


CHOICE = Choice("Which?", (Option("a", True), Option("b", False), Option("c", True)), "So.")
SINGLE = Choice("Which?", (Option("a", True), Option("b", False)), "So.", is_single=True)
NUMBER = Number("How much?", 0.02, 0.0004, "So.")


@pytest.mark.parametrize(
    ("question", "given", "score", "said"),
    [
        (CHOICE, [0, 2], 1, "All right."),
        (CHOICE, [0], 2 / 3, "1 missed of 3."),
        (CHOICE, [1], 0, "2 missed and 1 too many of 3."),
        (SINGLE, [0], 1, "Right."),
        (SINGLE, [], 0, "Not so."),
        (SINGLE, [0, 1], 0, "Not so."),
        (NUMBER, 0.0203, 1, "Right: it is 0.02."),
        (NUMBER, 0.021, 0.5, "Nearly: it is 0.02."),
        (NUMBER, 2.0, 0, "Not so: it is 0.02."),
        (NUMBER, float("nan"), 0, "Not so: it is 0.02."),
    ],
)
def test_answers_are_marked(question: Question, given: Given, score: float, said: str):
    verdict = question.mark(given)  # type: ignore[arg-type]
    assert verdict.score == pytest.approx(score)
    assert verdict.text == said


def test_an_option_that_is_not_there():
    with pytest.raises(IndexError, match="option 3 of 3"):
        CHOICE.mark([3])


def test_a_stage_is_answered_once_and_then_left():
    progress = LessonProgress(stage_lessons(recorded("conv_bn_relu")))
    assert progress.next() is progress
    done = progress.answer([right(question) for question in progress.lesson.questions])
    assert (done.is_revealed, done.score, done.asked) == (True, len(done.verdicts), done.asked)
    assert done.answer([]) is done
    on = done.next()
    assert (on.at, on.is_revealed, on.score) == (1, False, done.score)


def texts(widget: ipywidgets.Widget) -> str:
    if isinstance(widget, ipywidgets.Box):
        return "\n".join(map(texts, widget.children))
    return str(getattr(widget, "value", ""))


def test_the_widget_shows_the_stage_only_after_the_answers():
    lesson = jq.lesson(recorded("conv_bn_relu"))
    assert "given;" not in texts(lesson)
    for number in range(len(lesson.progress.lessons)):
        assert lesson.progress.at == number
        assert "did:" not in texts(lesson)
        lesson._check.click()
        assert f"What {lesson.progress.lesson.stage} did:" in texts(lesson)
        lesson._next.click()
        if number == 0:
            assert "insert_observers is given; marked is what fold_conv_bn did" in texts(lesson)
        assert "marked is what calibrate did" not in texts(lesson)  # it changed no box
    assert "The end: " in texts(lesson)
    assert "nodes have no box (−" in texts(lesson)  # those that dce removed
    assert "<b>✓ Nodes are removed, none is added</b>" in texts(lesson)


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ("run.jitq", TypeError, "a lesson needs a Recording, got str"),
        (lambda: None, TypeError, "session.recording"),
    ],
)
def test_what_is_no_recording(given: object, error: type[Exception], said: str):
    with pytest.raises(error, match=said):
        jq.lesson(given)  # type: ignore[arg-type]


def reasons_of(recording: jq.Recording, stage: str) -> dict[str, str]:
    (asked,) = next(each.questions for each in stage_lessons(recording) if each.stage == stage)
    assert isinstance(asked, Choice)
    return {option.label: option.reason for option in asked.options}


def test_reasons_are_those_of_the_mode():
    dynamic = reasons_of(recorded("transformer_block", "scripted", "dynamic"), "insert_observers")
    norm = next(reason for label, reason in dynamic.items() if "layer_norm in norm1" in label)
    assert norm == "aten::linear takes the value, and measures it in every call"
    on_device = recorded("transformer_block", "scripted", "on_device")
    given = next(iter(reasons_of(on_device, "insert_observer_method").values()))
    assert "it is no weight" in given
    assert {each.stage: each.text for each in stage_lessons(on_device)}["quantized_run"] == (
        "The quantized method is run."
    )


def test_a_run_that_failed_is_asked_about_as_far_as_it_came():
    failing = session("residual", qconfig=float16_dynamic_qconfig)
    with pytest.raises(RuntimeError):
        failing.run()
    recording = failing.recording
    reasons = reasons_of(recording, "insert_observers")
    assert reasons["result of mean (nets.py:66)"].startswith("it hands on the scale of its input")
    assert lesson_text(recording).splitlines()[-1].startswith("The run ended in insert_quant_dequ")
    lesson = jq.lesson(recording)
    for _ in lesson.progress.lessons:
        assert "The run ended in" not in texts(lesson)
        lesson._check.click()
        lesson._next.click()
    assert "The run ended in insert_quant_dequant with an error" in texts(lesson)
    assert "Candidates" not in texts(lesson)


def test_as_text_with_answers_and_without():
    asked, told = (lesson_text(recorded("residual"), answers=way) for way in (False, True))
    assert "[ ] the input %x.2" in asked
    assert "[x] the input %x.2" in told
    assert "=> " in told
    assert "=> " not in asked
