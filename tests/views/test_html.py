"""A recording as one HTML file: all in it, nothing from outside, no name more than text."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import recorded
from views.build import HOSTILE, layers
from views.pages import Read, hostile_recording, source_hash, spelled_out

import jitq_explore as jq
from jitq_explore.snapshots.recording import Recording
from jitq_explore.views.answers import Answers
from jitq_explore.views.folds import Folding, unfold
from jitq_explore.views.html import contents
from jitq_explore.views.html.contents import answer_key, contents_of
from jitq_explore.views.html.fold_states import states_worth_having
from jitq_explore.views.html.packing import packed, shared
from jitq_explore.views.printable import printable
from jitq_explore.views.reel import Reel, Scene


def written(recording: Recording, folder: Path, *more: object) -> Read:
    return Read(jq.to_html(recording, folder / "page.html", *more).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Read:
    return written(recorded("residual"), tmp_path_factory.mktemp("page"))


# A file of its own -----------------------------------------------------------------------------


def test_it_names_no_address(page):
    assert set(re.findall(r"\w+://[^\s\"'`<]*", page.html)) <= {"http://www.w3.org/2000/svg"}
    assert {value for _, name, value in page.attributes if name in ("src", "href")} == {"data:,"}


def test_only_its_own_script_and_style_may_run(page):
    _, script = page.texts["script"]
    (style,) = page.texts["style"]
    assert page.policy == {
        "default-src": "'none'",
        "script-src": source_hash(script),
        "style-src": source_hash(style),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert not [name for _, name, _ in page.attributes if name.startswith("on") or name == "style"]


def test_without_javascript_there_are_the_stages_and_the_last_change_that_is_drawn(page):
    assert page.tags["noscript"] == 1
    assert page.texts["td"][0] == "input"
    assert {*recorded("residual").names} < {*page.texts["td"]}
    assert page.tags["svg"] == 1
    assert [text for text in page.texts["h2"] if "quant_finalize" in text]


@pytest.mark.parametrize("how", ["written twice", "saved and loaded"])
def test_one_recording_makes_one_file(page, tmp_path, how):
    recording = recorded("residual")
    if how == "saved and loaded":
        recording = jq.load(jq.save(recording, tmp_path / "run.jitq"))
    assert written(recording, tmp_path).html == page.html


def test_hostile_names_are_text(page, tmp_path):
    hostile = written(hostile_recording(), tmp_path)
    assert hostile.tags.keys() <= page.tags.keys()
    assert hostile.tags["script"] == 2
    assert not [name for _, name, _ in hostile.attributes if name.startswith("on")]
    assert printable(HOSTILE) in hostile.texts["td"]
    assert hostile.policy.keys() == page.policy.keys()


# What is in it ---------------------------------------------------------------------------------


@pytest.mark.parametrize("net", ["residual", "loop"])
def test_every_answer_is_in_it(tmp_path, net):
    recording = recorded(net)
    found = written(recording, tmp_path).content["answers"]
    answers = Answers.of(recording)
    asks = [("run", {})] + [
        ("table", {"name": tab["name"]}) for tab in answers.answer("run", {})["tabs"]
    ]
    for stage in ("input", *recording.names):
        asks += [(kind, {"stage": stage}) for kind in ("nodes", "links", "errors")]
        asks += [("text", {"stage": stage, "what": what}) for what in ("ir", "code")]
        sides = ("union", "before", "after")
        asks += [("drawing", {"stage": stage, "folds": None, "side": side}) for side in sides]
        asks += [
            ("details", {"stage": stage, "node": node["id"], "gone": node["gone"]})
            for node in answers.answer("nodes", {"stage": stage})
        ]
    for kind, arguments in asks[1:]:
        assert found[answer_key(kind, arguments)] == answers.answer(kind, arguments)
    run = answers.answer("run", {})
    assert found["run {}"] == {**run, "facts": found["run {}"]["facts"]}
    assert not [key for key, answer in found.items() if "error" in answer]


def test_two_runs_can_be_compared(tmp_path):
    pair = written(recorded("residual"), tmp_path, recorded("residual", mode="dynamic"))
    content = pair.content
    assert content["answers"]["run {}"]["runs"] == ["A", "B"]
    assert not [key for key, answer in content["answers"].items() if "error" in answer]


def test_it_says_how_many_fold_states_it_holds(page):
    states = page.content["states"]
    drawn = {
        key for key in page.content["answers"] if key.startswith("drawing") and "null" not in key
    }
    assert len(drawn) == 3 * len(states) * len(("input", *recorded("residual").names))
    assert f"{len(states)} fold states in this file" in page.content["answers"]["run {}"]["facts"]


@pytest.mark.parametrize(("limit", "value"), [("BOXES_LAID_OUT", 1), ("DRAWINGS_BYTES", 1)])
def test_with_little_room_there_are_the_default_and_all_folded(monkeypatch, limit, value):
    monkeypatch.setattr(contents, limit, value)
    recording = recorded("residual")
    folding = Folding.of(Reel.of(recording))
    states = contents_of(Answers.of(recording)).states
    assert states[0] == sorted(folding.default())
    assert len(states) <= 2


def test_fold_states_come_by_how_near_they_are():
    folding = Folding.of(Reel.of_scenes([Scene("s0", layers(300))]))
    default = folding.default()
    states = list(islice(states_worth_having(folding, default), 40))
    assert states[:2] == [default, folding.everything()]
    one_click = unfold(default, sorted(default)[0])
    assert one_click in states
    looks = [tuple(folding.stands(state)) for state in states]
    assert len(set(looks)) == len(looks)


# Packing ---------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-9, 9).map(lambda real: real + 0.0)  # no -0.0
    | st.text(st.sampled_from("a<\n\ud800é"), max_size=40),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["", "a", "__proto__"]), inner),
)  # fmt: skip


@given(st.lists(json_values))
def test_what_is_packed_comes_back(values):
    twice = {"once": values, "again": values}
    found = shared(twice)
    assert repr(spelled_out(found["value"], found["shared"])) == repr(twice)


def test_what_comes_often_is_written_once():
    line = "<g class='node'><title>a long enough line</title></g>"
    drawings = [f"<svg>\n{number}\n{line}\n</svg>" for number in range(500)]
    assert len(packed(drawings)) < 0.1 * sum(map(len, drawings))


# What goes wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "error", "said"),
    [
        ("nowhere/page.html", FileNotFoundError, "create the folder"),
        ("", IsADirectoryError, "name a file in it"),
    ],
)
def test_a_bad_path_is_said_before_the_work(tmp_path, path, error, said):
    with pytest.raises(error, match=said):
        jq.to_html(recorded("residual"), tmp_path / path)
    assert not list(tmp_path.iterdir())


def test_only_recordings_become_pages(tmp_path):
    with pytest.raises(TypeError, match=r"takes a Recording, not a str: .*jq\.load"):
        jq.to_html("run.jitq", tmp_path / "page.html")
    with pytest.raises(TypeError, match="takes a Recording"):
        jq.to_html(recorded("residual"), tmp_path / "page.html", "other.jitq")
