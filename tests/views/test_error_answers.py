"""What was measured, and what might be: numerics, errors of nodes, what if."""

from __future__ import annotations

import functools
import json
import math
from dataclasses import replace
from typing import Any

import pytest
from runs import recorded, session

import jitq_explore as jq
from jitq_explore.snapshots.numerics import StageFailure
from jitq_explore.snapshots.observations import observations
from jitq_explore.snapshots.recording import Recording
from jitq_explore.snapshots.settling import OBSERVERS
from jitq_explore.snapshots.what_if import what_if
from jitq_explore.views.answers import Answers


@functools.cache
def measured() -> Recording:
    run = session("residual", histograms=True)
    run.run()
    jq.compare(run, list(run.calibration_calls()))
    return run.recording


def ask(kind: str, recording: Recording | None = None, **arguments: Any) -> Any:
    found = Answers.of(recording or measured()).answer(kind, arguments)
    return json.loads(json.dumps(found, allow_nan=False))


# Errors of nodes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stage", "told_by", "conv"),
    [
        ("input", "insert_quant_dequant", "aten::conv2d"),
        ("calibrate", "insert_quant_dequant", "aten::conv2d"),
        ("quant_finalize", "dce", "quantized::conv2d"),
        ("dce", "dce", "quantized::conv2d"),
    ],
)
def test_each_stage_shows_the_errors_that_tell_of_it(stage, told_by, conv):
    found = ask("errors", stage=stage)
    assert found["stage"] == told_by
    kinds = {n["id"]: n["kind"] for n in ask("nodes", stage=stage) if not n["gone"]}
    stem = next(
        errors
        for node, errors in found["nodes"].items()
        if kinds[node] == conv and errors["own"] < 40
    )
    (row,) = [
        row
        for row in measured().numerics.at(told_by)
        if row.module == "stem" and "conv2d" in row.kind
    ]
    assert stem == {
        "own": round(row.own_sqnr, 2),
        "inherited": round(row.inherited_sqnr, 2),
        "all": round(row.sqnr, 2),
    }


def test_what_was_not_measured_has_no_errors():
    assert ask("errors", recorded("residual"), stage="dce") == {
        "stage": "", "bands": [50, 40, 30, 20, 10], "nodes": {}, "before": None,
    }  # fmt: skip
    table = ask("table", recorded("residual"), name="numerics")
    assert "jq.compare(session, inputs)" in table["note"]


def test_of_two_runs_each_has_its_own_errors():
    about = Answers.of_pair(measured(), recorded("residual"))
    found = about.answer("errors", {"stage": "dce"})
    assert found["nodes"] == {}
    before = [each["own"] for kind in found["before"].values() for each in kind.values()]
    alone = ask("errors", stage="dce")["nodes"].values()
    assert sorted(before) == sorted(each["own"] for each in alone)


def test_what_could_not_be_run_is_said():
    failed = StageFailure("dce", 1, "no such kernel")
    numerics = replace(measured().numerics, outputs=(), failures=(failed,))
    table = ask("table", replace(measured(), numerics=numerics), name="numerics")
    assert table["note"] == (
        "2 batches: no output; batch 1 cannot be run after 'dce': no such kernel"
    )


def test_what_no_error_and_a_number_at_its_limit_mean_is_said():
    first, second, third, *_ = measured().numerics.rows
    rows = (
        replace(first, own_sqnr=math.inf, own_channel_sqnr=100 - 1e-9),
        replace(second, own_sqnr=150.0, own_channel_sqnr=99.5),
        replace(third, own_sqnr=-math.inf, own_channel_sqnr=0.0),
    )
    numerics = replace(measured().numerics, rows=rows, outputs=())
    table = ask("table", replace(measured(), numerics=numerics), name="numerics")
    columns = {column["name"]: (at, column) for at, column in enumerate(table["columns"])}
    at, column = columns["own_channel_sqnr"]
    assert [row["cells"][at] for row in table["rows"]] == ["≥ 100", 99.5, "≤ 0"]
    assert "≥ 100: none loses" in column["hint"]
    at, column = columns["own_sqnr"]
    assert [row["cells"][at] for row in table["rows"]] == ["∞", 150.0, "−∞"]
    assert "∞: nothing is lost" in table["hint"]


def test_a_row_of_the_numerics_leads_to_the_op_at_the_stages_it_tells_of():
    rows = ask("table", name="numerics")["rows"]
    assert [row["stage"] for row in rows] == sorted(
        (row["stage"] for row in rows), key=measured().numerics.stages.index
    )
    last = [row for row in rows if row["stage"] == "dce" and row["at"]]
    assert all(set(row["at"]) == {"quant_finalize", "constant_propagation", "dce"} for row in last)


def test_a_table_that_takes_long_is_not_made_to_be_counted():
    counts = {tab["name"]: tab["count"] for tab in ask("run")["tabs"]}
    assert counts["recommendations"] is None
    assert counts["calibration"] == 15


def test_activations_without_histogram_are_said_not_to_be_judged():
    plain = session("mlp", qconfig=_min_max()).run()
    assert "3 activations not judged" in ask("table", plain, name="recommendations")["note"]


def _min_max() -> Any:
    from torch.ao.quantization import default_qconfig

    return default_qconfig


# What if ------------------------------------------------------------------------------------------


def path_of(role: str) -> str:
    return next(seen.reading.path for seen in observations(measured()) if seen.role == role)


@pytest.mark.parametrize("role", ["activation", "weight"])
@pytest.mark.parametrize("observer", OBSERVERS)
def test_what_is_offered_is_what_an_observer_would_make_of_it(role, observer):
    path = path_of(role)
    offer = ask("what_if", value=path)
    expected = what_if(measured(), path, observer=observer)
    assert offer["predicted"][observer]["sqnr"] == pytest.approx(expected.predicted.sqnr)
    assert offer["present"]["sqnr"] == pytest.approx(expected.present.sqnr)
    assert (offer["histogram"] is None) == (role == "weight")
    assert offer["modules"] == list(expected.change.modules)


def test_a_wish_is_answered_with_the_change_that_it_takes():
    found = ask("what_if", value=path_of("activation"), low=-1.0, high=1.0)
    assert found["predicted"]["clipped"] > 0.1
    assert found["predicted"]["sqnr"] < found["present"]["sqnr"]
    assert "FixedQParamsObserver" in found["code"]
    assert found["modules"] == ["stem"]


def test_an_end_that_is_not_moved_stays_where_the_observer_has_it():
    """Not where the dtype ends, which reduce_range leaves room before."""
    path = path_of("activation")
    low, _ = ask("what_if", value=path)["range"]
    found = what_if(measured(), path, low=low)
    assert found.predicted.scale == pytest.approx(found.present.scale)


def test_per_channel_is_for_weights_alone():
    assert "PerChannelMinMax" in ask("what_if", value=path_of("weight"))["predicted"]
    assert "no weight" in ask("what_if", value=path_of("activation"), per_channel=True)["problem"]


def test_without_a_histogram_nothing_is_predicted():
    plain = session("mlp", qconfig=_min_max()).run()
    seen = next(each for each in observations(plain) if each.role == "activation")
    offer = ask("what_if", plain, value=seen.reading.path)
    assert "histograms=True" in offer["problem"]
    assert (offer["present"], offer["predicted"]) == (None, {})


def test_the_histogram_of_a_page_counts_the_same():
    offer = ask("what_if", value=path_of("activation"))
    (seen,) = [s for s in observations(measured()) if s.reading.path == path_of("activation")]
    assert math.isclose(
        sum(offer["histogram"]["counts"]), sum(seen.reading.histogram.counts), rel_tol=1e-3
    )


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"value": "nope"}, "unknown value"),
        ({"value": None}, "path of an observer"),
        ({"low": True}, "low must be a number"),
        ({"dtype": "int3"}, "unknown dtype 'int3'"),
        ({"low": 2.0, "high": 1.0}, "low end lies above"),
    ],
)
def test_a_wish_that_cannot_be_is_refused(wish, said):
    assert said in ask("what_if", **{"value": path_of("activation"), **wish})["error"]


def test_two_runs_are_not_asked_what_if():
    about = Answers.of_pair(measured(), recorded("residual"))
    assert "two runs" in about.answer("what_if", {"value": path_of("activation")})["error"]
