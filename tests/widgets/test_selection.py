"""What is shown, and the moves from one to the next: no widget, no drawing."""

from __future__ import annotations

import pytest

from jitq_explore.widgets.selection import ChosenNode, Selection, beginning

STAGES = ("input", "fold", "observe", "convert")
START = Selection(STAGES)

# n0 keeps to itself, n1 becomes n7 in "observe", which "convert" takes away; n2 is taken by "fold".
LINKS = {
    "fold": {"forward": {"n0": ["n0"], "n1": ["n1"]}, "back": {"n0": ["n0"], "n1": ["n1"]}},
    "observe": {
        "forward": {"n0": ["n0"], "n1": ["n7", "n8"]},
        "back": {"n0": ["n0"], "n7": ["n1"]},
    },
    "convert": {"forward": {"n0": ["n0"]}, "back": {"n0": ["n0"]}},
    "input": {},
}


@pytest.mark.parametrize(
    ("moved", "expected"),
    [
        (START, "input"),
        (START.next(), "fold"),
        (START.next().previous(), "input"),
        (START.previous(), "input"),
        (START.last(), "convert"),
        (START.last().next(), "convert"),
        (START.choose("observe"), "observe"),
        (beginning(STAGES), "fold"),
        (beginning(STAGES, has_failed=True), "convert"),
    ],
)
def test_the_stage_after_a_move(moved, expected):
    assert moved.stage == expected
    assert (moved.is_first, moved.is_last) == (expected == "input", expected == "convert")


def test_a_run_that_has_not_begun_begins_with_its_input():
    assert beginning(STAGES[:1]).stage == "input"


@pytest.mark.parametrize(
    ("chosen", "at", "expected"),
    [
        (("fold", "n0"), "convert", ("convert", "n0", False)),
        (("fold", "n0"), "input", ("input", "n0", False)),
        (("fold", "n0"), "fold", ("fold", "n0", False)),
        (("fold", "n1"), "observe", ("observe", "n7", False)),
        (("observe", "n7"), "input", ("input", "n1", False)),
        (("observe", "n7"), "convert", ("convert", "n7", True)),
        (("fold", "n1"), "convert", ("convert", "n7", True)),
        (("input", "n2"), "convert", None),
        (("observe", "n9"), "fold", None),
        (("convert", "n7", True), "observe", ("observe", "n7", False)),
        (("convert", "n7", True), "convert", ("convert", "n7", True)),
        (("fold", "n2", True), "input", ("input", "n2", False)),
        (("fold", "n2", True), "observe", None),
    ],
)
def test_a_chosen_node_is_followed_to_another_stage(chosen, at, expected):
    stage, node, *gone = chosen
    selection = START.choose(stage).select(node, gone=bool(gone)).choose(at)
    found = selection.follow(LINKS.__getitem__).node
    assert found == (expected and ChosenNode(*expected))


def test_following_nothing_finds_nothing():
    assert START.select("n0").clear().follow(LINKS.__getitem__).node is None


@pytest.mark.parametrize(
    ("moved", "folds"),
    [
        (START, None),
        (START.fold("b"), ("b",)),
        (START.fold("b", shown=["a"]), ("a", "b")),
        (START.fold_all(["b", "a"]).fold("c", shown=["z"]), ("a", "b", "c")),
        (START.unfold("a", shown=["a", "b"]), ("b",)),
        (START.fold_all([]), ()),
    ],
)
def test_folding(moved, folds):
    assert moved.folds == folds


def test_other_stages():
    grown = Selection(STAGES[:2]).next().with_stages(STAGES)
    assert (grown.stage, grown.is_last) == ("fold", False)
    shrunk = START.last().select("n0").with_stages(STAGES[:2])
    assert (shrunk.stage, shrunk.node) == ("fold", None)


def test_it_is_the_pages_state_and_back():
    selection = (
        START.choose("observe").select("n7", gone=True).fold("block").draw("both").within(1)
        .search("  conv ").narrow("block").open("ir").colour()
    )  # fmt: skip
    state = selection.to_dict()
    assert state == {
        "stage": "observe", "node": {"stage": "observe", "id": "n7", "gone": True},
        "folds": ["block"], "side": "both", "reach": 1, "query": "conv", "module": "block",
        "tab": "ir", "errors": True,
    }  # fmt: skip
    assert Selection.from_dict(STAGES, state) == selection
    assert Selection.from_dict(STAGES, START.to_dict()) == START


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ([], r"state must be a dict; got a list"),
        ({"stage": "nope"}, r"unknown stage 'nope' \(must be one of \['input', 'fold'"),
        ({"stage": 3}, r"stage must be a text; got 3"),
        ({"side": "left"}, r"unknown side 'left' \(must be one of \['union', 'both'\]"),
        ({"reach": True}, r"unknown reach True \(must be one of \[None, 0, 1, 2\]"),
        ({"reach": 3}, r"unknown reach 3"),
        ({"errors": 1}, r"unknown errors 1 \(must be one of \[False, True\]"),
        ({"zoom": 1}, r"unknown key of the state 'zoom' \(must be one of \['stage', 'node'"),
        ({"folds": "block"}, r"folds must be None or a list of paths; got 'block'"),
        ({"node": "n7"}, r"node must be None or have stage, id and gone; got 'n7'"),
        ({"node": {"stage": "nope", "id": "n7"}}, r"unknown stage of the node 'nope'"),
        ({"node": {"stage": "fold", "id": 7}}, r"node's id must be a text; got 7"),
        ({"query": None}, r"query must be a text; got None"),
    ],
)
def test_a_state_that_cannot_be(state, message):
    with pytest.raises(ValueError, match=message):
        Selection.from_dict(STAGES, state)


@pytest.mark.parametrize(
    ("move", "message"),
    [
        (lambda: Selection(()), "no stage to choose from"),
        (lambda: START.choose("nope"), "unknown stage 'nope'"),
        (lambda: START.draw("left"), "unknown side 'left'"),
        (lambda: START.within(7), "unknown reach 7"),
        (lambda: START.unfold("a", shown=["b"]), r"unknown folded path 'a' \(must be one of \['b'"),
    ],
)
def test_a_move_that_cannot_be(move, message):
    with pytest.raises(ValueError, match=message):
        move()
