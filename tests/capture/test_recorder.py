"""`jq.record()` watches existing code and puts everything back."""

from __future__ import annotations

import contextlib
import copy
import importlib
import itertools
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from nets import NETS, independent, torchscript
from runs import FBGEMM, calibrate
from torch.ao.quantization import (
    convert_jit,
    default_dynamic_qconfig,
    prepare_dynamic_jit,
    prepare_jit,
)

import jitq_explore as jq
import jitq_explore.quantize_jit as ours
from jitq_explore.capture import recorder_watcher
from jitq_explore.capture.take import SnapshotTaker

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
    assert {track.batches for track in recording["calibrate"].timeline.tracks} == {(1, 2, 3)}
    assert (jq.calibration_table(recording).batches == 3).all()
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


def test_models_from_files_are_told_apart():
    model = torchscript(NETS["mlp"], "scripted")
    with jq.record() as recorder:
        prepared = [prepare_jit(independent(model), {"": FBGEMM}) for _ in range(2)]
        for one, batches in zip(prepared, (3, 1), strict=True):
            calibrate(one, NETS["mlp"].inputs(batches))
        for one in prepared:
            convert_jit(one)
    assert [r["calibrate"].batches for r in recorder.recordings] == [3, 1]
    assert all(r.planned == r.names for r in recorder.recordings)


def test_a_copy_is_read_where_it_is_converted():
    spec = NETS["mlp"]
    with jq.record() as recorder:
        original = prepare_jit(torchscript(spec, "scripted"), {"": FBGEMM})
        twin = copy.deepcopy(original)
        calibrate(twin, spec.inputs(3))
        convert_jit(twin)
        convert_jit(original)
    of_twin, of_original = recorder.recordings
    assert jq.observer_table(of_twin).calibrated.all()
    assert not any(reading.minimum for reading in of_original["calibrate"].after.observers)
    assert [r["calibrate"].batches for r in (of_twin, of_original)] == [3, 0]
    assert of_original.names == of_twin.names
    assert of_original.qconfig == of_twin.qconfig != {}


def test_a_copy_made_after_calibration_has_the_calls_of_its_original():
    spec = NETS["mlp"]
    with jq.record() as recorder:
        original = prepare_jit(torchscript(spec, "scripted"), {"": FBGEMM})
        calibrate(original, spec.inputs(3))
        convert_jit(copy.deepcopy(original))
    assert recorder.recordings[0]["calibrate"].batches == 3


@pytest.mark.parametrize("fails", [False, True])
def test_quantizing_another_model_while_calibrating(fails):
    spec = NETS["mlp"]

    def nested(model, batches):
        calibrate(model, batches)
        torchs.quantize_dynamic_jit(torchscript(spec, "traced"), DYNAMIC)
        ours.fuse_conv_bn_jit(torchscript(NETS["residual"], "traced"))
        if fails:
            raise OSError("disk on fire")

    with jq.record() as recorder, contextlib.suppress(OSError):
        torchs.quantize_jit(torchscript(spec, "scripted"), {"": FBGEMM}, nested, [spec.inputs()])
    outer, inner = recorder.recordings
    assert inner.names[:3] == ("fold_conv_bn", "insert_observers", "insert_quant_dequant")
    assert inner.names[-1] == "dce#2"
    if fails:
        assert outer.names[2:] == ("calibrate",)
        assert str(outer.error) == "OSError: disk on fire"
    else:
        assert outer.names[2:] == ("calibrate", *inner.names[2:])


@pytest.mark.parametrize("how", ["called", "called method", "not called"])
def test_calibration_without_conversion_is_recorded_at_the_end(how):
    spec = NETS["mlp"]
    with jq.record() as recorder:
        prepared = prepare_jit(torchscript(spec, "scripted"), {"": FBGEMM})
        prepare_dynamic_jit(torchscript(spec, "scripted"), DYNAMIC)
        if how != "not called":
            calibrate(prepared if how == "called" else prepared.forward, spec.inputs(3))
    recording, dynamic = recorder.recordings
    assert dynamic.names == ("fold_conv_bn", "insert_observers")
    assert ("calibrate" in recording) == (how != "not called")
    assert recording.names[:2] == dynamic.names
    if how == "called":
        assert recording["calibrate"].batches == 3
        assert jq.observer_table(recording).calibrated.all()


def test_converting_twice_makes_two_whole_recordings():
    spec = NETS["mlp"]
    with jq.record() as recorder:
        prepared = prepare_jit(torchscript(spec, "scripted"), {"": FBGEMM})
        calibrate(prepared, spec.inputs())
        with pytest.raises(RuntimeError):
            convert_jit(prepared, preserved_attrs=["no_such_attribute"])
        convert_jit(prepared, debug=True)
        convert_jit(prepared)
    failed, debug, final = recorder.recordings
    assert failed.error is not None
    assert (debug.debug, final.debug) == (True, False)
    for recording in (debug, final):
        assert recording.names == recording.planned
        assert recording.qconfig == failed.qconfig != {}
        assert recording["calibrate"].batches == 2
        assert recording["calibrate"].after.observers == failed["calibrate"].after.observers


def test_after_a_conversion_in_place_the_next_begins_with_what_it_has_made():
    spec = NETS["mlp"]
    with jq.record() as recorder:
        prepared = prepare_jit(torchscript(spec, "scripted"), {"": FBGEMM}, inplace=True)
        calibrate(prepared, spec.inputs())
        twin = copy.deepcopy(prepared)
        text = str(twin.graph)
        convert_jit(prepared, inplace=True, debug=True)
        assert str(twin.graph) == text
        convert_jit(prepared, inplace=True)
        convert_jit(twin)
    first, second, of_twin = recorder.recordings
    assert of_twin.names == of_twin.planned
    assert of_twin["calibrate"].batches == 2
    assert first.names == first.planned
    assert second.names[0] == "insert_quant_dequant"
    assert second.input.texts == first.last.texts
    assert second.qconfig == first.qconfig


@pytest.mark.parametrize("api", [torchs, ours], ids=["torch", "ours"])
@pytest.mark.parametrize("qconfigs", [{1: None}, {"": 3}, None, [FBGEMM]])
def test_what_torch_refuses_leaves_no_recording(api, qconfigs):
    def refused():
        with pytest.raises(Exception) as caught:  # noqa: PT011
            api.prepare_jit(torchscript(NETS["mlp"], "scripted"), qconfigs)
        return caught.type, str(caught.value)

    without = refused()
    with jq.record() as recorder:
        assert refused() == without
    assert recorder.recordings == ()


def test_a_refused_conversion_can_be_followed_by_another():
    spec = NETS["mlp"]
    with jq.record() as recorder:
        with pytest.raises(ValueError, match="input must be a script module"):
            convert_jit(spec.make())
        with pytest.raises(TypeError, match="missing 2 required positional"):
            torchs._prepare_jit()
        with pytest.raises(TypeError, match="missing 1 required positional"):
            torchs._convert_jit()
        prepared = prepare_jit(torchscript(spec, "scripted"), {"": FBGEMM})
        with pytest.raises(AssertionError):
            torchs._convert_ondevice_jit(prepared, "forward")
        with pytest.raises(TypeError):
            convert_jit(prepared, inplace="maybe")
        assert len(recorder.recordings) == 1
        calibrate(prepared, spec.inputs())
        convert_jit(prepared)
    assert [r.names for r in recorder.recordings if not r.error] == [
        recorder.recordings[-1].planned
    ]


def test_threads_do_not_see_each_other():
    spec = NETS["mlp"]
    both_calibrating = threading.Barrier(2)
    models = [independent(torchscript(spec, "scripted")) for _ in range(2)]
    # torch cannot compile the same class in two threads at once: here it finds them compiled.
    torchs.script_qconfig(FBGEMM)

    def feed(model, batches):
        both_calibrating.wait(30)
        calibrate(model, batches)
        both_calibrating.wait(30)

    def static(batches):
        torchs.quantize_jit(models.pop(), {"": FBGEMM}, feed, [spec.inputs(batches)])

    before = os.fstat(2)
    with jq.record() as recorder, ThreadPoolExecutor(2) as pool:
        list(pool.map(static, (2, 5)))
    assert sorted(r["calibrate"].batches for r in recorder.recordings) == [2, 5]
    assert len({r.names for r in recorder.recordings}) == 1
    assert recorder.recordings[0].names[-1] == "dce#2"
    assert os.fstat(2).st_ino == before.st_ino


def test_calls_within_calls_are_timed_alone():
    spec = NETS["mlp"]
    model = torchscript(spec, "scripted")
    with jq.record() as recorder:
        first, second = (prepare_jit(model, {"": FBGEMM}) for _ in range(2))
        calls = [first]

        def call_the_other(module, args):
            if module is first and calls:
                calls.pop()
                calibrate(second, spec.inputs(1))
                time.sleep(0.2)

        hook = torch.nn.modules.module.register_module_forward_pre_hook(call_the_other)
        try:
            first(*spec.inputs(1)[0])
        finally:
            hook.remove()
    outer, inner = (r["calibrate"] for r in recorder.recordings)
    assert (outer.batches, inner.batches) == (1, 1)
    assert outer.seconds >= 0.2 > inner.seconds


@pytest.mark.parametrize("broken", ["take", "retake_observers", "retake_graphs"])
@pytest.mark.parametrize("after", [0, 1, 2])
def test_reading_that_fails_does_not_reach_the_users_code(monkeypatch, broken, after):
    calls = itertools.count()
    works = getattr(SnapshotTaker, broken)

    def fail(*args):
        if next(calls) >= after:
            raise ZeroDivisionError("unreadable")
        return works(*args)

    monkeypatch.setattr(SnapshotTaker, broken, fail)
    spec = NETS["mlp"]
    with jq.record() as recorder:
        quantized = torchs.quantize_jit(
            torchscript(spec, "scripted"), {"": FBGEMM}, calibrate, [spec.inputs()]
        )
        ours.quantize_dynamic_jit(torchscript(spec, "traced"), DYNAMIC)
    assert "quantized::linear" in str(quantized.graph)
    if recorder.recordings and broken != "retake_observers":
        *_, last = (w for r in recorder.recordings for w in r.warnings)
        assert "ZeroDivisionError: unreadable" in last
    elif not recorder.recordings:
        assert recorder.skipped == ["ZeroDivisionError: unreadable"] * 2
    assert all(r.error is None for r in recorder.recordings)


def test_a_rehearsal_that_fails_stops_the_recording_alone(monkeypatch):
    monkeypatch.setattr(recorder_watcher, "rehearse_weights", lambda *_: 1 / 0)
    with jq.record() as recorder:
        quantized = torchs.quantize_dynamic_jit(torchscript(NETS["mlp"], "scripted"), DYNAMIC)
    (recording,) = recorder.recordings
    assert recording.names == ("fold_conv_bn", "insert_observers")
    assert "recording stopped at insert_quant_dequant: ZeroDivision" in recording.warnings[0]
    assert "quantized::linear_dynamic" in str(quantized.graph)
