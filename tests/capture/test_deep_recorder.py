"""`jq.record(deep=True)`: existing code, unchanged, and each of its passes in inner steps."""

from __future__ import annotations

import importlib

import torch
from fingerprints import fingerprint
from nets import NETS, independent, torchscript
from runs import FBGEMM, calibrate
from torch.ao.quantization import default_dynamic_qconfig

import jitq_explore as jq

torchs = importlib.import_module("torch.ao.quantization.quantize_jit")


def quantize() -> torch.jit.ScriptModule:
    torch.manual_seed(0)
    spec = NETS["residual"]
    model = torchscript(spec, "scripted")
    return torchs.quantize_jit(model, {"": FBGEMM}, calibrate, [spec.inputs()])


def test_code_that_is_watched_has_steps_and_the_same_result():
    with jq.record(deep=True) as recorder:
        watched = quantize()
    (recording,) = recorder.recordings
    assert fingerprint(watched) == fingerprint(quantize())
    assert [len(stage.steps) for stage in recording][:5] == [2, 3, 0, 19, 9]
    quantized = [n for n in recording.last.graph().nodes if n.kind.startswith("quantized::")]
    assert all(jq.rule_of(recording, node.id) for node in quantized)
    assert torch._C._jit_get_logging_option() == ""


def test_several_runs_have_steps_of_their_own():
    model = independent(torchscript(NETS["mlp"], "scripted"))
    with jq.record(deep=True) as recorder:
        for _ in range(2):
            torchs.quantize_dynamic_jit(model, {"": default_dynamic_qconfig})
    first, second = recorder.recordings
    assert len(first["quant_finalize"].steps) == len(second["quant_finalize"].steps) == 4
    assert not recorder.skipped


def test_without_deep_nothing_is_logged():
    with jq.record() as recorder:
        quantize()
    assert not any(stage.steps for stage in recorder.recordings[0])
