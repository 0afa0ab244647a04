"""One layout for all stages: what does not change keeps still, and what does is seen."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from distinct_nets import distinct_net
from runs import FBGEMM, calibrate, recorded
from views.build import HOSTILE, Builder, layers, pair

import jitq_explore as jq
from jitq_explore.snapshots.domains import Domain, domains_of
from jitq_explore.snapshots.graph import Graph
from jitq_explore.views import plan
from jitq_explore.views.cards import Side
from jitq_explore.views.film import Film, film, film_of
from jitq_explore.views.folds import Folding, fold, unfold
from jitq_explore.views.paper import TITLE
from jitq_explore.views.reel import Reel, Scene
from jitq_explore.views.render import RenderTimeout
from jitq_explore.views.routes import route
from jitq_explore.views.type_size import text_width

NETS = ("residual", "transformer_block", "branch", "loop", "shared_submodule")
SVG = "{http://www.w3.org/2000/svg}"


def extents(svg: str) -> dict[str, tuple[float, float, float, float]]:
    """Id of each box -> its left, top, right and bottom end, as drawn."""
    found = {}
    for group in ElementTree.fromstring(svg).iter(f"{SVG}g"):
        if group.get("class", "").startswith("node "):
            path = "".join(path.get("d", "") for path in group.iter(f"{SVG}path"))
            points = re.findall(r"[MLA](?:\S+ 0 0 1 )?([-\d.]+),([-\d.]+)", path)
            xs = [float(x) for x, _ in points] + [float(x) for x in re.findall(r"H([-\d.]+)", path)]
            ys = [float(y) for _, y in points] + [float(y) for y in re.findall(r"V([-\d.]+)", path)]
            found[group.get("id", "")] = min(xs), min(ys), max(xs), max(ys)
    return found


def box(svg: str, name: str) -> ElementTree.Element:
    (found,) = [g for g in ElementTree.fromstring(svg).iter(f"{SVG}g") if g.get("id") == name]
    return found


def words(svg: str) -> list[str]:
    return [text.text or "" for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def chain(*kinds: str) -> Graph:
    """x → kind → kind → … → y; each value is named after its place."""
    built = Builder("x")
    value = "x"
    for number, kind in enumerate(kinds):
        value = built.node(kind, value, out=f"v{number}")
    return built.graph(value)


def film_by_hand(graphs: Sequence[Graph], pairs: Sequence[dict[str, str]]) -> Film:
    """A film of graphs, each of which goes back to the one before by pairs of ids."""
    scenes = [Scene("s0", graphs[0])]
    for number, (before, after, same) in enumerate(zip(graphs, graphs[1:], pairs, strict=False)):
        scenes.append(Scene(f"s{number + 1}", after, pair(before, after, same)))
    return film_of(Reel.of_scenes(scenes))


FLOAT = chain("aten::conv2d", "aten::relu", "aten::softmax")
OBSERVED = chain("jitq::observe", "aten::conv2d", "aten::relu", "jitq::observe", "aten::softmax")
QUANTIZED = chain(
    "aten::quantize_per_tensor", "quantized::conv2d_relu", "aten::dequantize", "aten::softmax"
)


@pytest.fixture
def three_stages() -> Film:
    to_observed = {"n0": "n1", "n1": "n2", "n2": "n4"}
    to_quantized = {"n1 n2": "n1", "n4": "n3"}
    return film_by_hand([FLOAT, OBSERVED, QUANTIZED], [to_observed, to_quantized])


# Still ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("net", NETS)
def test_no_box_moves_or_grows_when_the_stage_changes(net):
    found = film(recorded(net))
    views = {
        re.search(r'viewBox="[^"]*"', found.svg(stage, side=side))[0]
        for stage in found.stages
        for side in Side
    }
    seen = [extents(found.svg(stage, side=side)) for stage in found.stages for side in Side]
    drift = max(
        abs(one - other)
        for box_id in found.plan.boxes
        for here in seen
        for there in seen
        if box_id in here and box_id in there
        for one, other in zip(here[box_id], there[box_id], strict=True)
    )
    assert len(views) == 1
    assert drift == 0


@pytest.mark.parametrize("net", NETS)
def test_a_node_that_did_not_change_stays_in_its_box(net):
    run = recorded(net)
    found = film(run)
    kept = 0
    for before, scene in pairwise(found.reel.scenes):
        for match in scene.diff.matched:
            (old, *_), (new, *_) = match.before, match.after
            ends = found.box_of(before.name, old.id), found.box_of(scene.name, new.id)
            if not match.changes and all(ends):
                assert ends[0] == ends[1]
                kept += 1
    assert kept > 10


@pytest.mark.parametrize("net", NETS)
def test_no_box_lies_on_another(net):
    boxes = list(film(recorded(net)).plan.boxes.values())
    for number, one in enumerate(boxes):
        for other in boxes[:number]:
            apart_x = one.x + one.width <= other.x or other.x + other.width <= one.x
            apart_y = one.y + one.height <= other.y or other.y + other.height <= one.y
            assert apart_x or apart_y


def test_all_stages_take_one_layout(monkeypatch):
    made = []
    render = plan.render_svg
    monkeypatch.setattr(plan, "render_svg", lambda *a: made.append(a) or render(*a))
    reel = Reel.of(recorded("residual"))
    found = film_of(reel)
    for stage in found.stages:
        found.svg(stage)
    assert len(made) == 1


def test_what_is_fused_has_one_place_from_the_start(three_stages):
    places = [three_stages.box_of("s0", node) for node in ("n0", "n1")]
    assert places[0] == places[1] == three_stages.box_of("s2", "n1")
    assert three_stages.nodes_of("s0", places[0]) == ("n0", "n1")


def test_what_stands_on_a_value_has_one_place(three_stages):
    assert three_stages.box_of("s1", "n3") == three_stages.box_of("s2", "n2")
    assert three_stages.box_of("s2", "n3", is_before=True) == three_stages.box_of("s1", "n3")
    gone = box(three_stages.svg("s2"), three_stages.box_of("s1", "n3"))
    assert [t.text for t in gone.iter(f"{SVG}text")] == ["− observer", "+ dequantize"]


def test_lines_run_where_something_will_stand():
    lines, routes = route(
        [{("a", "b")}, {("a", "o"), ("o", "b")}], [{"a", "b"}, {"a", "o", "b"}],
        {"a": 0, "o": 1, "b": 2},
    )  # fmt: skip
    assert set(lines) == {("a", "o"), ("o", "b")}
    assert routes[0] == {("a", "b"): ("a", "o", "b")}


def test_before_and_after_are_each_one_graph_alone(three_stages):
    before, after = (three_stages.svg("s1", side=side) for side in (Side.BEFORE, Side.AFTER))
    assert words(before) == words(three_stages.svg("s0"))
    assert words(after).count("+ observer") == 2
    gone = three_stages.box_of("s1", "n3")
    assert "− observer" in words(three_stages.svg("s2", side=Side.BEFORE))
    assert [
        t.text for t in box(three_stages.svg("s2", side=Side.AFTER), gone).iter(f"{SVG}text")
    ] == ["+ dequantize"]


def test_lines_and_frames_say_what_they_join_and_hold():
    found = film(recorded("residual"), frozenset())
    drawn = ElementTree.fromstring(found.svg("input"))
    groups = list(drawn.iter(f"{SVG}g"))
    boxes = {g.get("id") for g in groups if g.get("class", "").startswith("node ")}
    edges = [g for g in groups if g.get("class", "").startswith("edge ")]
    assert edges
    assert all({edge.get("data-from"), edge.get("data-to")} <= boxes for edge in edges)
    frames = {g.get("data-path") for g in groups if g.get("class", "").startswith("cluster ")}
    assert frames == {"block1", "block2"}


def test_far_from_changes_is_faint(three_stages):
    assert 'opacity="0.2"' not in three_stages.svg("s1")
    assert three_stages.svg("s1", hops=0).count('opacity="0.2"') > three_stages.svg(
        "s1", hops=1
    ).count('opacity="0.2"')


def test_an_unknown_stage_is_told_the_stages(three_stages):
    with pytest.raises(KeyError, match="must be one of"):
        three_stages.svg("nope")


def test_what_has_no_box_counts_as_in_the_difference():
    """A list of a number that changed is drawn as changed where it is used, and is the same."""

    def conv(stride: int) -> Graph:
        built = Builder("x")
        built.constant(stride, out="one")
        built.node("prim::ListConstruct", "one", "one", out="stride")
        built.node("aten::conv2d", "x", "stride", out="y")
        return built.graph("y")

    told = {"n0": (("attributes", "1", "2"),)}
    pairs = {f"n{k}": f"n{k}" for k in range(3)}
    scenes = [Scene("s0", conv(1)), Scene("s1", conv(2), pair(conv(1), conv(2), pairs, told))]
    found = film_of(Reel.of_scenes(scenes))
    assert "2 nodes have no box (~1)" in found.note("s1")
    assert 'class="node changed' in found.svg("s1")


# Folding ------------------------------------------------------------------------------------------


def test_a_folded_module_is_one_box_with_its_counts():
    found = film(recorded("residual"), frozenset({"block1"}))
    said = words(found.svg("insert_observers"))
    assert "~ block1" in said
    assert "+5 of 10 nodes" in said
    assert found.modules_of("m-block1") == ("block1",)
    assert "1 module is folded (10 nodes)" in found.note("insert_observers")


def test_a_batch_norm_that_no_stage_has_touched_is_one_box():
    """With its branches for training it would be wider than all else."""
    given = replace(recorded("residual"), stages=())
    folds = {"block1.bn1", "block1.bn2", "block2.bn1", "block2.bn2"}
    assert film(given).folds == folds
    assert film(given).plan.width < film(given, frozenset()).plan.width / 2
    assert not film(recorded("residual")).folds & folds


def test_moves_are_pure():
    folds = frozenset({"a", "a.b", "c"})
    assert unfold(folds, "a.b") == {"c"}
    assert fold(frozenset(), "a") == {"a"}
    assert folds == {"a", "a.b", "c"}


def repeated_blocks(count: int) -> Graph:
    built = Builder("x")
    value = "x"
    for number in range(count):
        for step in ("aten::tanh", "aten::sigmoid", "aten::neg", "aten::exp"):
            value = built.node(step, value, out=f"{step[6:]}{number}", path=f"net.{number}")
    return built.graph(value)


def test_alike_neighbours_share_a_box_and_only_the_first_is_unfolded():
    graph = repeated_blocks(30)
    digests = {f"net.{number}": "one code" for number in range(30)}
    reel = Reel.of_scenes([Scene("s0", graph)], {"net.1": "Block"}, digests)
    found = film_of(reel)
    assert len(found.stands) == 7
    assert "net.1 … net.29" in words(found.svg("s0"))
    assert "Block ×29, all alike" in words(found.svg("s0"))
    split = film_of(reel, unfold(found.folds, "net.3"))
    assert {"net.1 … net.2", "net.4 … net.29"} <= set(words(split.svg("s0")))


def test_before_the_title_of_a_folded_module_is_room_for_the_sign_that_unfolds_it():
    digests = {f"net.{number}": "one code" for number in range(30)}
    found = film_of(Reel.of_scenes([Scene("s0", repeated_blocks(30))], {}, digests))
    left, _, right, _ = extents(found.svg("s0"))["m-net.1"]  # with the edges of those behind it
    (title,) = [text for text in words(found.svg("s0")) if text.startswith("net.1 ")]
    assert (right - left - text_width(title, TITLE, is_bold=True)) / 2 >= 20


def test_a_large_graph_has_at_most_100_boxes_with_modules_and_without():
    for graph in (layers(2000), layers(2000, with_modules=False)):
        assert len(film_of(Reel.of_scenes([Scene("s0", graph)])).stands) <= 100


def test_a_number_that_is_quantized_stands_with_the_op_that_takes_it():
    """The 6 of a relu6, which the pass puts in without saying for which module."""
    model, x = distinct_net("inverted", 2, "scripted")
    found = film(jq.Session.static(model, {"": FBGEMM}, calibrate, [[(x,)]]).run())
    number = found.stages.index("insert_quant_dequant")
    place_of = found.reel.place_of[number]
    kinds = {node.id: node.kind for node in found.reel.scenes[number].drawn}
    clamps = {place_of[node] for node, kind in kinds.items() if kind == "aten::hardtanh"}
    numbers = {place_of[node] for node, kind in kinds.items() if kind == "aten::scalar_tensor"}
    assert numbers == clamps


def test_a_layout_that_takes_too_long_is_made_of_less(monkeypatch):
    render = plan.render_svg
    patience = []

    def slow(source: str, timeout: float) -> str:
        patience.append(timeout)
        if source.count("[height") > 30:
            raise RenderTimeout("too slow")
        return render(source, timeout)

    monkeypatch.setattr(plan, "render_svg", slow)
    found = film_of(Reel.of_scenes([Scene("s0", layers(120))]), frozenset(), timeout=4.0)
    assert len(found.stands) <= 30
    assert "took longer than" in found.note("s0")
    assert sum(patience) <= 4.0

    monkeypatch.setattr(plan, "render_svg", lambda *_: (_ for _ in ()).throw(RenderTimeout("no")))
    with pytest.raises(RenderTimeout):
        film_of(Reel.of_scenes([Scene("s0", layers(120))]))


# Domains ------------------------------------------------------------------------------------------


def test_domains_follow_the_data():
    graph = chain(
        "aten::relu", "aten::quantize_per_tensor", "aten::max_pool2d", "quantized::linear",
        "aten::dequantize", "quantized::linear_dynamic",
    )  # fmt: skip
    found = domains_of(graph)
    expected = ["float", "quantized", "quantized", "quantized", "float", "float"]
    assert [found[f"v{number}"] for number in range(6)] == expected


def test_an_if_hands_on_the_domain_of_its_blocks():
    built = Builder("x")
    built.types["c"] = "bool"
    built.node("aten::is_floating_point", "x", out="c")
    built.node("prim::If", "c", out="y", blocks=("t", "f"))
    built.node("aten::quantize_per_tensor", "x", out="q", block="t")
    built.node("quantized::relu", "x", out="r", block="f")
    built.close("t", ("q",))
    built.close("f", ("r",))
    built.node("aten::flatten", "y", out="z")
    assert domains_of(built.graph("z"))["z"] is Domain.QUANTIZED


def test_a_change_of_domain_is_written_at_its_line(three_stages):
    assert "quantized" not in words(three_stages.svg("s1"))
    assert {"quantized", "float"} <= set(words(three_stages.svg("s2")))


def test_a_quantize_whose_dequantize_is_left_beside_kernels_stands_out():
    kinds = ("aten::quantize_per_tensor", "aten::dequantize", "aten::softmax")
    without = film_by_hand([chain(*kinds)], [])
    with_kernel = film_by_hand([chain(*kinds, "quantized::linear")], [])
    assert " pair" not in without.svg("s0")
    assert 'class="node same observer pair"' in with_kernel.svg("s0")
    assert "quantize → dequantize" in words(with_kernel.svg("s0"))


# Safe ---------------------------------------------------------------------------------------------


def test_hostile_names_stay_text():
    built = Builder("x")
    built.node(f"aten::{HOSTILE}", "x", out="y", path=f"{HOSTILE}.a", source=HOSTILE)
    built.node(f"my::{HOSTILE}", "y", out=HOSTILE, path=f"{HOSTILE}.a", text=HOSTILE)
    reel = Reel.of_scenes([Scene("s0", built.graph(HOSTILE))], {HOSTILE: HOSTILE})
    for folds in (frozenset(), frozenset(Folding.of(reel).regions)):
        svg = film_of(reel, folds).svg("s0")
        ElementTree.fromstring(svg)
        assert "<img" not in svg
        assert "</script" not in svg
        assert "\x1b" not in svg
