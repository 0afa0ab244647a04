"""What the page is told of findings and reasons."""

from __future__ import annotations

import json

import pytest
from runs import recorded
from views.pages import hostile_recording

import jitq_explore as jq
from jitq_explore.diagnostics.diagnose import FAILED
from jitq_explore.views.answers import Answers


def ask(recording: jq.Recording, kind: str, **arguments):
    return json.loads(json.dumps(Answers.of(recording).answer(kind, arguments)))


def why(recording: jq.Recording, stage: str, kind: str) -> dict[str, str]:
    node = next(n for n in ask(recording, "nodes", stage=stage) if n["kind"] == kind)
    found = ask(recording, "details", stage=stage, node=node["id"])["sections"]
    rows = [row for section in found if section["title"] == "Why?" for row in section["rows"]]
    return {row["label"]: row["value"] for row in rows}


@pytest.mark.parametrize(
    ("net", "stage", "kind", "label", "text"),
    [
        ("transformer_block", "dce", "aten::softmax", "because", "no rule"),
        ("transformer_block", "dce", "quantized::linear", "is quantized", "aten::linear"),
        ("residual", "insert_observers", "aten::conv2d", "is float", "result is observed"),
        ("transformer_block", "insert_observers", "jitq::observe", "because", "take the value"),
        ("functional", "dce", "aten::relu", "because", "was not fused"),
        ("loop", "dce", "aten::linear", "remedy", "Unroll the loop"),
        ("branch", "insert_quant_dequant", "prim::If", "warning", "decides by a value"),
    ],
)
def test_the_details_say_why(net, stage, kind, label, text):
    assert text in why(recorded(net), stage, kind)[label]


def test_nothing_is_said_of_a_constant():
    assert why(recorded("mlp"), "dce", "prim::Constant") == {}


@pytest.mark.parametrize(("net", "stage"), [("loop", "dce"), ("branch", "insert_quant_dequant")])
def test_a_finding_is_counted_on_the_strip_and_leads_to_its_node(net, stage):
    recording = recorded(net)
    stages = {each["name"]: each for each in ask(recording, "run")["stages"]}
    found = jq.diagnose(recording)
    errors = sum(each.severity == "error" and each.stage == stage for each in found)
    assert (stages[stage]["findings"], stages[stage]["errors"]) == (1, errors)
    rows = ask(recording, "table", name="findings")["rows"]
    row = next(row for row in rows if row["stage"] == stage and row["bad"])
    finding = next(each for each in found if each.stage == stage)
    assert finding.node in row["at"][stage]
    assert net == "loop" or row["at"]["input"]  # the loop is unrolled: its ops are new ones


def test_names_of_a_model_are_written_out():
    recording = hostile_recording()
    assert FAILED not in {each.rule for each in jq.diagnose(recording)}
    said = json.dumps(ask(recording, "table", name="findings"), ensure_ascii=False)
    assert "\x1b" not in said
    assert "<script" not in jq.diagnose(recording)._repr_html_()
