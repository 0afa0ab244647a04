"""Passes tried in another process first: what dies there leaves everything else as it is."""

from __future__ import annotations

import tempfile
import threading
import time

import pytest
import torch
from crashing_nets import Attention, Encoder, NeverCalled, batch, scripted
from nets import NETS, torchscript
from runs import FBGEMM, calibrate
from torch.ao.quantization import MinMaxObserver, QConfig, default_dynamic_qconfig, default_qconfig

import jitq_explore as jq


def static(net, isolate: bool | float = True, qconfig=default_qconfig, **more) -> jq.Session:
    return jq.Session.static(
        scripted(net), {"": qconfig}, lambda model, x: model(x), [batch(net)],
        progress=False, isolate=isolate, **more,
    )  # fmt: skip


@pytest.mark.parametrize("turn", range(5))
@pytest.mark.parametrize("net", [NeverCalled, Attention])
def test_a_crash_is_the_last_records_error(net, turn):
    run = static(net)
    with pytest.raises(jq.IsolatedPassError) as caught:
        run.run()
    assert run.recording.names == ("fold_conv_bn", "insert_observers")
    assert run.recording["fold_conv_bn"].error is None
    assert run.recording.error.message == str(caught.value)
    assert "remedy=True" in str(caught.value)


@pytest.mark.parametrize("net", [NeverCalled, Attention])
def test_the_remedy_gives_a_model_that_works(net):
    cured = static(net, remedy=True)
    cured.run()
    assert cured.recording.error is None
    assert cured.module(batch(net)).isfinite().all()


def test_the_death_itself_is_told():
    run = static(Encoder)
    with pytest.raises(jq.IsolatedPassError, match="ended the process that it was tried in"):
        run.run()
    run.back()
    # A new process takes the place of the dead one.
    with pytest.raises(jq.IsolatedPassError, match="ended the process"):
        run.run()


@pytest.mark.parametrize("mode", ["static", "dynamic", "on_device"])
def test_results_are_those_of_a_run_that_is_not_isolated(mode, tmp_path, monkeypatch):
    folder = tmp_path / "with a space, ünïcödé"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    spec = NETS["mlp"]

    def made(isolate):
        model = torchscript(spec, "scripted")
        if mode == "static":
            return jq.Session.static(
                model, {"": FBGEMM}, calibrate, [spec.inputs()], isolate=isolate
            )
        start = getattr(jq.Session, mode)
        return start(model, {"": default_dynamic_qconfig}, isolate=isolate)

    plain, apart = made(False), made(True)
    assert plain.run().last.structure == apart.run().last.structure
    if mode != "on_device":
        x = spec.inputs()[0]
        assert torch.equal(plain.module(*x), apart.module(*x))
    assert list(folder.iterdir()) == []


def test_observers_need_not_be_pickled():
    class Local(MinMaxObserver):
        pass

    qconfig = QConfig(lambda: Local(quant_min=0, quant_max=127), default_qconfig.weight)
    run = static(Encoder, qconfig=qconfig, remedy=True)
    assert run.run().error is None


def test_a_pass_may_take_only_so_long():
    run = static(NeverCalled, isolate=0.001)
    with pytest.raises(jq.IsolatedPassError, match="took more than"):
        run.run()


def test_it_can_be_stopped():
    run = static(NeverCalled)
    stopper = threading.Thread(target=lambda: (time.sleep(0.3), run.stop()))
    stopper.start()
    with pytest.raises(jq.Stopped):
        run.run()
    stopper.join()


def test_what_cannot_be_saved_is_said(monkeypatch):
    run = static(NeverCalled)
    monkeypatch.setattr("jitq_explore.capture.isolation._write", lambda *_: 1 / 0)
    with pytest.raises(jq.IsolatedPassError, match="cannot be saved as TorchScript"):
        run.run()
