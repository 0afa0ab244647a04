"""A session runs torch's stages one at a time, and leaves the user's model alone."""

from __future__ import annotations

import contextlib
import importlib
import io
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import torch
from fingerprints import fingerprint
from nets import NETS, torchscript
from runs import FBGEMM, calibrate, session
from torch.ao.quantization import QConfigMapping, default_dynamic_qconfig
from tqdm import tqdm

import jitq_explore as jq
from jitq_explore.capture import calls

torchs = importlib.import_module("torch.ao.quantization.quantize_jit")

STATIC = (
    "fold_conv_bn", "insert_observers", "calibrate", "insert_quant_dequant", "quant_finalize",
    "constant_propagation", "dce",
)  # fmt: skip
# On-device, torch itself is wrong where BatchNorms are folded, and makes no methods for a loop.
RUNS = [
    (net, how, mode)
    for net, spec in NETS.items()
    for how in spec.hows
    for mode in ("static", "dynamic", "on_device")
    if mode != "on_device" or net in ("mlp", "lstm", "transformer_block", "two_inputs")
]


@pytest.mark.parametrize(("net", "how", "mode"), RUNS)
def test_a_run_leaves_the_given_model_as_it_was_and_ends_where_torch_ends(net, how, mode):
    spec = NETS[net]
    model = torchscript(spec, how)
    before = fingerprint(model), str(model.graph), model.training
    one_batch = spec.inputs()[0]
    if mode == "static":
        run = jq.Session.static(model, {"": FBGEMM}, calibrate, [spec.inputs()])
    elif mode == "dynamic":
        run = jq.Session.dynamic(model, {"": default_dynamic_qconfig})
    else:
        run = jq.Session.on_device(model, {"": default_dynamic_qconfig}, inputs=one_batch)
    assert run.recording.planned == run.stages
    recording = run.run()
    assert recording.names == recording.planned
    assert (fingerprint(model), str(model.graph), model.training) == before
    if mode == "static":
        expected = torchs.quantize_jit(model, {"": FBGEMM}, calibrate, [spec.inputs()])
    elif mode == "dynamic":
        expected = torchs.quantize_dynamic_jit(model, {"": default_dynamic_qconfig})
    if mode != "on_device":
        # quantize_jit tidies twice; the second time finds nothing more in a model of one method.
        assert fingerprint(run.module) == fingerprint(expected)
        torch.testing.assert_close(run.module(*one_batch), expected(*one_batch), rtol=0, atol=0)


def test_the_stages_of_a_static_run_and_what_each_says_it_changed():
    run = session("residual")
    assert run.stages == STATIC
    first = run.step()
    assert (first.name, first.before) == ("fold_conv_bn", run.recording.input)
    assert run.stages == STATIC[1:]
    recording = run.run()
    for stage, following in zip(recording.stages, recording.stages[1:], strict=False):
        assert stage.after is following.before
    assert [stage.name for stage in recording if not stage.changed] == ["constant_propagation"]
    assert recording["calibrate"].batches == 2
    with pytest.raises(RuntimeError, match="every stage has run"):
        run.step()


def test_what_a_cell_ends_in_is_printed_in_a_line():
    run = session("mlp")
    assert repr(run.step()).startswith("<StageRecord fold_conv_bn: ")
    assert repr(run.recording) == "<Recording static: fold_conv_bn>"
    assert repr(run.recording.last).startswith("<Snapshot of 3 modules")


def test_debug_stops_before_fusing_and_until_stops_after_a_stage():
    run = session("mlp", debug=True)
    assert "quant_finalize" not in run.stages
    assert run.run(until="insert_observers").names == STATIC[:2]
    with pytest.raises(ValueError, match=r"unknown stage 'prepare' \(must be one of \['calibrate'"):
        run.run(until="prepare")


def test_going_back_runs_again_from_the_float_model():
    run = session("residual")
    whole = run.run()
    assert run.back().names == STATIC[:-1]
    assert run.back(to="insert_observers").names == STATIC[:2]
    assert run.back(to="input").names == ()
    again = run.run()
    assert [len(stage.after.graph()) for stage in again] == [len(s.after.graph()) for s in whole]
    with pytest.raises(ValueError, match="unknown stage 'nowhere'"):
        run.back(to="nowhere")


def test_another_qconfig_on_the_same_model():
    run = session("mlp")
    left_float = run.with_qconfig({"": FBGEMM, "fc1": None}).run()
    kinds = [node.kind for node in left_float.last.graph().nodes]
    assert "aten::linear" in kinds
    assert "quantized::linear" in kinds


def test_a_calibration_that_raises_keeps_the_batches_before():
    def breaks_at_third(model, batches):
        for number, batch in enumerate(batches, 1):
            if number == 3:
                raise OSError("disk on fire")
            model(*batch)

    spec = NETS["mlp"]
    model = torchscript(spec, "scripted")
    run = jq.Session.static(model, {"": FBGEMM}, breaks_at_third, [spec.inputs(4)])
    with pytest.raises(OSError, match="disk on fire"):
        run.run()
    last = run.recording.stages[-1]
    assert (last.name, last.batches) == ("calibrate", 2)
    assert str(last.error) == "OSError: disk on fire"
    assert all(reading.calibrated for reading in last.after.observers)
    with pytest.raises(RuntimeError, match=r"'calibrate' failed .* session.back\(\)"):
        run.step()
    assert run.back().names == STATIC[:2]


def test_a_pass_that_fails_is_the_last_record():
    run = session("conv_bn_relu", qconfig=default_dynamic_qconfig)  # no qconfig for a static run
    with pytest.raises(RuntimeError, match="INTERNAL ASSERT"):
        run.run()
    last = run.recording.stages[-1]
    assert "INTERNAL ASSERT" in last.error.message
    assert last.after is last.before


def test_calls_of_forward_count_as_batches_too():
    def calls_forward(model, batches):
        for batch in batches:
            model.forward(*batch)

    spec = NETS["dict_input"]
    model = torchscript(spec, "scripted")
    run = jq.Session.static(model, {"": FBGEMM}, calls_forward, [spec.inputs(3)])
    assert run.run(until="calibrate")["calibrate"].batches == 3


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda m: jq.Session.static(NETS["mlp"].make(), {}, calibrate, [1]), ValueError,
         "input must be a script module, got: <class 'nets.Mlp'>"),
        (lambda m: jq.Session.static(m, {"": FBGEMM}, None, [1]), AssertionError,
         "Must provide calibration function for post training static quantization"),
        (lambda m: jq.Session.static(m, {"": FBGEMM}, calibrate, []), AssertionError,
         "Must provide calibration dataset for post training static quantization"),
        (lambda m: jq.Session.dynamic(m, []), AttributeError, "no attribute 'items'"),
        (lambda m: jq.Session.dynamic(m, QConfigMapping()), TypeError, "not iterable"),
        (lambda m: jq.Session.dynamic(m, {1: FBGEMM}), ValueError, "should only contain names"),
        (lambda m: jq.Session.dynamic(m, {"": FBGEMM}, engine="abacus").step(), ValueError,
         r"unknown engine 'abacus' \(must be one of"),
    ],
)  # fmt: skip
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make(torchscript(NETS["mlp"], "scripted"))


def test_a_model_without_forward():
    class NoForward(torch.nn.Module):
        @torch.jit.export
        def run(self, x: torch.Tensor) -> torch.Tensor:
            return x + 1

    with pytest.raises(ValueError, match="does not have forward method"):
        jq.Session.dynamic(torch.jit.script(NoForward()), {"": default_dynamic_qconfig})


def test_a_misspelt_key_is_warned_of_and_recorded():
    with pytest.warns(UserWarning, match="'fc3'.*closest: 'fc"):
        run = jq.Session.dynamic(torchscript(NETS["mlp"], "scripted"), {"fc3": None, "": None})
    assert "'fc3'" in run.recording.warnings[-1]


def test_a_torch_outside_the_range(monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.14.0")
    with pytest.raises(ImportError, match=r"2\.14\.0"):
        session("mlp")


def test_nothing_reaches_standard_error(capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.set_warn_always(True)
        try:
            run = session("residual")
            run.run()
        finally:
            torch.set_warn_always(False)
    assert capfd.readouterr().err == ""
    assert any("deprecated" in message for message in run.recording["quant_finalize"].messages)


def test_the_engine_is_put_back():
    before = torch.backends.quantized.engine
    other = next(e for e in torch.backends.quantized.supported_engines if e not in ("none", before))
    recording = session("mlp", engine=other).run()
    assert recording.engine == other
    assert torch.backends.quantized.engine == before


def test_a_loaded_model_is_recorded_with_its_sources():
    buffer = io.BytesIO()
    torch.jit.save(torchscript(NETS["mlp"], "scripted"), buffer)
    buffer.seek(0)
    run = jq.Session.dynamic(torch.jit.load(buffer), {"": default_dynamic_qconfig})
    relu = next(run.recording.input.graph().find("aten::relu"))
    assert "nets.py" in relu.source
    assert "self.fc2(torch.relu" in run.recording.input.graph().line_of(relu.source)


@pytest.mark.parametrize("mode", ["dynamic", "on_device"])
def test_the_live_model_can_be_run_before_and_after_every_stage(mode):
    spec = NETS["mlp"]
    run = getattr(jq.Session, mode)(torchscript(spec, "scripted"), {"": default_dynamic_qconfig})
    one_batch = spec.inputs()[0]
    while run.stages:
        run.module(*one_batch)
        run.step()
    run.module(*one_batch)


# Stopped, watched, run by one at a time -----------------------------------------------------------


class Diary:
    """A watcher that writes down what it is told, and may do something at an entry."""

    def __init__(self, at=None, do=lambda: None):
        self.entries, self.at, self.do = [], at, do

    def note(self, *entry):
        self.entries.append(entry)
        if entry == self.at:
            self.do()

    def began(self, stage):
        self.note("began", stage)

    def fed(self, stage, done, total):
        self.note("fed", done, total)

    def ended(self):
        self.note("ended")

    def rested(self):
        self.note("rested")


def skips_what_fails(model, batches):
    for batch in batches:
        with contextlib.suppress(Exception):
            model(*batch)


def swallows_all(model, batches):
    for batch in batches:
        with contextlib.suppress(BaseException):
            model(*batch)


def test_a_watcher_is_told_of_every_stage_and_batch():
    run, diary = session("mlp"), Diary()
    run.watch(diary)
    run.run(until="calibrate")
    began = [("began", name) for name in STATIC[:3]]
    fed = [("fed", 1, 2), ("fed", 2, 2)]
    assert diary.entries == [
        began[0], ("ended",), began[1], ("ended",), began[2], *fed, ("ended",), ("rested",)
    ]  # fmt: skip


def test_a_watcher_that_fails_harms_nothing_and_one_nobody_keeps_is_gone():
    run, diary = session("mlp"), Diary(("ended",), lambda: 1 / 0)
    run.watch(diary)
    assert run.run().names == STATIC
    gone = weakref.ref(diary)
    del diary
    assert gone() is None


@pytest.mark.parametrize("calibrate", [calibrate, skips_what_fails, swallows_all])
def test_a_stopped_calibration_keeps_what_it_saw(calibrate):
    spec = NETS["mlp"]
    run = jq.Session.static(
        torchscript(spec, "scripted"), {"": FBGEMM}, calibrate, [spec.inputs(4)]
    )
    diary = Diary(("fed", 2, 4), run.stop)
    run.watch(diary)
    with pytest.raises(jq.Stopped, match="calibration was stopped"):
        run.run()
    last = run.recording.stages[-1]
    assert (last.name, last.batches, last.error.type) == ("calibrate", 2, "Stopped")
    assert all(reading.calibrated for reading in last.after.observers)
    diary.at = None
    assert run.back().names == STATIC[:2]
    assert run.run()["calibrate"].batches == 4


def test_a_run_stopped_between_stages_simply_goes_on():
    run = session("mlp")
    diary = Diary(("began", "insert_observers"), run.stop)
    run.watch(diary)
    with pytest.raises(KeyboardInterrupt, match="stopped before stage 'calibrate'"):
        run.run()
    assert run.recording.names == STATIC[:2]
    assert run.recording.error is None
    diary.at = None
    assert run.run().names == STATIC


def test_a_stop_while_nothing_runs_is_forgotten():
    run = session("mlp")
    run.stop()
    assert run.run().names == STATIC


@pytest.mark.parametrize("again", [jq.Session.step, jq.Session.run, jq.Session.back])
def test_a_busy_session_refuses_others(again):
    spec, refused = NETS["mlp"], []

    def calibrate(model, batches):
        for batch in batches:
            model(*batch)
            with ThreadPoolExecutor(1) as other:
                refused.append(str(other.submit(again, run).exception()))

    run = jq.Session.static(torchscript(spec, "scripted"), {"": FBGEMM}, calibrate, [spec.inputs()])
    assert run.run().names == STATIC
    assert not run.is_busy
    assert len(refused) == 2
    assert all("busy: stage 'calibrate' is running" in text for text in refused)


def test_a_calibration_in_another_thread_shows_no_bar(monkeypatch):
    shown = []

    class Bar(tqdm):
        def __init__(self, *args, disable, **more):
            shown.append(not disable)
            super().__init__(*args, **more, disable=True)

    monkeypatch.setattr(calls, "tqdm", Bar)
    monkeypatch.setattr(
        calls.sys, "stderr", SimpleNamespace(isatty=lambda: True, flush=lambda: None)
    )
    session("mlp").run()
    with ThreadPoolExecutor(1) as other:
        other.submit(session("mlp").run).result()
    assert shown == [True, False]
