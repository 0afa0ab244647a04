"""Models that kill torch's passes: an error that says why in place of a crash, and the remedies."""

from __future__ import annotations

import importlib
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from crashing_nets import (
    CALLING,
    CRASHING,
    HEALTHY,
    SHARING,
    Attention,
    BeforeARaise,
    CallsFunction,
    ComputedWeight,
    DifferentMethods,
    Encoder,
    NeverCalled,
    Relus,
    batch,
    make,
    scripted,
    without_sharing,
)
from nets import NETS, independent, torchscript
from torch import nn
from torch.ao.quantization import default_dynamic_qconfig, default_qconfig

import jitq_explore as jq
from jitq_explore import quantize_jit as drop_in
from jitq_explore.capture.stages import foreseen

torchs = importlib.import_module("torch.ao.quantization.quantize_jit")
MODES = ("static", "dynamic")
QCONFIG = {"static": default_qconfig, "dynamic": default_dynamic_qconfig}


def session(model, mode, x=None, keys=(), **more) -> jq.Session:
    qconfig_dict = {"": QCONFIG[mode], **dict.fromkeys(keys)}
    if mode == "dynamic":
        return jq.Session.dynamic(model, qconfig_dict, **more)
    return jq.Session.static(
        model, qconfig_dict, lambda model, x: model(x), [x], progress=False, **more
    )


def kinds(model) -> list[str]:
    return [kind for kind in _kinds(model.inlined_graph) if kind.startswith("quantized::")]


def _kinds(block):
    for node in block.nodes():
        yield node.kind()
        for inner in node.blocks():
            yield from _kinds(inner)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("net", CRASHING)
def test_a_session_says_what_would_crash(net, mode):
    run = session(scripted(net), mode, batch(net))
    with pytest.raises(jq.WouldCrashError) as caught:
        run.run()
    assert caught.value.modules == CRASHING[net]
    assert "emedy" in str(caught.value)
    assert all(path in str(caught.value) for path in caught.value.modules)
    assert run.recording.names == ("fold_conv_bn", "insert_observers")
    assert run.recording.error.type == "WouldCrashError"


_TORCHS_OWN = """
import importlib, sys
import torch.ao.quantization as q
import crashing_nets
torchs = importlib.import_module("torch.ao.quantization.quantize_jit")
for _ in range(2):
    torchs.prepare_jit(crashing_nets.scripted(getattr(crashing_nets, sys.argv[1])),
                       {"": q.default_qconfig})
print("alive")
"""


@pytest.mark.parametrize("net", [*CRASHING, *HEALTHY])
def test_torchs_own_function_is_as_foreseen(net):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _TORCHS_OWN, net.__name__],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    assert ("alive" in done.stdout) == (net in HEALTHY), done.stderr


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("net", HEALTHY)
def test_what_only_looks_like_it_is_let_through(net, mode):
    run = session(scripted(net), mode, batch(net))
    assert run.run().names[-1] == "dce"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("net", "how"), [(spec, how) for spec in NETS.values() for how in spec.hows]
)
def test_nothing_is_foreseen_of_healthy_nets(net, how, mode):
    run = session(torchscript(net, how), mode, net.inputs())
    run.step()
    assert foreseen("insert_observers", run._module._c, run._options) == ()


def test_a_hundred_crashes_are_a_hundred_errors():
    attempts = [
        lambda model, mode, net: session(model, mode, batch(net)).run(),
        lambda model, mode, net: getattr(drop_in, _PREPARE[mode])(model, {"": QCONFIG[mode]}),
        lambda model, mode, net: _recorded(model, mode),
        lambda model, mode, net: getattr(drop_in, _PREPARE[mode])(
            independent(model), {"": QCONFIG[mode]}
        ),
    ]
    errors = []
    for net in CRASHING:
        for mode in MODES:
            for attempt in attempts:
                with pytest.raises(jq.WouldCrashError) as caught:
                    attempt(scripted(net), mode, net)
                errors.append(caught.value)
    assert len(errors) >= 100
    assert all(error.modules and error.remedy for error in errors)


_PREPARE = {"static": "prepare_jit", "dynamic": "prepare_dynamic_jit"}


def _recorded(model, mode):
    """torch's own function, watched."""
    with jq.record() as recorder:
        try:
            getattr(torchs, _PREPARE[mode])(model, {"": QCONFIG[mode]})
        finally:
            assert recorder.recordings[0].error.type == "WouldCrashError"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("net", list(SHARING))
def test_the_remedy_gives_the_results_of_separate_classes(net, mode):
    if (net, mode) == (BeforeARaise, "dynamic"):
        pytest.skip("torch's insert_quant_dequant then fails, with separate classes too")
    x = batch(net)
    run = session(scripted(net), mode, x, remedy=True)
    run.run()
    healthy = session(without_sharing(net), mode, x)
    healthy.run()
    assert kinds(run.module)
    assert kinds(run.module) == kinds(healthy.module)
    assert torch.equal(run.module(x), healthy.module(x))
    said = " ".join(run.recording["insert_observers"].messages)
    assert "remedy: " in said


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("net", [net for net in SHARING if net is not DifferentMethods])
def test_the_keys_of_the_error_are_the_remedy_for_torchs_own_function(net, mode):
    with pytest.raises(jq.WouldCrashError) as caught:
        session(scripted(net), mode, batch(net)).run()
    keys = caught.value.keys
    prepared = getattr(torchs, _PREPARE[mode])(
        scripted(net), {"": QCONFIG[mode], **dict.fromkeys(keys)}
    )
    run = session(scripted(net), mode, batch(net), remedy=True)
    run.run(until="insert_observers")
    assert {key for key, value in run.recording.qconfig.items() if value == "None"} == set(keys)
    observers = [name for name, _ in prepared.named_modules() if "_observer_" in name]
    assert len(observers) == len(run.recording.last.observers)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("net", CALLING)
def test_functions_without_arguments_are_inlined(net, mode):
    x, eager = batch(net), make(net)
    run = session(scripted(net), mode, x, remedy=True)
    run.run()
    assert kinds(run.module)
    error = (run.module(x) - eager(x)).norm() / eager(x).norm()
    assert error < 0.05
    assert "were inlined" in " ".join(run.recording["insert_observers"].messages)


@pytest.mark.parametrize(("net", "float_module"), [(Attention, "attention"), (Encoder, "layer")])
def test_what_torch_cannot_quantize_stays_float_and_that_is_said(net, float_module):
    run = session(scripted(net), "static", batch(net), remedy=True)
    run.run()
    assert run.recording.qconfig[float_module] == "None"
    said = [text for text in run.recording["insert_observers"].messages if "kept float" in text]
    assert float_module in " ".join(said)
    assert len(kinds(run.module)) == 1


def test_an_encoder_is_quantized_dynamically():
    run = session(scripted(Encoder), "dynamic", remedy=True)
    run.run()
    assert "layer" not in run.recording.qconfig
    assert len(kinds(run.module)) == 3


def test_the_users_model_stays_as_it_was():
    model = scripted(Attention)
    before = str(model.inlined_graph), str(model.attention.graph)
    session(model, "static", batch(Attention), remedy=True).run()
    assert (str(model.inlined_graph), str(model.attention.graph)) == before


def test_going_back_applies_the_remedy_anew():
    run = session(scripted(NeverCalled), "static", batch(NeverCalled), remedy=True)
    once = run.run()
    run.back("fold_conv_bn")
    again = run.run()
    assert again.qconfig == once.qconfig
    assert again["insert_observers"].messages == once["insert_observers"].messages


def test_a_computed_weight_on_device():
    model = scripted(ComputedWeight)
    run = jq.Session.on_device(model, {"": default_dynamic_qconfig})
    with pytest.raises(jq.WouldCrashError, match=r"crashing_nets\.py"):
        run.run()
    assert run.recording.names[-1] == "quant_finalize_method"
    with pytest.raises(jq.WouldCrashError):
        drop_in._quantize_ondevice_dynamic_jit(model, {"": default_dynamic_qconfig})


def test_the_error_can_be_sent_to_another_process():
    with pytest.raises(jq.WouldCrashError) as caught:
        session(scripted(CallsFunction), "dynamic").run()
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.modules, copy.hazards) == (
        str(caught.value), caught.value.modules, caught.value.hazards,
    )  # fmt: skip


def test_trials_of_the_guard_are_not_heard_in_a_deep_recording():
    def events(model):
        run = session(model, "static", batch(Relus), deep=True)
        run.run(until="insert_observers")
        return [(step.name, len(step.events)) for step in run.recording["insert_observers"].steps]

    assert events(scripted(Relus)) == events(without_sharing(Relus)) != []


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(3, 3)
        self.fc2 = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(torch.relu(self.fc1(x))) + x


class Blocks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = Block()
        self.two = Block()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.two(self.one(x))


PER_CHANNEL = torch.ao.quantization.default_per_channel_qconfig


def test_one_of_several_alike_can_be_quantized_in_another_way():
    x = batch(Blocks)
    run = session(scripted(Blocks), "static", x)
    run.run()
    other = run.with_qconfig({**run.qconfig_dict, "one.fc1": PER_CHANNEL})
    other.run()
    keys = {"": default_qconfig, "one": default_qconfig, "one.fc1": PER_CHANNEL}
    prepared = torchs.prepare_jit(scripted(Blocks), keys)
    prepared(x)
    assert torch.equal(other.module(x), torchs.convert_jit(prepared)(x))


@pytest.mark.parametrize("qconfig", [default_qconfig, None])
def test_one_of_several_alike_can_be_quantized_alone_or_left_out(qconfig):
    x = batch(Blocks)
    rest = None if qconfig else default_qconfig
    model = scripted(Blocks)
    run = session(model, "static", x).with_qconfig({"": rest, "one.fc1": qconfig})
    run.run()
    assert sum("linear" in kind for kind in kinds(run.module)) == (1 if qconfig else 3)


def test_the_drop_in_keeps_torchs_error_and_says_what_to_do():
    keys = {"": default_qconfig, "one.fc1": PER_CHANNEL}
    with pytest.raises(RuntimeError) as expected:
        torchs.prepare_jit(scripted(Blocks), keys)
    with pytest.raises(RuntimeError) as caught:
        drop_in.prepare_jit(scripted(Blocks), keys)
    assert type(caught.value) is type(expected.value)
    assert "is not compatible with the type" in str(caught.value)
    assert "'one' and 'two' share" in caught.value.__notes__[0]
