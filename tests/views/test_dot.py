"""Drawings: which boxes, edges and frames there are, and how they are written as DOT."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from views.build import HOSTILE, Builder, layers, observed, pair, quantized, unchanged

from jitq_explore.snapshots.graph import Graph
from jitq_explore.views.boxes import Box, Cluster, Picture, Role, Status, node_of, svg_id
from jitq_explore.views.clusters import clusters_of
from jitq_explore.views.dot import diff_dot, draw, graph_dot
from jitq_explore.views.fitting import fit
from jitq_explore.views.printable import printable
from jitq_explore.views.render import render_svg
from jitq_explore.views.sketch import sketch_diff, sketch_graph


def statuses(picture: Picture) -> dict[str, str]:
    return {box.id: str(box.status) for box in picture.boxes}


def edges(picture: Picture) -> dict[tuple[str, str], str]:
    return {(edge.tail, edge.head): str(edge.status) for edge in picture.edges}


def box(picture: Picture, box_id: str) -> Box:
    return next(box for box in picture.boxes if box.id == box_id)


def outline(cluster: Cluster) -> list[object]:
    """Frames as nested lists of labels and boxes' titles."""
    inner = [
        [".".join(level.label for level in frame.region), outline(frame)] for frame in cluster.inner
    ]
    return [*(box.title for box in cluster.boxes), *inner]


# What is drawn


def test_one_graph_with_a_status_on_every_box():
    assert statuses(sketch_diff(observed())) == {
        "i-1": "same",
        "a-n2": "added",
        "a-n3": "added",
        "a-n5": "same",
        "a-n6": "same",
        "o-0": "same",
    }


def test_edges_past_what_was_put_in_their_way_are_not_drawn():
    assert edges(sketch_diff(observed())) == {
        ("i-1", "a-n2"): "added",
        ("a-n2", "a-n5"): "added",
        ("a-n3", "a-n5"): "added",
        ("a-n5", "a-n6"): "same",
        ("a-n6", "o-0"): "same",
    }


def test_what_was_taken_out_leaves_its_old_edges_and_the_new_one():
    picture = sketch_diff(quantized())
    assert statuses(picture)["b-n3"] == "removed"
    assert edges(picture) == {
        ("i-1", "a-n1"): "added",
        ("a-n1", "a-n2"): "added",
        ("a-n2", "o-0"): "same",
        ("i-1", "b-n0"): "removed",
        ("b-n0", "a-n1"): "removed",
        ("a-n1", "b-n3"): "removed",
        ("b-n3", "a-n2"): "removed",
    }


def test_constants_and_weights_are_in_the_labels_of_their_users():
    assert box(sketch_graph(observed().before), "a-n3").lines == (
        "weight: conv.weight",
        "stride 2",
        "%y",
    )
    assert "weight: conv.weight" in box(sketch_diff(observed()), "a-n3").lines


def test_a_label_says_a_long_name_once():
    built = Builder("x")
    path = "encoder.block.bn1.num_batches_tracked"
    built.node("prim::GetAttr", "self", out="t", name=path)
    built.node("aten::add_", "t", "x", out="y")
    (line,) = [line for line in box(sketch_graph(built.graph("y")), "a-n1").lines if "num_" in line]
    assert line == path


def test_changed_constants_show_at_their_users():
    def conv(stride: int) -> Graph:
        built = Builder("x")
        built.weight("conv.weight", out="w")
        built.constant(None, out="none")
        built.constant((stride, stride), out="stride")
        built.node("aten::conv2d", "x", "w", "none", "stride", out="y")
        return built.graph("y")

    told = {"n3": (("attributes", "[1, 1]", "[2, 2]"),)}
    pairs = {f"n{k}": f"n{k}" for k in range(5)}
    picture = sketch_diff(pair(conv(1), conv(2), pairs, told))
    assert statuses(picture)["a-n4"] == "changed"
    assert "stride: 1 → 2" in box(picture, "a-n4").lines
    assert picture.notes == (
        "4 nodes have no box (~1): constants and attribute reads (in labels), checks",
    )


def test_a_changed_kind_is_shown_old_and_new():
    changed = box(sketch_diff(quantized()), "a-n1")
    assert changed.title == "conv2d + relu →\nquantized::conv2d_relu"
    assert changed.status is Status.CHANGED
    assert "kind: aten::conv2d + aten::relu → quantized::conv2d_relu" in changed.tooltip


def test_a_fused_op_stays_in_the_module_of_its_parts():
    changed = box(sketch_diff(quantized()), "a-n1")
    assert [level.name for level in changed.region] == ["block"]


def test_observers_and_quantize_have_shapes_of_their_own():
    roles = {b.id: b.role for d in (observed(), quantized()) for b in sketch_diff(d).boxes}
    assert roles["a-n3"] is Role.OBSERVER
    assert roles["b-n3"] is Role.QUANTIZE
    assert roles["b-n0"] is Role.DEQUANTIZE
    source = diff_dot(quantized()).dot.source
    assert "shape=polygon" in source
    assert "shape=cylinder" in diff_dot(observed()).dot.source


def test_an_observer_is_named_by_its_class():
    built = Builder("x")
    built.node("jitq::observe", "x", out="y", **{"class": "HistogramObserver"})
    assert box(sketch_graph(built.graph("y")), "a-n0").title == "HistogramObserver"


def test_tooltips_tell_kind_module_and_source_line():
    tooltip = box(sketch_diff(observed()), "a-n5").tooltip.splitlines()
    assert tooltip[0] == "aten::conv2d (same)"
    assert "module conv" in tooltip
    assert tooltip[-1] == "net.py:9  x = self.conv(x)"


# Frames


def test_modules_are_frames_except_around_a_single_box():
    built = Builder("x")
    for number, path in enumerate(("layer.0.conv", "layer.0.conv", "layer.0.bn", "layer.1", "fc")):
        value = f"v{number - 1}" if number else "x"
        built.node(f"aten::op{number}", value, out=f"v{number}", path=path)
    assert outline(clusters_of(sketch_graph(built.graph("v4")))) == [
        "input %x",
        "output %v4",
        "op4",
        ["layer", ["op3", ["layer.0", ["op2", ["layer.0.conv", ["op0", "op1"]]]]]],
    ]


def test_a_module_called_twice_is_neither_one_frame_nor_one_box():
    built = Builder("x")
    for number, path in enumerate(("relu", "relu", "conv", "relu", "relu")):
        value = f"v{number - 1}" if number else "x"
        built.node(f"aten::op{number}", value, out=f"v{number}", path=path)
    picture = sketch_graph(built.graph("v4"))
    assert outline(clusters_of(picture)) == [
        "input %x",
        "output %v4",
        "op2",
        ["relu", ["op0", "op1"]],
        ["relu", ["op3", "op4"]],
    ]
    folded = fit(picture, max_nodes=5)
    assert [box.id for box in folded.boxes] == ["i-1", "m-relu", "a-n2", "m-relu-1", "o-0"]


def branched(*, settled: bool) -> Graph:
    """relu where the condition holds, else sigmoid; a constant condition where `settled`."""
    built = Builder("x", "condition")
    condition = built.constant(False, out="no") if settled else "condition"
    built.node("prim::If", condition, out="y", blocks=("b0", "b1"))
    built.node("aten::relu", "x", out="y0", block="b0")
    built.node("aten::sigmoid", "x", out="y1", block="b1")
    built.close("b0", ("y0",))
    built.close("b1", ("y1",))
    return built.graph("y")


def test_blocks_of_an_if_are_frames_side_by_side():
    picture = sketch_graph(branched(settled=False))
    assert outline(clusters_of(picture)) == [
        "input %x",
        "input %condition",
        "If",
        "output %y",
        ["If: true", ["relu"]],
        ["If: false", ["sigmoid"]],
    ]
    assert ("a-n1", "a-n0") in edges(picture)


def test_a_branch_that_is_never_taken_is_not_drawn():
    picture = sketch_graph(branched(settled=True))
    assert [box.title for box in picture.boxes] == [
        "input %x", "input %condition", "sigmoid", "output %y",
    ]  # fmt: skip
    assert edges(picture) == {("i-1", "a-n3"): "same", ("a-n3", "o-0"): "same"}


def test_what_a_setting_of_the_model_decides_is_not_drawn():
    built = Builder("self", "x")
    built.node("prim::GetAttr", "self", out="stride", name="stride")
    built.constant(1, "one")
    built.node("aten::eq", "stride", "one", out="is_one")
    built.node("prim::If", "is_one", out="y", blocks=("b0", "b1"))
    built.node("aten::relu", "x", out="r", block="b0")
    built.node("aten::sigmoid", "x", out="s", block="b1")
    built.close("b0", ("r",))
    built.close("b1", ("s",))
    built.node("aten::dropout", "y", "is_one", out="z")
    picture = sketch_graph(replace(built.graph("z"), held={"stride": 2}))
    assert [box.title for box in picture.boxes] == ["input %x", "sigmoid", "dropout", "output %z"]
    assert "False" in str(box(picture, "a-n6"))


def test_a_check_that_only_raises_is_not_drawn():
    built = Builder("x")
    built.node("aten::dim", "x", out="dim")
    built.node("aten::ne", "dim", out="bad")
    built.node("prim::If", "bad", blocks=("b0", "b1"))
    built.node("prim::RaiseException", "bad", block="b0")
    built.node("aten::relu", "x", out="y")
    assert [box.title for box in sketch_graph(built.graph("y")).boxes] == [
        "input %x", "relu", "output %y",
    ]  # fmt: skip


def test_a_loop_feeds_its_own_body():
    built = Builder("x")
    built.constant(3, out="rounds")
    built.node("prim::Loop", "rounds", "rounds", "x", out="y", blocks=("b0",))
    built.node("aten::relu", "carried", out="next", block="b0")
    built.close("b0", ("rounds", "next"), inputs=("round", "carried"))
    picture = sketch_graph(built.graph("y"))
    assert outline(clusters_of(picture))[-1] == ["Loop body", ["relu"]]
    assert edges(picture).keys() == {
        ("i-1", "a-n1"), ("i-1", "a-n2"), ("a-n2", "a-n1"), ("a-n1", "a-n2"), ("a-n1", "o-0"),
    }  # fmt: skip
    assert [edge.head for edge in picture.edges if edge.is_back] == ["a-n2"]


# How much is drawn


def test_nothing_changed_is_said_above_the_graph():
    drawing = diff_dot(unchanged(layers(5)))
    assert "nothing changed (5 nodes)" in drawing.dot.source
    assert drawing.nodes_drawn == 7
    assert drawing.note == ""


def test_a_graph_that_holds_nothing_is_still_a_picture():
    drawing = diff_dot(unchanged(Builder().graph()))
    assert "nothing changed" in drawing.dot.source
    assert render_svg(drawing.dot.source).startswith("<svg")


def test_a_local_change_in_a_large_graph_is_shown_with_its_neighbours():
    picture = fit(sketch_diff(unchanged(layers(1000), changed=("n500", "n501"))))
    assert [box.id for box in picture.boxes] == [
        "i-1", "a-n499", "a-n500", "a-n501", "a-n502", "o-0",
    ]  # fmt: skip
    assert picture.notes == ("996 boxes are left out; dotted lines pass over them",)
    assert {(e.tail, e.head): e.skipped for e in picture.edges if e.skipped} == {
        ("i-1", "a-n499"): 499,
        ("a-n502", "o-0"): 497,
    }


def test_changes_all_over_a_large_graph_fold_into_their_modules():
    everywhere = tuple(f"n{k}" for k in range(0, 1000, 5))
    picture = fit(sketch_diff(unchanged(layers(1000), changed=everywhere)))
    assert len(picture.boxes) == 22
    assert box(picture, "m-stage3").lines == ("~10 of 50 nodes",)
    assert picture.notes == ("20 boxes with a tab stand for 1000 nodes",)


def test_modules_without_changes_fold_first():
    some = tuple(f"n{k}" for k in range(200, 300, 5))
    picture = fit(sketch_diff(unchanged(layers(300), changed=some)), max_nodes=110)
    assert statuses(picture)["m-stage0"] == "same"
    assert {"a-n200", "a-n299"} <= statuses(picture).keys()


@pytest.mark.parametrize("changed", [(), tuple(f"n{k}" for k in range(0, 1000, 2))])
def test_a_large_graph_without_modules_fits_too(changed):
    drawing = diff_dot(unchanged(layers(1000, with_modules=False), changed=changed))
    assert 20 < drawing.nodes_drawn <= 100
    assert drawing.note.endswith("boxes with a tab stand for 1000 nodes")
    assert render_svg(drawing.dot.source).count('class="node') == drawing.nodes_drawn


def test_hops_and_only_show_less():
    diff = unchanged(layers(60), changed=("n5",))
    assert diff_dot(diff, hops=0).nodes_drawn == 3
    assert diff_dot(diff, hops=2).nodes_drawn == 7
    assert diff_dot(diff, only="stage0.1").nodes_drawn == 12
    assert "50 boxes are left out" in diff_dot(diff, only="stage0.1").note


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hops": -1}, "hops must not be negative, got -1"),
        ({"max_nodes": 3}, "max_nodes must be at least 4, got 3"),
        ({"only": "stag"}, "unknown module 'stag' (there are ['stage0.0'])"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        diff_dot(unchanged(layers(10)), **options)


# As DOT and SVG


def test_colours_come_with_signs():
    source = diff_dot(observed()).dot.source
    assert "<B>+ observer</B>" in source
    assert "+ 2 added" in source
    removed = diff_dot(quantized()).dot.source
    assert "<B>− quantize_per_tensor</B>" in removed
    assert "<B>~ conv2d + relu →<BR/>quantized::conv2d_relu</B>" in removed


def test_boxes_have_ids_in_the_svg():
    svg = render_svg(diff_dot(quantized()).dot.source)
    ids = {g.get("id") for g in groups(svg, "node")}
    assert ids == {"i-1", "b-n0", "a-n1", "b-n3", "a-n2", "o-0"}


@pytest.mark.parametrize("name", ["n12", "a-b.c", HOSTILE, "\ud800", "%2F é"])
@pytest.mark.parametrize("side", ["before", "after"])
def test_ids_lead_back_to_nodes(side, name):
    assert re.fullmatch(r"[ab]-[\w.~%-]+", svg_id(side, name), re.ASCII)
    assert node_of(svg_id(side, name)) == (side, name)


def test_boxes_that_are_no_node_lead_nowhere():
    assert node_of("m-layer1.0") is None
    assert node_of("i-0") is None


def test_hostile_names_are_text_and_nothing_else():
    built = Builder(HOSTILE)
    weight = built.weight(f"{HOSTILE}.weight", out="w")
    built.constant(HOSTILE, out="c")
    for number in range(2):
        built.node(
            f"my::{HOSTILE}", HOSTILE, weight, "c", out=f"{HOSTILE}{number}", path=HOSTILE
        )  # fmt: skip
    graph = built.graph(f"{HOSTILE}0")
    diff = pair(graph, graph, {"n0": "n0"}, names=(HOSTILE, HOSTILE))
    svg = render_svg(diff_dot(diff).dot.source)
    root = ElementTree.fromstring(svg)
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert tags <= {"svg", "g", "title", "text", "polygon", "path", "ellipse"}
    assert not any(key.startswith("on") or "href" in key for e in root.iter() for key in e.attrib)
    texts = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert f"+ my::{printable(HOSTILE)}" in texts
    assert f"{printable(HOSTILE)} → {printable(HOSTILE)}" in texts


def groups(svg: str, kind: str) -> list[ElementTree.Element]:
    found = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}g")
    return [group for group in found if kind in group.get("class", "").split()]


def test_tooltips_are_where_browsers_show_them():
    svg = render_svg(diff_dot(observed()).dot.source)
    titles = {g.get("id"): g.findtext("{*}title") for g in groups(svg, "node")}
    assert titles["a-n5"].startswith("aten::conv2d (same)\nmodule conv\n")
    assert "a-n5" not in titles.values()


def test_one_graph_alone_has_a_title_and_no_counts():
    source = graph_dot(layers(3), title="<input>").dot.source
    assert "&lt;input&gt;" in source
    assert "the same" not in source


def test_the_same_picture_is_the_same_text():
    assert draw(sketch_diff(observed())).dot.source == diff_dot(observed()).dot.source
