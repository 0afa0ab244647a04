"""The reason that is given for a float op is the true one: without it, the op is quantized."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from gallery import (
    BOTH,
    IMAGES,
    WHOLE,
    AddedBias,
    AddedParameter,
    AfterGelu,
    AfterHardswish,
    Alpha,
    Dropped,
    Forked,
    Gelu,
    Hardswish,
    InFunction,
    InMethod,
    Looped,
    NoAlpha,
    NotForked,
    PaddedInNumbers,
    PaddedInWords,
    Two,
    TwoMethods,
    compiled,
    converted_only,
    dynamic,
    eager,
    prepared,
    static,
)
from nets import NETS
from runs import FBGEMM, recorded, session
from torch.ao.quantization import default_dynamic_qconfig

import jitq_explore as jq
from jitq_explore.diagnostics.causes import Examiner, float_ops
from jitq_explore.snapshots.endings import is_kernel
from jitq_explore.snapshots.graph import Node

DYNAMIC = {"": default_dynamic_qconfig}
Make = Callable[[str], jq.Recording]
ONE, OTHER = ("scripted",), ("traced",)

CAUSES: tuple[tuple[str, str, Make, Make, tuple[str, ...]], ...] = (
    ("no_qconfig", "aten::linear", lambda how: static(eager(Two), how, {**WHOLE, "fc1": None}),
     lambda how: static(eager(Two), how), BOTH),
    ("no_qconfig", "aten::linear", lambda how: static(eager(Two), how, {"fc2": WHOLE[""]}),
     lambda how: static(eager(Two), how, {"fc2": WHOLE[""], "fc1": WHOLE[""]}), BOTH),
    ("in_loop", "aten::linear", lambda how: static(eager(Looped), how),
     lambda how: static(eager(Looped), "traced"), ONE),
    ("in_fork", "aten::linear", lambda how: static(eager(Forked), how),
     lambda how: static(eager(NotForked), how), ONE),
    ("in_function", "aten::linear", lambda how: static(eager(InFunction), how),
     lambda how: static(eager(InMethod), how), BOTH),
    ("no_rule", "aten::gelu", lambda how: static(eager(Gelu), how),
     lambda how: static(eager(Hardswish), how), BOTH),
    ("no_rule", "aten::leaky_relu", lambda how: static(eager(AfterGelu), how),
     lambda how: static(eager(AfterHardswish), how), BOTH),
    ("alpha", "aten::add", lambda how: static(eager(Alpha), how),
     lambda how: static(eager(NoAlpha), how), BOTH),
    ("parameter", "aten::add", lambda how: static(eager(AddedParameter), how),
     lambda how: static(eager(AddedBias), how), BOTH),
    ("no_rule", "aten::_convolution_mode",
     lambda how: static(eager(PaddedInWords), how, data=IMAGES),
     lambda how: static(eager(PaddedInNumbers), how, data=IMAGES), OTHER),
    ("dynamic_only", "aten::hardswish", lambda how: dynamic(eager(Hardswish), how),
     lambda how: static(eager(Hardswish), how), BOTH),
    ("not_prepared", "aten::linear", converted_only, lambda how: prepared(how, 1), BOTH),
    ("debug", "aten::linear", lambda how: static(eager(Two), how, debug=True),
     lambda how: static(eager(Two), how), BOTH),
    ("between", "aten::linear", lambda how: static(eager(Dropped), how),
     lambda how: static(eager(lambda: Dropped(inplace=False)), how), ONE),
    ("failed", "aten::linear", lambda how: static(eager(Two), how, run=_fails),
     lambda how: static(eager(Two), how), BOTH),
)  # fmt: skip


def _fails(model: object, data: object) -> None:
    raise ValueError("no data")


def roots(recording: jq.Recording) -> list[tuple[Node, str]]:
    """The compute ops left in float, each with the word for the root of its reasons."""
    return [(node, jq.explain(recording, node).cause) for node in float_ops(recording)]


@pytest.mark.parametrize(
    ("cause", "kind", "broken", "cured", "how"),
    [
        pytest.param(*row[:4], how, id=f"{row[0]}-{row[1][6:]}-{how}")
        for row in CAUSES
        for how in row[4]
    ],
)
def test_without_the_cause_the_op_is_quantized(cause, kind, broken, cured, how):
    found = [root for node, root in roots(broken(how)) if node.kind == kind]
    assert cause in found
    left = [node.kind for node in float_ops(cured(how))]
    assert left == []


def test_a_method_besides_forward_stays_float():
    recording = static(eager(TwoMethods), preserved_attrs=["scores"])
    examiner = Examiner(recording, len(recording), "scores")
    node = next(examiner.graph.find("aten::linear"))
    assert examiner.reasons(node)[-1].cause == "other_method"


@pytest.mark.parametrize("mode", ["static", "dynamic"])
@pytest.mark.parametrize(
    ("net", "how"), [(name, how) for name, spec in NETS.items() for how in spec.hows]
)
def test_every_op_left_in_float_has_a_reason(net, how, mode):
    recording = recorded(net, how, mode)
    reasons = roots(recording)
    assert all(cause and cause != "no_match" for _, cause in reasons), reasons


@pytest.mark.parametrize("stage", ["input", "insert_observers", "insert_quant_dequant", "dce"])
def test_everything_can_be_explained(stage):
    recording = recorded("transformer_block")
    graph = recording.snapshot(stage).graph()
    told = [jq.explain(recording, node, stage) for node in graph.nodes]
    assert all(each.title and each.text() and each._repr_html_() for each in told)
    verdicts = {each.verdict for each in told}
    expected = {"dce": "quantized", "insert_observers": "observer"}.get(stage, "float")
    assert expected in verdicts


def test_what_is_not_observed_has_a_reason():
    recording = recorded("transformer_block")
    stage = "insert_observers"
    graph = recording[stage].after.graph()
    causes = {
        node.kind: explained.cause
        for node in graph.nodes
        if node.kind.startswith("aten::")
        for explained in [jq.explain(recording, node, stage)]
        if "not observed" in explained.title
    }
    assert causes == {
        "aten::linear": "delayed",
        "aten::transpose": "as_it_is",
        "aten::matmul": "no_rule",
        "aten::softmax": "no_rule",
    }


def test_an_op_that_follows_its_inputs_needs_the_qconfig_of_its_module():
    keys = ("stem", "block1.conv1", "block1.conv2", "block1", "block2.conv1", "block2.conv2", "fc")
    recording = session("residual").with_qconfig(dict.fromkeys(keys, FBGEMM)).run()
    (add,) = (node for node in float_ops(recording) if node.kind == "aten::add")
    explained = jq.explain(recording, add)
    assert (explained.cause, explained.reasons[-1].module) == ("no_qconfig", "block2")
    cured = session("residual").with_qconfig(dict.fromkeys((*keys, "block2"), FBGEMM)).run()
    assert "aten::add" not in {node.kind for node in float_ops(cured)}


@pytest.mark.parametrize(
    ("run", "kind", "said"),
    [
        (("residual",), "aten::mean", "hands on the scale of its input"),
        (("residual",), "aten::add", "one kernel with aten::relu"),
        (("lstm", "scripted", "dynamic"), "aten::linear", "what its kernels take"),
        (("lstm", "scripted", "static"), "aten::lstm", "no rule"),
    ],
)
def test_a_finished_run_says_why_a_result_was_not_observed(run, kind, said):
    recording = recorded(*run)
    nodes = recording["insert_observers"].after.graph().nodes
    node = next(node for node in nodes if node.kind == kind)
    assert said in jq.explain(recording, node, "insert_observers").reasons[-1].text


def test_a_relu_that_was_not_fused_says_why():
    recording = recorded("functional")
    relu = next(recording.last.graph().find("aten::relu"))
    assert jq.explain(recording, relu).cause == "not_fused"


def test_what_a_model_calls_things_is_escaped():
    explained = jq.explain(recorded("mlp"), "n0", "input")
    html = type(explained)(explained.node, "<b>\x1b", "float", "<script>")._repr_html_()
    assert "<script>" not in html
    assert "\x1b" not in html


@pytest.mark.parametrize("net", ["residual", "transformer_block"])
def test_every_kernel_names_the_rule_that_made_it(net):
    recording = session(net, deep=True).run()
    kernels = [node for node in recording.last.graph().nodes if is_kernel(node)]
    causes = {jq.explain(recording, node).cause for node in kernels}
    assert kernels
    assert causes == {"rule"}


def test_the_nearest_rule_says_what_it_asked_for_in_vain():
    recording = static(eager(AfterGelu), deep=True)
    relu = next(recording.last.graph().find("aten::leaky_relu"))
    said = jq.explain(recording, relu).evidence
    assert "needs dequantize on input 0" in said
    assert "comes from aten::gelu" in said


def test_the_nearest_rule_is_one_that_the_mode_has():
    recording = dynamic(eager(Hardswish))
    deep = jq.Session.dynamic(compiled(eager(AfterGelu), "scripted"), DYNAMIC, deep=True).run()
    assert {rule.mode for rule in deep.rules} == {"static", "dynamic"}
    for each in (recording, deep):
        said = [jq.explain(each, node).evidence for node in float_ops(each)]
        assert not any("quantized::add" in text or "_relu'" in text for text in said)


def test_what_a_quantize_node_serves_is_told_through_what_turns_it_back():
    recording = recorded("residual")
    stage = recording["insert_quant_dequant"]
    told = {
        jq.explain(recording, node, stage.name).title
        for node in stage.after.graph().nodes
        if node.kind.startswith("aten::quantize")
    }
    assert any(text.startswith("the model's own 'stem.weight' gives real") for text in told)
    assert any("turned back for aten::conv2d, aten::add; a later stage" in text for text in told)
    assert not any("prim::" in text or "q_scale" in text for text in told)


def test_the_digits_network_is_explained_throughout(demo):
    recording = demo.result.recording
    assert all(cause and cause != "no_match" for _, cause in roots(recording))
    told = [jq.explain(recording, node) for node in recording.last.graph().nodes]
    assert sum(each.verdict == "quantized" for each in told) > 4


def test_a_weight_packed_for_no_kernel_says_so():
    table = jq.lineage_table(static(eager(Dropped)))
    (row,) = table[(table.module == "fc2") & (table.role == "weight")].itertuples()
    assert row.fate.startswith("folded into the packed attribute ")
    assert row.fate.endswith("which quantized::linear_unpack unpacks again")
    assert not row.kernel
