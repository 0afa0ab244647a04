"""The assertions for users' own tests: when they hold, and what they say when they do not."""

from __future__ import annotations

import pytest
from nets import NETS
from runs import recorded, session

import jitq_explore as jq
from jitq_explore.testing import (
    assert_no_findings,
    assert_quantized,
    assert_sqnr,
    assert_stage,
)


@pytest.fixture(scope="module")
def compared():
    run = session("conv_bn_relu")
    run.run()
    jq.compare(run, NETS["conv_bn_relu"].inputs())
    return run


def test_a_good_run_passes_them_all(compared):
    assert_stage(compared, "fold_conv_bn", adds={}, removes={"aten::batch_norm": 2})
    assert_stage(compared, "insert_observers", removes={})
    with pytest.raises(AssertionError, match="jitq::observe: expected 0"):
        assert_stage(compared, "insert_observers", adds={})
    assert_quantized(compared)
    assert_quantized(compared.recording, "aten::conv2d", "aten::linear")
    assert_no_findings(compared, above="warning")
    assert_sqnr(compared, at_least=10)
    assert_sqnr(compared, at_least=0, stage="insert_quant_dequant", module="conv1")


def test_what_a_stage_did_otherwise(compared):
    with pytest.raises(AssertionError) as caught:
        assert_stage(
            compared, "fold_conv_bn", adds={"aten::relu": 1}, removes={"aten::batch_norm": 1}
        )
    said = str(caught.value)
    assert "+ aten::relu: expected 1, got 0 (-1)" in said
    assert "− aten::batch_norm: expected 1, got 2 (+1)" in said
    assert "in 'bn1' at nets.py:" in said


def test_what_was_left_float():
    with pytest.raises(AssertionError) as caught:
        assert_quantized(recorded("lstm"), "aten::lstm")
    assert "1 op is left float after 'dce'" in str(caught.value)
    assert "aten::lstm" in str(caught.value)
    assert "nets.py:" in str(caught.value)
    assert_quantized(recorded("lstm"), "aten::linear")


def test_what_was_found():
    run = session("mlp", mode="dynamic").with_qconfig({})
    run.run()
    with pytest.raises(
        AssertionError, match=r"expected no findings above 'info', got 1 error"
    ) as caught:
        assert_no_findings(run, above="info")
    found = jq.diagnose(run.recording)
    assert all(each.title in str(caught.value) for each in found if each.severity == "error")
    rules = {each.rule for each in found}
    assert_no_findings(run, ignore=rules)


def test_what_is_too_far_off(compared):
    with pytest.raises(AssertionError) as caught:
        assert_sqnr(compared, at_least=300)
    said = str(caught.value)
    assert "expected at least 300 dB after 'dce'" in said
    assert "output: " in said
    assert "the largest errors are made by" in said
    with pytest.raises(AssertionError, match="in 'conv1'"):
        assert_sqnr(compared, at_least=300, module="conv1")


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda run: assert_stage(run, "fold"), ValueError, "fold_conv_bn"),
        (lambda run: assert_no_findings(run, above="bad"), ValueError, "warning"),
        (lambda run: assert_sqnr(run, at_least=1, stage="fold"), ValueError, "dce"),
        (lambda run: assert_sqnr(run, at_least=1, module="conv9"), ValueError, "conv9"),
        (lambda run: assert_sqnr(recorded("mlp"), at_least=1), ValueError, r"jq\.compare"),
        (lambda run: assert_quantized(run, "linear"), ValueError, "no 'linear' .*aten::linear"),
        (lambda run: assert_quantized(run.module), TypeError, "Recording"),
    ],
)
def test_a_wrong_question_is_no_failed_assertion(compared, ask, error, message):
    with pytest.raises(error, match=message):
        ask(compared)
