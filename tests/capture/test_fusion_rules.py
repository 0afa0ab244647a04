"""The catalogue: every rule of this torch, its pattern and what it makes of it."""

from __future__ import annotations

import pytest
import torch

import jitq_explore as jq
from jitq_explore.capture.fusion_rules import fusion_rules_of_torch
from jitq_explore.capture.inner_steps.fusing import rules_tried
from jitq_explore.capture.jit_log import Listener, Said, listening
from jitq_explore.snapshots.ir_text import parse_ir_text

RULES = fusion_rules_of_torch()
STATIC = [rule for rule in RULES if rule.mode == "static"]


def kinds(text: str) -> list[str]:
    return [node.kind for node in parse_ir_text(text).nodes]


def test_it_is_a_frame_of_all_rules():
    frame = jq.fusion_rules()
    assert list(frame.columns) == ["name", "pattern", "replacement", "mode"]
    assert frame["mode"].value_counts().to_dict() == {"static": 87, "dynamic": 10}
    assert (frame["replacement"] != "").all()
    assert not frame.duplicated(["name", "mode"]).any()
    assert fusion_rules_of_torch() is RULES


@pytest.mark.parametrize(
    ("mode", "name", "made"),
    [
        ("static", "conv2d + relu → quantized::conv2d_relu", "quantized::conv2d_relu"),
        ("static", "add → quantized::add", "quantized::add"),
        ("static", "add → quantized::add_scalar", "quantized::add_scalar"),
        ("static", "mul → quantized::mul_scalar", "quantized::mul_scalar"),
        ("dynamic", "linear → quantized::linear_dynamic_fp16", "quantized::linear_dynamic_fp16"),
    ],
)
def test_rules_are_named_after_what_they_take_and_make(mode, name, made):
    (rule,) = (rule for rule in RULES if (rule.mode, rule.name) == (mode, name))
    assert kinds(rule.replacement) == [made]


def test_pattern_and_replacement_take_the_same_and_return_as_much():
    for rule in RULES:
        pattern, replacement = map(parse_ir_text, (rule.pattern, rule.replacement))
        assert pattern.inputs == replacement.inputs, rule.name
        assert len(pattern.outputs) == len(replacement.outputs), rule.name
        assert pattern.structure != replacement.structure, rule.name


def test_what_a_rule_makes_is_its_own_work():
    """Applied with the log on, no other rule changes its pattern; twins have the same pattern."""
    seen: set[str] = set()
    for rule in STATIC:
        if "prepack" in rule.name:
            continue
        graph = torch._C.parse_ir(rule.pattern)
        said = Said()
        with listening(listener := Listener(), "subgraph_matcher", said):
            torch._C._jit_pass_quant_fusion(graph)
        tried = rules_tried(said.entries, listener.reader.graph_of(str(graph)))
        changed = [one.pattern.text for one, after in tried if after != one.before]
        structure = parse_ir_text(rule.pattern).structure
        # Rules with conditions on their inputs leave the bare pattern alone.
        assert changed in ([], [rule.pattern]) or structure in seen, rule.name
        seen.add(structure)
