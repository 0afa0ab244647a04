"""Inner steps as text and as what the page asks for."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from typing import Any

import pytest
from runs import session
from snapshots.build import recording
from views.build import HOSTILE

from jitq_explore.snapshots.recording import Recording
from jitq_explore.snapshots.steps import Event, Step, StepGraph
from jitq_explore.views.answers import Answers
from jitq_explore.views.boxes import Status
from jitq_explore.views.step_lines import near_changes, step_lines
from jitq_explore.views.text import stage_text, step_text


@functools.cache
def deep() -> Recording:
    return session("conv_bn_relu", deep=True).run()


def ask(kind: str, recording: Recording | None = None, **arguments: Any) -> Any:
    found = Answers.of(recording or deep()).answer(kind, arguments)
    return json.loads(json.dumps(found, allow_nan=False))


def with_step(step: Step) -> Recording:
    rec = deep()
    return replace(rec, stages=(replace(rec.stages[0], steps=(step,)), *rec.stages[1:]))


def graph(*lines: str) -> StepGraph:
    return StepGraph(("graph(%x : Tensor):", *lines))


def test_the_strip_has_the_phases_of_each_stage():
    stages = {stage["name"]: stage["steps"] for stage in ask("run")["stages"]}
    assert stages["input"] == stages["calibrate"] == []
    assert [(p["name"], p["count"], p["number"]) for p in stages["quant_finalize"]] == [
        ("prepack", 2, 0),
        ("fuse", 3, 2),
        ("freeze", 1, 5),
        ("fold prepack", 1, 6),
    ]


def test_every_step_has_its_events_and_its_text():
    for stage in deep():
        steps = ask("steps", stage=stage.name)["steps"]
        assert len(steps) == len(stage.steps)
        for number, (said, step) in enumerate(zip(steps, stage.steps, strict=True)):
            assert len(said["events"]) == len(step.events)
            assert said["hint"]
            text = ask("step", stage=stage.name, number=number)
            assert bool(text["lines"]) == said["hasText"]


def test_a_fusion_shows_what_it_took_and_what_it_made():
    text = ask("step", stage="quant_finalize", number=3)
    shown = {"removed": [], "added": []}
    for line in text["lines"]:
        for half, status in (("before", "removed"), ("after", "added")):
            if line["status"] == status:
                shown[status].append("".join(piece for piece, _ in line[half]))
    assert ["aten::dequantize" in line for line in shown["removed"]].count(True) == 2
    assert [line for line in shown["added"] if "quantized::linear(" in line]
    assert any("…" in line["after"][0][0] for line in text["lines"] if line["after"])


@pytest.mark.parametrize("number", [-1, 99, "0", None, 1.5])
def test_an_unknown_step_is_told(number):
    assert "unknown step" in ask("step", stage="quant_finalize", number=number)["error"]


def test_a_recording_that_is_not_deep_says_how_to_make_one():
    stage = deep().stages[0]
    plain = replace(deep(), stages=(replace(stage, steps=()),))
    assert "deep=True" in ask("steps", plain, stage="fold_conv_bn")["note"]


def test_values_keep_their_names_within_a_step():
    before = graph("  %1 : Tensor = a::b(%x)", "  %2 : Tensor = a::c(%1)", "  return (%2)")
    after = graph("  %3 : Tensor = a::d(%x)", "  %2 : Tensor = a::c(%3)", "  return (%2)")
    lines = step_lines(Step("fuse", "", (), before, after))
    statuses = [(line.status, line.before or line.after) for line in lines]
    assert statuses == [
        (Status.SAME, "graph(%x : Tensor):"),
        (Status.REMOVED, "  %1 : Tensor = a::b(%x)"),
        (Status.ADDED, "  %3 : Tensor = a::d(%x)"),
        (Status.CHANGED, "  %2 : Tensor = a::c(%1)"),
        (Status.SAME, "  return (%2)"),
    ]


def test_a_copy_that_is_numbered_anew_is_matched():
    before = StepGraph(("graph(%self : A):", "  %1 : int = a::b(%self)", "  return (%1)"))
    after = StepGraph(("graph(%self : B):", "  %7 : int = a::b(%self)", "  return (%7)"))
    lines = step_lines(Step("freeze", "", (), before, after))
    assert all(line.status is Status.SAME for line in lines)


@pytest.mark.parametrize(("before", "after"), [(None, graph()), (graph(), None), (None, None)])
def test_of_one_graph_all_lines_are_shown_alike(before, after):
    lines = step_lines(Step("x", "", (), before, after))
    assert len(lines) == (1 if before or after else 0)
    assert near_changes(lines) == [True] * len(lines)


def test_the_text_of_a_stage_lists_its_steps_and_that_of_a_step_its_events():
    listed = stage_text(deep(), "quant_finalize")
    assert "inner step 3: fuse: linear → quantized::linear" in listed
    text = step_text(deep(), "quant_finalize", 3)
    assert text.startswith("fuse: linear → quantized::linear\n  fused %")
    assert "\n+   %" in text
    assert "unchanged lines" in text
    with pytest.raises(IndexError, match="has no inner step 9: it has 7"):
        step_text(deep(), "quant_finalize", 9)


def test_hostile_names_do_no_harm():
    event = Event(HOSTILE, HOSTILE, (HOSTILE,), HOSTILE, HOSTILE)
    odd = StepGraph((HOSTILE, HOSTILE))
    rec = with_step(Step(HOSTILE, HOSTILE, (event,), odd, StepGraph((HOSTILE,)), HOSTILE))
    said = json.dumps(ask("steps", rec, stage="fold_conv_bn"))
    said += json.dumps(ask("step", rec, stage="fold_conv_bn", number=0))
    said += json.dumps(ask("run", rec))
    said += step_text(rec, "fold_conv_bn", 0)
    assert "\x1b" not in said
    assert "\\u001b" not in said


def test_recordings_made_by_hand_have_an_empty_list(monkeypatch):
    made = recording(deep().input, deep().last)
    assert ask("run", made)["stages"][1]["steps"] == []
