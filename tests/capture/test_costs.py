from __future__ import annotations

import pytest
import torch
from nets import NETS
from runs import session

import jitq_explore as jq

SUPPORTED = torch.backends.quantized.supported_engines


@pytest.fixture(scope="module")
def run():
    made = session("residual", engine="fbgemm")
    made.run()
    return made


@pytest.mark.skipif("onednn" not in SUPPORTED or "fbgemm" not in SUPPORTED, reason="needs both")
def test_two_engines_compared(run):
    engine, recording = torch.backends.quantized.engine, run.recording
    table = jq.cost_table(run, NETS["residual"].inputs(), ("fbgemm", "onednn"), seconds=0.05)
    assert torch.backends.quantized.engine == engine
    assert run.recording is recording
    whole = table[table.op == ""].set_index("engine")
    assert list(whole.index) == ["", "fbgemm", "onednn"]
    assert (whole.milliseconds > 0).all()
    assert (whole.note == "").all()
    assert whole.bytes["fbgemm"] > 0
    ops = table[(table.engine == "fbgemm") & (table.op != "")].set_index("op")
    assert ops.calls["quantized::conv2d_relu"] == 2
    assert ops.share.sum() == pytest.approx(1)


def test_without_engines_the_sessions_own_is_measured():
    other = session("mlp", engine="fbgemm")
    other.run()
    table = jq.cost_table(other, NETS["mlp"].inputs()[0], seconds=0.01)
    assert list(table[table.op == ""].model) == ["float", "static"]


@pytest.mark.parametrize(
    ("inputs", "engines", "message"),
    [
        (torch.zeros(2, 3, 8, 8), ["cuda"], "unknown engine 'cuda'"),
        ([], None, "no inputs"),
        ((torch.zeros(2, 3, 8, 8), 1), None, "the model takes 1"),
    ],
)
def test_errors_say_what_is_wrong(run, inputs, engines, message):
    with pytest.raises(ValueError, match=message):
        jq.cost_table(run, inputs, engines)


def test_stages_to_come():
    with pytest.raises(ValueError, match="has stages to come"):
        jq.cost_table(session("mlp"), torch.zeros(3, 6))
