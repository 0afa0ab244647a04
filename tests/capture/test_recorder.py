"""`jq.record()` watches existing code and puts everything back."""

from __future__ import annotations

import importlib

import pytest
import torch
from nets import NETS, independent, torchscript
from runs import FBGEMM, calibrate
from torch.ao.quantization import convert_jit, default_dynamic_qconfig, prepare_jit

import jitq_explore as jq
import jitq_explore.quantize_jit as ours

torchs = importlib.import_module("torch.ao.quantization.quantize_jit")
DYNAMIC = {"": default_dynamic_qconfig}


def replaced() -> dict[str, object]:
    """What `record` replaces, as it is now."""
    passes = {n: getattr(torch._C, n) for n in dir(torch._C) if n.startswith("_jit_pass")}
    functions = {(m.__name__, n): f for m in (torchs, ours) for n, f in vars(m).items()}
    hooks = torch.nn.modules.module._global_forward_hooks
    return {**passes, **functions, "hooks": dict(hooks)}


@pytest.mark.parametrize("api", [torchs, ours], ids=["torch", "ours"])
def test_each_pipeline_becomes_one_recording(api):
    before = replaced()
    with jq.record() as recorder:
        spec = NETS["residual"]
        api.quantize_jit(torchscript(spec, "scripted"), {"": FBGEMM}, calibrate, [spec.inputs()])
        api.quantize_dynamic_jit(torchscript(NETS["mlp"], "traced"), DYNAMIC)
        # torch inlines the graph it is given: it must not be the one all scripted Mlps share.
        alone = independent(torchscript(NETS["mlp"], "scripted"))
        api._quantize_ondevice_dynamic_jit(alone, DYNAMIC)
    static, dynamic, on_device = recorder.recordings
    assert static.names == (
        "fold_conv_bn", "insert_observers", "calibrate", "insert_quant_dequant", "quant_finalize",
        "constant_propagation", "dce", "constant_propagation#2", "dce#2",
    )  # fmt: skip
    assert static["calibrate"].batches == 2
    assert (dynamic.mode, on_device.mode) == ("dynamic", "on_device")
    assert on_device.names[0] == "inline"
    assert "quantized::linear_dynamic" in {n.kind for n in on_device.last.graph().nodes}
    assert jq.observer_table(static).calibrated.all()
    assert replaced() == before


def test_functions_imported_before_are_watched_and_prepare_and_convert_are_one_run():
    spec = NETS["conv_bn_relu"]
    with jq.record() as recorder:
        prepared = prepare_jit(torchscript(spec, "traced"), {"": FBGEMM})
        calibrate(prepared, spec.inputs(3))
        assert recorder.recordings[0].names == ("fold_conv_bn", "insert_observers")
        convert_jit(prepared, debug=True)
    (recording,) = recorder.recordings
    assert recording["calibrate"].batches == 3
    assert recording.debug
    assert recording.names[-1] == "dce"
    assert set(recording.planned) == set(recording.names)


def test_what_is_watched_runs_as_it_would_without():
    spec = NETS["residual"]
    alone = torchs.quantize_jit(
        torchscript(spec, "scripted"), {"": FBGEMM}, calibrate, [spec.inputs()]
    )
    with jq.record():
        watched = torchs.quantize_jit(
            torchscript(spec, "scripted"), {"": FBGEMM}, calibrate, [spec.inputs()]
        )
    batch = spec.inputs()[0]
    assert torch.equal(alone(*batch), watched(*batch))


def test_an_error_is_recorded_raised_and_everything_put_back():
    def broken(model, batches):
        model(*batches[0])
        raise OSError("disk on fire")

    before = replaced()
    spec = NETS["mlp"]
    with pytest.raises(OSError, match="disk on fire"), jq.record() as recorder:
        torchs.quantize_jit(torchscript(spec, "scripted"), {"": FBGEMM}, broken, [spec.inputs()])
    (recording,) = recorder.recordings
    assert (recording.names[-1], recording["calibrate"].batches) == ("calibrate", 1)
    assert str(recording.error) == "OSError: disk on fire"
    assert replaced() == before


def test_bad_calls_raise_as_without_and_leave_no_recording():
    with jq.record() as recorder, pytest.raises(ValueError, match="input must be a script module"):
        torchs.prepare_jit(NETS["mlp"].make(), {"": FBGEMM})
    assert recorder.recordings == ()


def test_only_one_at_a_time():
    with jq.record(), pytest.raises(RuntimeError, match="open already"), jq.record():
        pass
    with jq.record():
        pass
