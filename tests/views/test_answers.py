"""What the page asks is answered as the contract says, in JSON, and ids lead somewhere."""

from __future__ import annotations

import functools
import json
import math
import re
from dataclasses import replace
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import pytest
from runs import recorded, session
from snapshots.build import recording, snapshot
from torch.ao.quantization import default_qconfig
from views.build import HOSTILE, Builder

from jitq_explore.snapshots.calls import reached_methods
from jitq_explore.snapshots.graph import Value, plain_type
from jitq_explore.snapshots.observers import ObserverReading
from jitq_explore.snapshots.recording import Recording, Snapshot, StageError
from jitq_explore.views.answers import Answers
from jitq_explore.views.answers.pages import Page
from jitq_explore.views.answers.quantization import clip_points
from jitq_explore.views.answers.run import counts_of
from jitq_explore.views.answers.text_lines import marked
from jitq_explore.views.answers.wording import duration
from jitq_explore.views.boxes import Status

RUNS = (
    ("conv_bn_relu", "scripted", "static"),
    ("residual", "traced", "static"),
    ("branch", "scripted", "static"),
    ("loop", "scripted", "dynamic"),
    ("lstm", "traced", "dynamic"),
    ("mlp", "scripted", "on_device"),
)
PAIRS = ("static and dynamic", "two qconfigs")
TABLES = (
    "observers", "quant_nodes", "findings", "lineage", "numerics", "calibration",
    "recommendations", "stages",
)  # fmt: skip
SIDES = ("union", "before", "after")
SVG = "{http://www.w3.org/2000/svg}"


@functools.cache
def answers(run: tuple[str, str, str] | str) -> Answers:
    if run == "static and dynamic":
        return Answers.of_pair(recorded("residual"), recorded("residual", mode="dynamic"))
    if run == "two qconfigs":
        other = session("residual", qconfig=default_qconfig).run()
        return Answers.of_pair(recorded("residual"), other, ("mine", "theirs"))
    return Answers.of(recorded(*run))


def ask(about: Answers, kind: str, **arguments: Any) -> Any:
    """The answer, as the page gets it."""
    found = about.answer(kind, arguments)
    assert not (isinstance(found, dict) and "error" in found and "name" not in found), found
    return json.loads(json.dumps(found, allow_nan=False))


def stages(about: Answers) -> list[str]:
    return [stage["name"] for stage in ask(about, "run")["stages"]]


def ids(about: Answers, stage: str, gone: bool = False) -> set[str]:
    return {n["id"] for n in ask(about, "nodes", stage=stage) if n["gone"] is gone}


every = pytest.mark.parametrize("run", [*RUNS, *PAIRS], ids=str)
single = pytest.mark.parametrize("run", RUNS, ids=str)


# The run ------------------------------------------------------------------------------------------


@every
def test_the_run_says_what_became_of_each_stage(run):
    found = ask(answers(run), "run")
    assert set(found) == {
        "title", "facts", "runs", "live", "busy", "stages", "toCome", "qconfig", "qconfigChoices",
        "tabs", "plotTabs", "canCompare", "earlier", "measured",
    }  # fmt: skip
    assert found["stages"][0]["name"] == "input"
    assert [tab["name"] for tab in found["tabs"]] == list(TABLES)
    for stage in found["stages"]:
        assert stage["outcome"] in ("input", "changed", "unchanged", "failed")
        assert stage["added"] + stage["same"] <= stage["nodes"]
        assert stage["label"]


def test_a_stage_that_only_feeds_observers_says_so():
    stage = ask(answers(RUNS[0]), "run")["stages"][3]
    assert stage["name"] == "calibrate"
    assert stage["label"] == "2 batches"
    assert "fed to 7 observers" in stage["sentence"]


def test_a_stage_that_only_fills_the_model_says_so():
    stages = ask(answers(("mlp", "scripted", "on_device")), "run")["stages"]
    (told,) = (stage for stage in stages if stage["name"] == "quantize")
    assert (told["outcome"], told["label"]) == ("changed", "graph unchanged")
    assert re.search(r"weight.* and \d packed weights? hold something else", told["sentence"])


def test_a_failed_stage_tells_its_error():
    run = recorded("mlp")
    error = StageError("ValueError", HOSTILE, "Traceback")
    failed = replace(run.stages[0], after=run.input, error=error)
    stage = ask(Answers.of(replace(run, stages=(failed,))), "run")["stages"][1]
    assert (stage["outcome"], stage["label"]) == ("failed", "failed")
    assert stage["error"]["message"].startswith("ValueError: </script>")
    assert "\x1b" not in stage["error"]["message"]
    assert stage["error"]["traceback"] == "Traceback"


def test_a_run_that_goes_on_tells_what_is_to_come_and_keeps_what_is_known():
    run = recorded("mlp")
    short = Answers.of(replace(run, stages=run.stages[:2]))
    assert ask(short, "run")["toCome"] == list(run.planned[2:])
    known = short.answer("nodes", {"stage": "insert_observers"})
    longer = Answers.of(run, before=short)
    assert ask(longer, "run")["toCome"] == []
    assert longer.answer("nodes", {"stage": "insert_observers"}) is known


# Drawings -----------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("side", SIDES)
def test_every_node_is_shown_by_a_box_that_is_drawn(run, side):
    about = answers(run)
    for stage in stages(about):
        found = ask(about, "drawing", stage=stage, side=side)
        assert found["problem"] == ""
        drawn = ElementTree.fromstring(found["svg"])
        boxes = {g.get("id") for g in drawn.iter(f"{SVG}g") if "node" in g.get("class", "")}
        assert found["boxes"].keys() <= ids(about, stage)
        assert found["gone"].keys() <= ids(about, stage, gone=True)
        if side != "before":
            assert set(found["boxes"].values()) <= boxes
        if side != "after":
            assert set(found["gone"].values()) <= boxes
        for edge in (g for g in drawn.iter(f"{SVG}g") if "edge" in g.get("class", "")):
            assert {edge.get("data-from"), edge.get("data-to")} <= boxes


@single
def test_sides_show_only_what_is_there(run):
    about = answers(run)
    for stage in stages(about)[1:]:
        before, after = (
            ask(about, "drawing", stage=stage, side=side)["svg"] for side in ("before", "after")
        )
        assert 'class="row added"' not in before
        assert 'class="row removed"' not in after
        assert 'class="edge removed"' not in before + after


def test_what_the_stage_takes_away_is_marked_before_it():
    found = ask(answers(RUNS[0]), "drawing", stage="insert_quant_dequant", side="before")
    assert found["svg"].count("− HistogramObserver") == 4


def test_frames_and_groups_lead_to_what_can_be_folded():
    about = answers(("residual", "traced", "static"))
    open_ = ask(about, "drawing", stage="input", folds=[])
    paths = {region["path"] for region in open_["regions"]}
    frames = [
        g.get("data-path")
        for g in ElementTree.fromstring(open_["svg"]).iter(f"{SVG}g")
        if "cluster" in g.get("class", "")
    ]
    assert {"block1", "block2"} <= set(frames) <= paths
    folded = ask(about, "drawing", stage="dce", folds=["block1"])
    assert folded["folds"] == ["block1"]
    assert ["block1"] in folded["groups"].values()


# Nodes --------------------------------------------------------------------------------------------


@single
def test_links_lead_from_nodes_to_nodes(run):
    about = answers(run)
    names = stages(about)
    for before, stage in pairwise(names):
        found = ask(about, "links", stage=stage)
        assert found["forward"].keys() <= ids(about, before)
        assert found["back"].keys() <= ids(about, stage)
        for old, new in found["forward"].items():
            assert all(old in found["back"][each] for each in new)
        assert not found["heirs"].keys() & found["forward"].keys()
        assert not found["forebears"].keys() & found["back"].keys()


def test_what_stands_for_an_observed_value_takes_the_place_of_its_observer():
    about = answers(RUNS[0])

    def kinds(stage):
        return {n["id"]: n["kind"] for n in ask(about, "nodes", stage=stage) if not n["gone"]}

    def led(way, stage, here, there):
        found = ask(about, "links", stage=stage)[way]
        here, there = kinds(here), kinds(there)
        return {(here[one], *(there[each] for each in others)) for one, others in found.items()}

    observed, quantized = "calibrate", "insert_quant_dequant"
    heirs = led("heirs", quantized, observed, quantized)
    assert ("jitq::observe", "aten::quantize_per_channel", "aten::dequantize") in heirs
    forebears = led("forebears", quantized, quantized, observed)
    assert ("aten::quantize_per_channel", "jitq::observe") in forebears
    packed = led("heirs", "quant_finalize", quantized, "quant_finalize")
    assert ("aten::quantize_per_channel", "quantized::conv2d_relu") in packed


def test_a_search_finds_a_node_by_what_it_was():
    nodes = ask(answers(RUNS[0]), "nodes", stage="quant_finalize")
    found = [node for node in nodes if "aten::relu" in node["words"]]
    assert {node["kind"] for node in found} == {"quantized::conv2d_relu"}
    assert found[0]["title"].startswith("quantized::conv2d_relu · %")


def test_changed_nodes_with_one_title_are_told_apart():
    found = ask(answers(RUNS[0]), "nodes", stage="fold_conv_bn")
    changed = [node for node in found if node["status"] != "same"]
    known = {(node["title"], node.get("where")) for node in changed}
    assert len(known) == len(changed) > 100
    raised = "RaiseException · 'expected 4D input (got {}D input)'"
    assert {("If bn1.training", None), (raised, "bn1"), (raised, "bn2")} < known


def test_of_one_module_s_nodes_with_one_title_your_own_lines_tell():
    built = Builder("x")
    for value in ("y9", "y12"):
        built.node("aten::relu_", "x", out=value, path="relu")
    called = built.graph("y12")
    nodes = [replace(each, frames=(f"net.py:{each.outputs[0][1:]}:4",)) for each in called.nodes]
    values = {name: Value(name, "y", "Tensor") for name in called.values}
    called = replace(called, nodes=tuple(nodes), values=values)
    run = recording(snapshot(Builder("x").graph("x")), snapshot(called))
    found = ask(Answers.of(run), "nodes", stage=run.names[0])
    assert [node["title"] for node in found] == ["relu_ · %y"] * 2
    assert [node["where"] for node in found] == ["relu · net.py:9", "relu · net.py:12"]


def test_weights_go_by_their_place_in_the_model_not_by_torch_s_names():
    about = answers(RUNS[1])
    title = {
        stage: [node["title"] for node in ask(about, "nodes", stage=stage)]
        for stage in ("insert_observers", "quant_finalize")
    }
    assert "PerChannelMinMaxObserver · of fc.weight" in title["insert_observers"]
    assert [one for one in title["quant_finalize"] if "packed weight of fc" in one]
    kernels = [one for one in title["quant_finalize"] if one.startswith("quantized::conv2d")]
    assert len(kernels) == 5
    assert "GetAttr packed weight of fc" in title["quant_finalize"]
    assert "_jit_pass" not in " ".join(title["quant_finalize"])
    lineage = json.dumps(ask(about, "table", name="lineage"))
    assert "folded into the packed weight of quantized::linear" in lineage
    life = json.dumps(sections(about, "insert_quant_dequant", "aten::quantize_per_channel"))
    assert "into the packed weight of quantized::conv2d" in life
    kernel = json.dumps(sections(about, "quant_finalize", "quantized::linear"))
    table = json.dumps(ask(about, "table", name="quant_nodes"))
    assert "_jit_pass" not in lineage + life + kernel + table


@pytest.mark.parametrize("run", [*RUNS[:3], RUNS[4]], ids=str)
def test_a_quant_node_that_is_gone_is_where_its_work_is_done(run):
    about = answers(run)
    last = stages(about)[-1]
    kinds = {n["id"]: n["kind"] for n in ask(about, "nodes", stage=last) if not n["gone"]}
    table = ask(about, "table", name="quant_nodes")
    fate = [column["name"] for column in table["columns"]].index("fate")
    gone = re.compile(r"(fused into|folded into the packed weight of) (quantized::\w+)")
    taken = [
        (found[2], row) for row in table["rows"] if (found := gone.fullmatch(row["cells"][fate]))
    ]
    assert taken
    for kernel, row in taken:
        assert kernel in [kinds[node] for node in row["at"][last]], row


@every
def test_details_lead_to_nodes_that_exist(run):
    about = answers(run)
    for stage in stages(about):
        for node in ask(about, "nodes", stage=stage)[::3]:
            found = ask(about, "details", stage=stage, node=node["id"], gone=node["gone"])
            assert found["status"] == node["status"]
            there = ids(about, stage)
            before = ids(about, stage, gone=True)
            for section in found["sections"]:
                for row in section["rows"] if section["type"] == "pairs" else ():
                    assert row["node"] is None or row["node"] in (before if row["gone"] else there)
                for row in section["rows"] if section["type"] == "life" else ():
                    assert set(row["nodes"]) <= ids(about, row["stage"], row["gone"])
            assert not node["gone"] or node["id"] in before


def sections(about: Answers, stage: str, kind: str) -> dict[str, Any]:
    """The sections of the first node of that kind, by title."""
    node = next(n for n in ask(about, "nodes", stage=stage) if n["kind"] == kind)
    found = ask(about, "details", stage=stage, node=node["id"], gone=node["gone"])
    return {section["title"]: section for section in found["sections"]}


def test_a_kernel_tells_what_it_was_and_where_the_user_wrote_it():
    found = sections(answers(RUNS[0]), "quant_finalize", "quantized::conv2d_relu")
    (changed,) = found["What changed"]["rows"]
    assert changed["old"] == "aten::conv2d + aten::relu"
    (code,) = [section for section in found.values() if section["type"] == "code"]
    (line,) = [line for line in code["lines"] if line["mark"]]
    assert "self.bn1(self.conv1(x))" in line["text"]
    life = found["Life through the stages"]["rows"]
    assert [row["here"] for row in life].index(True) == 5
    assert "fused aten::conv2d + aten::relu" in life[5]["what"]
    (weight,) = [row for row in found["Inputs"]["rows"] if row["label"] == "weight"]
    assert weight["value"].startswith("packed qint8 ")
    assert "_jit_pass_packed_weight" not in json.dumps(found)


def test_only_what_is_fixed_is_old_or_new():
    """An observer put between a weight and its op does not change the op."""
    found = sections(answers(RUNS[0]), "insert_observers", "aten::conv2d")
    assert [row["old"] for row in found["Inputs"]["rows"]] == [None] * 7
    found = sections(answers(RUNS[0]), "quant_finalize", "aten::quantize_per_tensor")
    rows = {row["label"]: row for row in found["Inputs"]["rows"]}
    assert rows["dtype"]["value"] == "quint8"
    assert rows["dtype"]["old"] == "x.14_scalar_type_0 : quint8"


def test_an_observer_shows_its_range_qparams_and_histogram():
    found = sections(answers(RUNS[0]), "calibrate", "jitq::observe")
    (observed,) = [s for s in found.values() if s["title"].startswith("Observed activation")]
    rows = {row["label"]: row["value"] for row in observed["rows"]}
    assert {"range", "scale", "zero point", "clips at", "dtype"} <= rows.keys()
    assert found["Histogram"]["ask"]["name"] == "histogram"


def test_what_is_fetched_from_the_model_is_told():
    found = sections(answers(RUNS[0]), "quant_finalize", "prim::GetAttr")
    rows = {row["label"]: row["value"] for row in found["Outputs"]["rows"]}
    assert "packed qint8" in rows["what it is"]


def test_before_the_calibration_nothing_was_seen():
    found = sections(answers(RUNS[0]), "insert_observers", "jitq::observe")
    (observed,) = [s for s in found.values() if s["title"].startswith("Observed activation")]
    assert observed["rows"][0]["value"] == "nothing seen yet"
    assert "Histogram" not in found


def test_a_quantize_node_names_its_element_type():
    found = sections(answers(RUNS[0]), "dce", "aten::quantize_per_tensor")
    rows = {row["label"]: row["value"] for row in found["Inputs"]["rows"]}
    assert rows["dtype"] == "quint8"


def test_no_other_file_is_shown():
    """A recording may name any file as a source."""
    built = Builder("x")
    built.node("aten::relu", "x", out="y", source="/etc/passwd:1:0")
    found = details_of(built)
    (code,) = [section for section in found["sections"] if section["type"] == "code"]
    assert [line["text"] for line in code["lines"]] == ["line 1 of /etc/passwd (not readable here)"]


def test_clip_points_are_the_real_numbers_of_the_last_integers():
    reading = ObserverReading(
        "", "o", "Observer", "quint8", "per_tensor_affine", 0, 255, None, (-1.0,), (1.0,),
        (0.5,), (2,), True,
    )  # fmt: skip
    assert clip_points(reading) == (-1.0, 126.5)
    # A reduced range goes into the scale alone: the kernels use all that the dtype holds.
    assert clip_points(replace(reading, quant_max=127)) == (-1.0, 126.5)


# Tables -------------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("name", TABLES)
def test_the_rows_of_tables_lead_to_nodes(run, name):
    about = answers(run)
    found = ask(about, "table", name=name)
    there = {stage: ids(about, stage) for stage in stages(about)}
    assert found["rows"] or found["note"]
    for row in found["rows"]:
        assert len(row["cells"]) == len(found["columns"])
        assert all(set(nodes) <= there[stage] for stage, nodes in row["at"].items())
    assert all(column["hint"] for column in found["columns"])


def test_an_observed_value_is_found_at_every_stage():
    about = answers(RUNS[0])
    kinds = {
        stage: {n["id"]: n["kind"] for n in ask(about, "nodes", stage=stage) if not n["gone"]}
        for stage in stages(about)
    }
    rows = ask(about, "table", name="observers")["rows"]
    relu = next(row for row in rows if "aten::relu" in row["cells"])
    assert relu["at"].keys() == set(stages(about))
    seen = {stage: [kinds[stage][each] for each in nodes] for stage, nodes in relu["at"].items()}
    assert seen["input"] == ["aten::relu"]
    assert seen["calibrate"] == ["jitq::observe", "aten::relu"]
    assert seen["insert_quant_dequant"][:2] == ["aten::quantize_per_tensor", "aten::dequantize"]
    assert "quantized::conv2d_relu" in seen["dce"]


def test_what_is_not_there_is_said_once():
    found = ask(answers(RUNS[0]), "table", name="findings")
    assert not found["rows"]
    assert found["note"] == "Nothing was found."
    run = recorded(*RUNS[0])
    begun = ask(Answers.of(replace(run, stages=run.stages[:2])), "table", name="findings")
    assert begun["note"] == f"Nothing was found. {len(run) - 2} stages still to come."


def test_an_observer_without_data_is_bad():
    run = recorded("mlp")
    found = ask(Answers.of(replace(run, stages=run.stages[:2])), "table", name="observers")
    assert all(row["bad"] == ["calibrated"] for row in found["rows"])
    assert found["note"] == "5 observers not calibrated"


def test_numbers_that_json_cannot_hold_are_text():
    run = recorded("mlp")
    last = run.stages[2]
    wild = tuple(
        replace(reading, minimum=(-math.inf,), maximum=(math.nan,), scale=(math.inf,))
        for reading in last.after.observers
    )
    about = Answers.of(
        replace(run, stages=(*run.stages[:2], replace(last, after=last.after.with_observers(wild))))
    )
    found = ask(about, "table", name="observers")
    names = [column["name"] for column in found["columns"]]
    assert found["rows"][0]["cells"][names.index("min")] == "−∞"
    node = next(n for n in ask(about, "nodes", stage="calibrate") if n["kind"] == "jitq::observe")
    ask(about, "details", stage="calibrate", node=node["id"])


# Text ---------------------------------------------------------------------------------------------


@every
def test_the_text_has_every_node_once(run):
    about = answers(run)
    for stage in stages(about):
        lines = ask(about, "text", stage=stage, what="ir")["lines"]
        after = [line["node"] for line in lines if line["node"]]
        gone = [line["gone"] for line in lines if line["gone"]]
        assert sorted(after) == sorted(ids(about, stage))
        assert sorted(gone) == sorted(ids(about, stage, gone=True))
        for line in lines:
            assert (line["before"] is None) == (line["status"] in ("same", "added"))
            assert (line["after"] is None) == (line["status"] == "removed")


def test_words_that_differ_are_marked_and_renamed_values_are_not():
    before, after = marked("%y = aten::add(%a, %b)", "%z = aten::mul(%a, %b)", {"%y": "%z"})
    assert [text for text, is_marked in before if is_marked] == ["aten::add"]
    assert [text for text, is_marked in after if is_marked] == ["aten::mul"]


def test_what_is_gone_from_the_beginning_stands_below_the_head():
    about = answers(("loop", "scripted", "static"))
    head, first, *_ = ask(about, "text", stage="quant_finalize", what="ir")["lines"]
    assert head["after"][0][0].startswith("graph(")
    assert first["status"] == "removed"


def test_what_was_fused_stands_line_by_line():
    lines = ask(answers(RUNS[0]), "text", stage="quant_finalize", what="ir")["lines"]
    fused = next(li for li in lines if "conv2d_relu" in str(li["after"]))
    old = "".join(text for text, _ in fused["before"]).splitlines()
    assert ["aten::conv2d" in old[0], "aten::relu" in old[1]] == [True, True]


def test_what_took_in_its_neighbour_is_compared_with_itself():
    lines = ask(answers(RUNS[0]), "text", stage="fold_conv_bn", what="ir")["lines"]
    folded = next(li for li in lines if li["status"] == "changed" and "conv2d" in str(li["after"]))
    marks = [text for text, is_marked in folded["before"] if is_marked]
    assert ["aten::batch_norm" in mark for mark in marks] == [True]
    assert not any(is_marked for _, is_marked in folded["after"])


def code_lines(about: Answers, stage: str) -> Any:
    return ask(about, "text", stage=stage, what="code")["lines"]


def side(lines: Any, which: str) -> str:
    """One of the two texts that are compared."""
    pieces = (line["after" if line["status"] == "same" else which] for line in lines)
    return "\n".join("".join(text for text, _ in words) for words in pieces if words is not None)


def headings(text: str) -> list[str]:
    return [line.removeprefix("# ") for line in text.splitlines() if line.startswith("# ")]


@every
def test_the_code_of_all_that_runs_is_there(run):
    about = answers(run)
    for stage, page in about.book.pages.items():
        lines = code_lines(about, stage)
        text = side(lines, "after")
        assert "___torch_mangle" not in text
        called = reached_methods(page.after)
        for path, name in called:
            assert plain_type(page.after.code(name, path)).strip() in text
        for line in lines:
            assert (line["before"] is None) == (line["status"] in ("same", "added"))
            assert (line["after"] is None) == (line["status"] == "removed")


@single
def test_every_module_that_has_nodes_is_called(run):
    given = recorded(*run).input
    called = {path for path, _ in reached_methods(given)}
    assert {node.module_path for node in given.graph().nodes} <= called


def test_code_is_listed_once_with_the_modules_that_use_it():
    about = answers(("residual", "scripted", "static"))
    assert headings(side(code_lines(about, "input"), "after")) == [
        "Residual.forward of the model itself",
        "Conv2d.forward of stem, block1.conv1, block1.conv2, block2.conv1 and 1 more",
        "Conv2d._conv_forward of stem",
        "ResidualBlock.forward of block1, block2",
        "Conv2d._conv_forward of block1.conv1, block1.conv2, block2.conv1, block2.conv2",
        "BatchNorm2d.forward of block1.bn1, block1.bn2, block2.bn1, block2.bn2",
        "BatchNorm2d._check_input_dim of block1.bn1, block1.bn2, block2.bn1, block2.bn2",
        "Linear.forward of fc",
    ]


def test_code_of_methods_that_are_inlined_counts_as_removed():
    lines = code_lines(answers(RUNS[0]), "insert_quant_dequant")
    assert headings(side(lines, "after")) == ["ConvBnRelu.forward of the model itself"]
    removed = [line for line in lines if line["status"] == "removed"]
    assert "Linear.forward of fc" in headings(side(removed, "before"))


def test_main_methods_are_compared_whatever_they_are_called():
    head, *_ = code_lines(answers(("mlp", "scripted", "on_device")), "insert_observer_method")
    assert head["status"] == "changed"
    assert [text for text, is_marked in head["before"] if is_marked] == ["Mlp.forward"]
    assert [text for text, is_marked in head["after"] if is_marked] == ["Mlp.observe_forward"]


@pytest.mark.parametrize("stage", ["calibrate", "dce"])
def test_a_stage_that_leaves_the_code_alone_changes_no_line(stage):
    assert {line["status"] for line in code_lines(answers(RUNS[0]), stage)} == {"same"}


def with_code(code: str) -> Recording:
    run = recorded("mlp")
    codes = dict.fromkeys(run.input.codes, code)
    return replace(run, input=replace(run.input, codes=codes), stages=())


@pytest.mark.parametrize(
    ("old", "new", "signs"),
    [
        ("  x0 = relu(x)", "  x0 = relu(x)", " "),
        ("  x0 = relu(x)\n  return x0", "  x1 = relu(x)\n  return x1", "  "),
        ("  x0 = relu(x)\n  return x0", "  x0 = o(x)\n  x1 = relu(x0)\n  return x1", "+~ "),
        ("  a, b, = f(x)\n  c = g(a, b)", "  a0, b0, = f(x)\n  c = g(b0, b0)", " ~"),
        ("  self.x0 = x", "  self.x1 = x", "~"),
        ("  x0 = relu(x)\n  return x0", "  return x", "-~"),
        ("  f = __torch__.___torch_mangle_1.g", "  f = __torch__.___torch_mangle_2.g", " "),
        ("", "", " "),
    ],
)
def test_lines_of_code_are_paired_and_values_renamed(old, new, signs):
    lines = code_lines(Answers.of_pair(with_code(old), with_code(new)), "input")
    _, *body = lines[: len(signs) + 1]
    found = {"same": " ", "added": "+", "removed": "-", "changed": "~"}
    assert "".join(found[line["status"]] for line in body) == signs


def test_code_that_torch_could_not_print_is_said():
    assert "# torch cannot print" in side(code_lines(Answers.of(with_code("")), "input"), "after")


@pytest.mark.parametrize("other", [None, "mlp"])
def test_code_that_was_not_kept_is_said(other):
    old = with_code("")
    old = replace(old, input=replace(old.input, codes={}))
    about = Answers.of_pair(old, recorded(other)) if other else Answers.of(old)
    found = ask(about, "text", stage="input", what="code")
    assert found["lines"] == []
    assert "keeps no TorchScript code" in found["note"]


# Two runs -----------------------------------------------------------------------------------------


def test_a_stage_that_only_one_run_has_is_shown_alone():
    about = answers("static and dynamic")
    found = {stage["name"]: stage for stage in ask(about, "run")["stages"]}
    assert found["calibrate"]["only"] == "A"
    assert found["dce"]["only"] is None
    assert found["input"]["outcome"] == "unchanged"
    assert ids(about, "calibrate", gone=True) == set()


def test_tables_of_two_runs_have_both_columns():
    found = ask(answers("two qconfigs"), "table", name="observers")
    names = [column["name"] for column in found["columns"]]
    row = dict(zip(names, found["rows"][0]["cells"], strict=True))
    assert row["class (mine)"] == "HistogramObserver"
    assert row["class (theirs)"] == "MinMaxObserver"
    assert "module" in names


def test_kernels_of_two_runs_stand_in_the_frames_of_their_modules():
    """Kernels do not know their modules, and here no stage before them stands beside them."""
    for about in (answers("static and dynamic"), answers("two qconfigs")):
        frames = [
            [region["path"] for region in ask(about, "drawing", stage=stage)["regions"]]
            for stage in ("insert_quant_dequant", "dce")
        ]
        assert frames[0] == frames[1] != []


def test_two_runs_need_two_names():
    with pytest.raises(ValueError, match="two names"):
        Answers.of_pair(recorded("mlp"), recorded("mlp"), ("A", "A"))


# Safe ---------------------------------------------------------------------------------------------


def details_of(built: Builder) -> Any:
    """Those of the first node of a graph made by hand."""
    about = by_hand(built)
    return ask(about, "details", stage="input", node=next(iter(ids(about, "input"))))


def by_hand(built: Builder) -> Answers:
    """Answers about a model that is nothing but that graph."""
    run = recorded("mlp")
    built.nodes[:] = [
        replace(node, frames=(node.source,) if node.source else ()) for node in built.nodes
    ]
    graph = built.graph(built.nodes[-1].outputs[0])
    group = run.input.modules[0].class_group
    model = replace(run.input.modules[0], methods=("forward",))
    snapshot = Snapshot({(group, "forward"): ""}, {(group, "forward"): graph}, (model,))
    return Answers.of(
        Recording("static", snapshot, (), (), {HOSTILE: HOSTILE}, "torch", "engine")
    )  # fmt: skip


def test_times_are_never_nothing():
    times = {0.0: "0 ms", 1e-5: "< 0.1 ms", 3e-4: "0.3 ms", 0.0213: "21 ms", 1.25: "1.25 s"}
    assert {seconds: duration(seconds) for seconds in times} == times


def test_hostile_names_stay_text():
    built = Builder("x")
    built.node(f"aten::{HOSTILE}", "x", out="y", source=f"{HOSTILE}:3:1")
    built.node("jitq::observe", "y", out=HOSTILE, **{"observer": HOSTILE, "class": HOSTILE})
    about = by_hand(built)
    for folds in (None, [HOSTILE]):
        svg = ask(about, "drawing", stage="input", folds=folds)["svg"]
        ElementTree.fromstring(svg)
        assert "<img" not in svg
    for node in ids(about, "input"):
        found = json.dumps(ask(about, "details", stage="input", node=node), ensure_ascii=False)
        assert "\x1b" not in found
        assert "\u202e" not in found
    assert "\x1b" not in str(ask(about, "run")["qconfig"][0][1])
    lines = ask(about, "text", stage="input", what="ir")["lines"]
    assert not any("\x1b" in text for line in lines for text, _ in line["after"])


@pytest.mark.parametrize(
    ("kind", "arguments", "said"),
    [
        ("nope", {}, "must be one of"),
        ("nodes", {}, "needs the arguments"),
        ("nodes", {"stage": "nope"}, "must be one of"),
        ("nodes", {"stage": ["input"]}, "must be one of"),
        ("nodes", {"stage": "input", "nope": 1}, "unknown arguments"),
        ("drawing", {"stage": "input", "side": "left"}, "must be one of"),
        ("drawing", {"stage": "input", "folds": "block1"}, "list of paths"),
        ("details", {"stage": "input", "node": "nope"}, "there are"),
        ("details", {"stage": "input", "node": None}, "there are"),
        ("details", {"stage": "input", "node": "n0", "gone": "yes"}, "true or false"),
        ("table", {"name": "nope"}, "must be one of"),
        ("text", {"stage": "input", "what": "nope"}, "must be"),
    ],
)
def test_what_cannot_be_answered_is_told(kind, arguments, said):
    found = answers(RUNS[0]).answer(kind, arguments)
    assert isinstance(found, dict)
    assert said in found["error"]


def test_a_drawing_that_fails_takes_nothing_else_with_it(monkeypatch):
    about = Answers.of(replace(recorded("mlp")))
    monkeypatch.setattr("jitq_explore.views.film.warm_up", lambda: 1 / 0)
    found = about.answer("drawing", {"stage": "input"})
    assert found["svg"] == ""
    assert "ZeroDivisionError" in found["problem"]
    assert ask(about, "nodes", stage="input")


def test_counts_are_those_of_the_difference():
    page: Page = answers(RUNS[0]).book.pages["insert_observers"]
    assert counts_of(page)[Status.ADDED] == len(page.diff.added)
