"""What the page asks for of plots is answered, and marks lead to nodes."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from runs import recorded, session

from jitq_explore.views.answers import Answers


def answers(*runs: str) -> Answers:
    first, *other = (recorded("residual", mode=mode) for mode in runs)
    return Answers.of_pair(first, *other) if other else Answers.of(first)


def ask(about: Answers, kind: str, **arguments: Any) -> Any:
    found = about.answer(kind, arguments)
    assert "error" not in found, found
    return json.loads(json.dumps(found, allow_nan=False))


def asks_in_details(about: Answers, stage: str) -> list[dict[str, Any]]:
    """What the details of a stage's nodes ask for, each once."""
    found = [
        section["ask"]
        for node in about.answer("nodes", {"stage": stage})
        for section in ask(about, "details", stage=stage, node=node["id"], gone=node["gone"])[
            "sections"
        ]
        if section["type"] == "plot"
    ]
    return [each for at, each in enumerate(found) if each not in found[:at]]


@pytest.mark.parametrize("runs", [("static",), ("static", "static"), ("static", "dynamic")])
def test_every_plot_that_is_offered_can_be_had(runs):
    about = answers(*runs)
    stages = [stage["name"] for stage in ask(about, "run")["stages"]]
    asks = [each for stage in stages for each in asks_in_details(about, stage)]
    tabs = ask(about, "run")["plotTabs"]
    asks += [each for tab in tabs for each in (*tab["plots"], *tab["widePlots"])]
    assert {each["name"] for each in asks} >= {"ranges", "histogram", "channels"}
    for each in asks:
        found = ask(about, "plot", **each)
        assert found["svg"].startswith("<svg")
        assert found["hint"]
        assert set(found["at"]) == set(re.findall(r'data-at="(\w+)"', found["svg"]))


def test_marks_lead_to_nodes_at_every_stage():
    about = answers("static")
    found = ask(about, "plot", name="ranges")
    there = {
        stage: {node["id"] for node in about.answer("nodes", {"stage": stage})}
        for stage in ("input", *recorded("residual").names)
    }
    assert found["at"]
    for by_stage in found["at"].values():
        assert by_stage[found["stage"]]
        assert all(set(nodes) <= there[stage] for stage, nodes in by_stage.items())


def test_before_anything_was_seen_there_is_nothing_to_draw():
    young = session("residual")
    young.run("insert_observers")
    about = Answers.of(young.recording)
    assert asks_in_details(about, "insert_observers") == []
    assert "no observer has seen" in about.answer("plot", {"name": "ranges"})["error"]


@pytest.mark.parametrize("wish", [{"observer": "MinMax"}, {"low": -1, "high": 1}])
def test_a_histogram_can_be_had_with_what_if(wish):
    about = answers("static")
    (first, *_) = asks_in_details(about, "calibrate")
    assert ask(about, "plot", **first, wish=wish)["title"].count("now and with") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"name": "pie"}, "unknown plot 'pie'"),
        ({"name": "ranges", "wish": "huge"}, "wish must be null or 'wide' here, not 'huge'"),
        ({"name": ["ranges"]}, "unknown plot"),
        ({"name": "histogram", "where": None}, "where must be the path of an observer"),
        ({"name": "histogram", "where": "nobody"}, "unknown value 'nobody'"),
        ({"name": "ranges", "run": "C"}, "unknown run 'C'"),
        ({"name": "histogram", "where": "stem._observer_0", "wish": 3}, "wish must be an object"),
    ],
)
def test_what_cannot_be_drawn_is_said(arguments, said):
    assert said in answers("static").answer("plot", arguments)["error"]
