"""Nothing lies over anything else in a drawing: boxes, lines, captions of frames, labels."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from distinct_nets import distinct_net
from runs import FBGEMM, calibrate, recorded
from views.geometry import Area, Drawn, drawn, drawn_by_graphviz, faults

import jitq_explore as jq
from jitq_explore.snapshots.recording import Recording
from jitq_explore.views.boxes import Level, Role, Status, Tally
from jitq_explore.views.cards import Card, Row, Side
from jitq_explore.views.dot import diff_dot
from jitq_explore.views.film import Film, film
from jitq_explore.views.geometry import Rect
from jitq_explore.views.label_places import Wanted, label_places
from jitq_explore.views.paper import svg_of_stage
from jitq_explore.views.plan import Frame, Plan
from jitq_explore.views.render import render_svg

NOTHING = Drawn({}, {}, {}, (), ())


def all_faults(found: Film) -> Counter[str]:
    """Of every stage, and from every side."""
    drawings = [found.svg(stage, side=side) for stage in found.stages for side in Side]
    return sum((faults(drawn(svg)) for svg in drawings), Counter())


@pytest.mark.parametrize(
    ("what", "fault"),
    [
        (Drawn({"a": Area(0, 0, 9, 9), "b": Area(5, 5, 9, 9)}, {}, {}, (), ()), "box over box"),
        (
            Drawn({"c": Area(0, 4, 9, 9)}, {}, {}, (("a", "b", ((5, 0), (5, 20))),), ()),
            "line through box",
        ),
        (
            Drawn(
                {},
                {"f": Area(0, 0, 40, 40)},
                {"f": Area(2, 2, 30, 12)},
                (("a", "b", ((5, -5), (9, 20))),),
                (),
            ),
            "line through caption",
        ),
        (
            Drawn({}, {}, {}, (("a", "b", ((0, 0), (20, 20))),), (Area(8, 5, 30, 15),)),
            "line through label",
        ),
        (Drawn({}, {}, {}, (), (Area(0, 0, 9, 9), Area(5, 5, 12, 12))), "label over label"),
        (Drawn({"a": Area(0, 0, 9, 9)}, {}, {}, (), (Area(5, 5, 12, 12),)), "label over box"),
        (
            Drawn({}, {"f": Area(0, 0, 20, 20)}, {"f": Area(2, 2, 30, 12)}, (), ()),
            "caption wider than its frame",
        ),
        (
            Drawn({}, {"f": Area(0, 0, 20, 20), "g": Area(15, 5, 40, 40)}, {}, (), ()),
            "frame over frame",
        ),
    ],
)
def test_each_fault_is_seen(what, fault):
    assert faults(what) == Counter([fault])
    assert not faults(NOTHING)


def test_what_is_drawn_is_read_as_it_is_drawn():
    region = (Level("block", "block"),)
    frame = Frame("m-block", region, Rect(10, 30, 200, 60), Rect(18, 38, 86, 26))
    boxes = {"a": Rect(100, 0, 60, 20), "b": Rect(110, 40, 80, 40)}
    plan = Plan(
        220, 100, boxes, {("a", "b"): ((130, 20), (130, 26), (130, 34), (130, 40))}, (frame,)
    )
    cards = {
        name: Card(Role.OPERATION, (Row(Status.SAME, name),), "", Tally(total=1)) for name in boxes
    }
    seen = drawn(svg_of_stage(plan, cards, [], {"m-block": ("block · Block", "2 nodes")}))
    assert seen.boxes == {"a": Area(100, 0, 160, 20), "b": Area(110, 40, 190, 80)}
    assert seen.frames == {"m-block": Area(10, 30, 210, 90)}
    assert seen.captions["m-block"].left == 18  # with the sign that folds
    assert 38 < seen.captions["m-block"].top < seen.captions["m-block"].bottom < 64
    assert not faults(seen)


# On real nets -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("net", "how"),
    [
        ("residual", "scripted"),
        ("residual", "traced"),
        ("transformer_block", "scripted"),
        ("lstm", "scripted"),
        ("branch", "scripted"),
        ("loop", "scripted"),
    ],
)
def test_nothing_overlaps(net, how):
    for mode in ("static", "dynamic"):
        assert not all_faults(film(recorded(net, how, mode)))


@pytest.fixture(scope="module")
def stacked() -> Recording:
    model, x = distinct_net("transformer", 2, "scripted")
    return jq.Session.static(model, {"": FBGEMM}, calibrate, [[(x,)]]).run()


def test_nothing_overlaps_where_frames_are_in_frames(stacked):
    unfolded = film(stacked, frozenset())
    assert max(len(frame.region) for frame in unfolded.plan.frames) > 1
    assert not all_faults(unfolded)
    assert not all_faults(film(stacked, frozenset({"layers.1"})))


def test_no_line_runs_through_the_name_of_a_frame_in_the_drawing_of_a_difference():
    run = recorded("branch")
    crossed = 0
    for before, after in pairwise(["input", *run.names]):
        found = jq.diff(run, before, after)
        plain = render_svg(diff_dot(found).dot.source)
        crossed += faults(drawn_by_graphviz(plain)).total()
        moved = found._repr_mimebundle_()["text/html"]
        assert not faults(drawn_by_graphviz(moved))
        assert len(moved) == pytest.approx(len(plain), abs=20)
    assert crossed  # or there was nothing to be done


# Labels -------------------------------------------------------------------------------------------


def fan(ends: list[float]) -> Plan:
    """A box at (100, 0) with a straight line to each of these places on a level further down."""
    boxes = {"a": Rect(80, 0, 40, 20)} | {
        f"b{n}": Rect(x - 8, 60, 16, 20) for n, x in enumerate(ends)
    }
    lines = {}
    for n, x in enumerate(ends):
        way = [(100 + (x - 100) * k / 3, 20 + 40 * k / 3) for k in range(4)]
        lines["a", f"b{n}"] = tuple(way)
    return Plan(200, 80, boxes, lines, ())


def test_a_label_stands_beside_its_line_near_its_start():
    plan = fan([100])
    (place,) = label_places(plan, [Wanted((("a", "b0"),), 30, 9.5)], plan.lines)
    assert place.x >= 104 or place.x + place.width <= 96
    assert 20 <= place.y < 40


def test_a_label_is_under_none_of_many_lines():
    plan = fan([20, 40, 60, 80, 100, 120, 140, 160, 180])
    wanted = [Wanted(tuple(plan.lines), 30, 9.5), Wanted(tuple(plan.lines), 40, 9.5)]
    places = label_places(plan, wanted, plan.lines)
    lines = tuple((*ends, plan.traces[ends]) for ends in plan.lines)
    labels = tuple(Area(p.x, p.y, p.x + p.width, p.y + p.height) for p in places)
    assert not faults(Drawn({}, {}, {}, lines, labels))
