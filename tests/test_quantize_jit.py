"""The drop-in against torch's own module: the same models, changes, calls and errors."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import tomllib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
import torch
from fingerprints import fingerprint, plain_text, plain_value
from nets import NETS, independent, torchscript
from torch import Tensor, nn
from torch.ao.quantization import (
    HistogramObserver,
    MinMaxObserver,
    QConfig,
    QConfigMapping,
    default_dynamic_qconfig,
    default_per_channel_weight_observer,
    default_qconfig,
    default_weight_observer,
    get_default_qconfig,
    per_channel_dynamic_qconfig,
)
from torch.ao.quantization.quant_type import QuantType

import jitq_explore.quantize_jit as ours
from jitq_explore.capture.qconfigs import describe_qconfig, unknown_keys
from jitq_explore.capture.torch_version import require_supported_torch

# `from torch.ao.quantization import quantize_jit` would be the function of that name.
torchs = importlib.import_module("torch.ao.quantization.quantize_jit")

STATIC = QConfig(MinMaxObserver.with_args(reduce_range=True), default_per_channel_weight_observer)

PREPARE = {
    "static": "prepare_jit",
    "dynamic": "prepare_dynamic_jit",
    "on_device": "_prepare_ondevice_dynamic_jit",
}
CONVERT = {
    "static": "convert_jit",
    "dynamic": "convert_dynamic_jit",
    "on_device": "_convert_ondevice_dynamic_jit",
}
QUANTIZE = {
    "static": "quantize_jit",
    "dynamic": "quantize_dynamic_jit",
    "on_device": "_quantize_ondevice_dynamic_jit",
}


@dataclass(frozen=True)
class Case:
    """One run: a net, scripted or traced, and how it is quantized."""

    net: str
    how: str
    mode: str
    inplace: bool = False
    debug: bool = False
    preserved_attrs: tuple[str, ...] | None = None
    qconfig: QConfig | None = None
    left_float: str = ""
    loaded: bool = True

    @property
    def qconfig_dict(self) -> dict[str, QConfig | None]:
        default = STATIC if self.mode == "static" else per_channel_dynamic_qconfig
        qconfigs: dict[str, QConfig | None] = {"": self.qconfig or default}
        if self.left_float:
            qconfigs[self.left_float] = None
        return qconfigs

    @property
    def batches(self) -> list[tuple[object, ...]]:
        return NETS[self.net].inputs()

    def __str__(self) -> str:
        flags = [name for name in ("inplace", "debug", "preserved_attrs") if getattr(self, name)]
        left_float = [f"{self.left_float}=None"] if self.left_float else []
        other = [self.qconfig.activation().__class__.__name__] if self.qconfig else []
        origin = [] if self.loaded else ["not loaded"]
        return "-".join((self.net, self.how, self.mode, *flags, *left_float, *other, *origin))


def cases() -> Iterator[Case]:
    """Every net in every mode; every option on nets that show what it does."""
    modes = tuple(PREPARE)
    for spec in NETS.values():
        for how in spec.hows:
            yield from (Case(spec.name, how, mode) for mode in modes)
    for how in ("scripted", "traced"):
        for net in ("conv_bn_relu", "mlp"):
            for mode in modes:
                yield Case(net, how, mode, inplace=True)
                yield Case(net, how, mode, debug=True)
                yield Case(net, how, mode, inplace=True, debug=True)
        for mode in modes:
            yield Case("mlp", how, mode, left_float="fc1")
            yield Case("residual", how, mode, left_float="block1", debug=True)
        for mode in ("static", "dynamic"):
            for inplace in (False, True):
                yield Case("mlp", how, mode, inplace, preserved_attrs=("scores", "scale"))
        yield Case("residual", how, "static", qconfig=get_default_qconfig("fbgemm"))
        yield Case("mlp", how, "static", qconfig=get_default_qconfig("qnnpack"))
        yield Case("mlp", how, "on_device", qconfig=default_dynamic_qconfig)
        for mode in ("static", "dynamic"):
            for inplace in (False, True):
                yield Case("conv_bn_relu", how, mode, inplace, loaded=False)


CASES = list(cases())


@functools.cache
def compiled(net: str, how: str) -> torch.jit.ScriptModule:
    return torchscript(NETS[net], how)


def fresh(case: Case) -> torch.jit.ScriptModule:
    """The case's float model, sharing no tensor with that of another run.

    A loaded one shares no class either; one that was traced here has a Python class of its own.
    """
    if not case.loaded:
        return torchscript(NETS[case.net], case.how)
    return independent(compiled(case.net, case.how))


def calibrate(model: torch.jit.ScriptModule, batches: list[tuple[object, ...]]) -> None:
    with torch.no_grad():
        for batch in batches:
            model(*batch)


def outcome(action: Callable[[], object]) -> object:
    """What an action returns, by content, or the error it ends with."""
    try:
        return plain_value(action())
    except Exception as error:
        return type(error), plain_text(str(error))


def first_line(error: BaseException) -> str:
    return (plain_text(str(error)).splitlines() or [""])[0]


def run_on_device(model: torch.jit.ScriptModule, batch: tuple[object, ...]) -> object:
    """What the device does, up to the quantized output."""
    model.reset_observers_forward()
    model.observe_forward(*batch)
    model.quantize_forward(*batch)
    return model.quantized_forward(*batch)


def results(case: Case, converted: torch.jit.ScriptModule) -> list[object]:
    """The outputs on every batch, of the methods kept as well."""
    if case.mode == "on_device":
        return [outcome(lambda: run_on_device(converted, case.batches[0]))]
    methods = ["forward", *(name for name in case.preserved_attrs or () if name == "scores")]
    return [
        outcome(functools.partial(getattr(converted, method), *batch))
        for method in methods
        for batch in case.batches
    ]


def prepare(api: ModuleType, case: Case, model: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    return getattr(api, PREPARE[case.mode])(model, case.qconfig_dict, inplace=case.inplace)


def convert(api: ModuleType, case: Case, model: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    function = getattr(api, CONVERT[case.mode])
    if case.mode == "on_device":
        return function(model, "forward", case.inplace, case.debug)
    return function(model, case.inplace, case.debug, case.preserved_attrs)


def quantize(api: ModuleType, case: Case, model: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    function = functools.partial(getattr(api, QUANTIZE[case.mode]), model, case.qconfig_dict)
    if case.mode == "static":
        return function(calibrate, [case.batches], case.inplace, debug=case.debug)
    if case.mode == "dynamic":
        return function(case.inplace, debug=case.debug)
    return function("forward", case.inplace)


def run_in_steps(api: ModuleType, case: Case) -> dict[str, object]:
    """All that can be seen of prepare, calibration and convert, the modules passed in included."""
    model = fresh(case)
    seen: dict[str, object] = {"float": fingerprint(model)}
    prepared = prepare(api, case, model)
    seen["given, once prepared"] = fingerprint(model)
    if case.mode == "static":
        calibrate(prepared, case.batches)
    seen["prepared"] = fingerprint(prepared)
    converted = convert(api, case, prepared)
    seen["converted"] = fingerprint(converted)
    seen["results"] = results(case, converted)
    seen["prepared, once converted"] = fingerprint(prepared)
    seen["given, once converted"] = fingerprint(model)
    seen["same object"] = (prepared is model, converted is prepared)
    seen["Python classes"] = (type(prepared), type(converted))
    return seen


def run_at_once(api: ModuleType, case: Case) -> dict[str, object]:
    """All that can be seen of the function that does everything."""
    model = fresh(case)
    quantized = quantize(api, case, model)
    return {
        "quantized": fingerprint(quantized),
        "results": results(case, quantized),
        "given": fingerprint(model),
        "same object": quantized is model,
    }


@pytest.mark.parametrize("case", CASES, ids=str)
def test_steps_do_what_torchs_do(case: Case):
    assert run_in_steps(ours, case) == run_in_steps(torchs, case)


@pytest.mark.parametrize(
    "case",
    [
        Case(net, how, mode, inplace, debug)
        for net, how in (("conv_bn_relu", "scripted"), ("mlp", "traced"))
        for mode in QUANTIZE
        for inplace in (False, True)
        for debug in (False, True)
        if not (debug and mode == "on_device")  # that function has no such parameter
    ],
    ids=str,
)
def test_doing_it_all_at_once_does_what_torchs_does(case: Case):
    assert run_at_once(ours, case) == run_at_once(torchs, case)


@pytest.mark.parametrize("inplace", [False, True])
def test_folding_does_what_torchs_does(inplace: bool):
    def run(api: ModuleType) -> object:
        model = fresh(Case("residual", "scripted", "static"))
        folded = api.fuse_conv_bn_jit(model, inplace)
        return fingerprint(folded), fingerprint(model), folded is model

    assert run(ours) == run(torchs)


def test_the_comparison_would_notice_a_difference():
    case = Case("mlp", "scripted", "dynamic")
    other = Case("mlp", "scripted", "dynamic", qconfig=default_dynamic_qconfig)
    seen, changed = run_in_steps(ours, case), run_in_steps(ours, other)
    assert {key for key in seen if seen[key] != changed[key]} == {
        "prepared",
        "converted",
        "results",
        "prepared, once converted",
    }


# What happens to the modules passed in


def test_not_in_place_only_the_prepared_models_training_flags_change():
    model = fresh(Case("mlp", "scripted", "static")).train()
    before = fingerprint(model)
    prepared = ours.prepare_jit(model, {"": STATIC})
    calibrate(prepared, NETS["mlp"].inputs())
    observed = fingerprint(prepared)
    assert prepared.training
    ours.convert_jit(prepared)
    assert not prepared.training
    changed = {key for key, value in fingerprint(prepared).items() if observed[key] != value}
    assert {".training", "/fc1.training", "/fc1/_observer_#0.training"} < changed
    assert all(key.endswith(".training") for key in changed)
    assert fingerprint(model) == before


def test_on_device_preparation_inlines_the_method_of_the_model_it_was_given():
    model = fresh(Case("mlp", "scripted", "on_device"))
    assert "prim::CallMethod" in str(model.graph)
    ours._prepare_ondevice_dynamic_jit(model, {"": per_channel_dynamic_qconfig})
    assert "prim::CallMethod" not in str(model.graph)


def noting(
    name: str, method: Callable, wanted: nn.Module, called: list[tuple[str, bool]]
) -> Callable:
    """The same method, which notes that it was called, and whether on the wanted module."""

    def noted(self: nn.Module) -> object:
        called.append((name, self is wanted))
        return method(self)

    return noted


@pytest.mark.parametrize("net", ["mlp", "no_parameters"])
@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("inplace", [False, True])
def test_eval_and_cpu_are_called_on_the_given_model(
    net: str, debug: bool, inplace: bool, monkeypatch: pytest.MonkeyPatch
):
    """With `inplace=False` too, although it is the result that runs."""

    def run(api: ModuleType) -> list[tuple[str, bool]]:
        model = torch.jit.script(nn.Sequential(nn.ReLU()))
        if net == "mlp":
            model = fresh(Case("mlp", "scripted", "static"))
        prepared = api.prepare_jit(model, {"": STATIC})
        calibrate(prepared, NETS["mlp"].inputs())
        called = []
        with monkeypatch.context() as patch:
            patch.setattr(nn.Module, "eval", noting("eval", nn.Module.eval, prepared, called))
            patch.setattr(nn.Module, "cpu", noting("cpu", nn.Module.cpu, prepared, called))
            api.convert_jit(prepared, inplace, debug)
        return called

    # A model without parameters counts as one on the XPU, which is not moved.
    moved = [] if debug or net == "no_parameters" else [("cpu", True)]
    assert run(ours) == run(torchs) == [("eval", True), *moved]


def test_a_conversion_that_fails_leaves_what_torchs_leaves():
    def run(api: ModuleType) -> object:
        case = Case("mlp", "scripted", "static", inplace=True, preserved_attrs=("nope",))
        prepared = prepare(api, case, fresh(case).train())
        calibrate(prepared, case.batches)
        with pytest.raises(RuntimeError, match="Unknown name: nope"):
            convert(api, case, prepared)
        return fingerprint(prepared)

    assert run(ours) == run(torchs)


# How it is called, and what it calls


def functions(api: ModuleType) -> dict[str, Callable[..., object]]:
    """The functions that torch's module defines, by name, as the module at hand has them."""
    return {
        name: getattr(api, name)
        for name, value in vars(torchs).items()
        if inspect.isfunction(value) and value.__module__ == torchs.__name__
    }


@pytest.mark.parametrize("name", functions(torchs))
def test_signatures_are_torchs(name: str):
    def signature(api: ModuleType) -> list[tuple[str, object, object]]:
        parameters = inspect.signature(functions(api)[name]).parameters.values()
        return [(each.name, each.kind, each.default) for each in parameters]

    assert signature(ours) == signature(torchs)


def test_names_are_torchs():
    assert sorted(ours.__all__) == sorted(torchs.__all__)
    assert {name: value.__name__ for name, value in functions(ours).items()} == {
        name: value.__name__ for name, value in functions(torchs).items()
    }
    assert ours.QuantType is QuantType


def test_torchs_own_functions_are_not_called(monkeypatch: pytest.MonkeyPatch):
    def fail(*args: object, **kwargs: object) -> None:
        raise AssertionError("torch's own function was called")

    for name in functions(torchs):
        monkeypatch.setattr(torchs, name, fail)
    for mode in QUANTIZE:
        case = Case("mlp", "scripted", mode)
        quantize(ours, case, fresh(case))


def shown(value: object) -> object:
    """An argument of a call, with a word in place of what differs from run to run."""
    if isinstance(value, torch.jit.ScriptModule | torch._C.ScriptModule):
        return "module"
    if isinstance(value, torch._C.Graph):
        return "graph"
    return sorted(value) if isinstance(value, dict) else plain_value(value)


def spied(name: str, original: Callable, calls: list[tuple[object, ...]]) -> Callable:
    """The same function, which adds a row to `calls` first."""

    def spy(*args: object, **kwargs: object) -> object:
        calls.append((name, *map(shown, args), *((key, shown(kwargs[key])) for key in kwargs)))
        return original(*args, **kwargs)

    return spy


def calls_of(
    monkeypatch: pytest.MonkeyPatch, owner: ModuleType, names: list[str], action: Callable
) -> list[tuple[object, ...]]:
    """The calls of those functions during the action, with their arguments, in order."""
    calls: list[tuple[object, ...]] = []
    with monkeypatch.context() as patch:
        for name in names:
            patch.setattr(owner, name, spied(name, getattr(owner, name), calls))
        action()
    return calls


RUNS = [
    Case(net, "scripted", mode, inplace, debug)
    for net in ("mlp",)
    for mode in QUANTIZE
    for inplace in (False, True)
    for debug in (False, True)
]


@pytest.mark.parametrize("case", RUNS, ids=str)
@pytest.mark.parametrize("how", [run_in_steps, run_at_once])
def test_the_passes_and_their_arguments_are_torchs(
    how: Callable, case: Case, monkeypatch: pytest.MonkeyPatch
):
    names = [name for name in dir(torch._C) if name.startswith("_jit_pass_")]
    calls = {
        api: calls_of(monkeypatch, torch._C, names, functools.partial(how, api, case))
        for api in (ours, torchs)
    }
    assert len(calls[ours]) >= 5
    assert calls[ours] == calls[torchs]


@pytest.mark.parametrize("case", RUNS, ids=str)
@pytest.mark.parametrize("how", [run_in_steps, run_at_once])
def test_the_functions_in_between_are_called_as_torchs_are(
    how: Callable, case: Case, monkeypatch: pytest.MonkeyPatch
):
    """`jq.record()` watches them: it has to see the same calls of either module."""
    names = [
        "_prepare_jit",
        "_convert_jit",
        "_quantize_jit",
        "_prepare_ondevice_jit",
        "_convert_ondevice_jit",
    ]
    calls = {
        api: calls_of(monkeypatch, api, names, functools.partial(how, api, case))
        for api in (ours, torchs)
    }
    assert calls[ours]
    assert calls[ours] == calls[torchs]


def uses_logged(
    monkeypatch: pytest.MonkeyPatch, api: ModuleType, action: Callable[[ModuleType], object]
) -> list[str]:
    logged: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(torch._C, "_log_api_usage_once", logged.append)
        action(api)
    return [name for name in logged if name.startswith("quantization_api")]


@pytest.mark.parametrize("case", RUNS[::4], ids=str)
@pytest.mark.parametrize("how", [run_in_steps, run_at_once])
def test_uses_are_logged_under_torchs_names(
    how: Callable, case: Case, monkeypatch: pytest.MonkeyPatch
):
    def action(api: ModuleType) -> None:
        how(api, case)

    logged = uses_logged(monkeypatch, ours, action)
    assert "quantization_api.quantize_jit.fuse_conv_bn_jit" in logged
    assert logged == uses_logged(monkeypatch, torchs, action)


def test_scripting_a_qconfig_is_not_logged(monkeypatch: pytest.MonkeyPatch):
    assert not uses_logged(monkeypatch, ours, lambda api: api.script_qconfig_dict({"": STATIC}))


def test_a_scripted_qconfig_holds_new_cpp_observers():
    scripted = ours.script_qconfig(STATIC)
    again = ours.script_qconfig(STATIC)
    assert isinstance(scripted, QConfig)
    for mine, other, theirs in zip(scripted, again, torchs.script_qconfig(STATIC), strict=True):
        assert type(mine) is type(theirs)
        assert mine is not other
        assert str(mine._type()) == str(theirs._type())


def test_scripting_a_qconfig_dict_leaves_none_as_it_is():
    scripted = ours.script_qconfig_dict({"": STATIC, "fc1": None})
    assert list(scripted) == ["", "fc1"]
    assert isinstance(scripted[""], QConfig)
    assert scripted["fc1"] is None


# Errors


class NoForward(nn.Module):
    @torch.jit.export
    def double(self, x: Tensor) -> Tensor:
        return x + x


def mlp() -> torch.jit.ScriptModule:
    return fresh(Case("mlp", "scripted", "static"))


def no_forward() -> torch.jit.ScriptModule:
    return torch.jit.script(NoForward())


def fails(api: ModuleType, model: object, batches: object) -> None:
    raise KeyError("no such batch")


EAGER = nn.Linear(6, 4)
MAPPING = QConfigMapping().set_global(default_qconfig)

ERRORS: dict[str, tuple[type[Exception], Callable[[ModuleType], object]]] = {
    "eager, static": (ValueError, lambda api: api.prepare_jit(EAGER, {})),
    "eager, dynamic": (ValueError, lambda api: api.prepare_dynamic_jit(EAGER, {})),
    "eager, convert": (ValueError, lambda api: api.convert_jit(EAGER)),
    "eager, convert dynamic": (ValueError, lambda api: api.convert_dynamic_jit(EAGER)),
    "eager, quantize": (ValueError, lambda api: api.quantize_jit(EAGER, {}, calibrate, [[]])),
    "eager, quantize dynamic": (ValueError, lambda api: api.quantize_dynamic_jit(EAGER, {})),
    "eager, fold": (AttributeError, lambda api: api.fuse_conv_bn_jit(EAGER)),
    "eager, on-device": (ValueError, lambda api: api._quantize_ondevice_dynamic_jit(EAGER, {})),
    "eager, convert on-device": (
        ValueError,
        lambda api: api._convert_ondevice_dynamic_jit(EAGER, "forward"),
    ),
    "the check for a ScriptModule": (ValueError, lambda api: api._check_is_script_module(EAGER)),
    "no module": (ValueError, lambda api: api.prepare_jit("model.pt", {})),
    "no forward": (ValueError, lambda api: api.prepare_jit(no_forward(), {})),
    "no forward, dynamic": (ValueError, lambda api: api.quantize_dynamic_jit(no_forward(), {})),
    "no forward, convert": (RuntimeError, lambda api: api.convert_jit(no_forward())),
    "no forward, on-device": (
        RuntimeError,
        lambda api: api._quantize_ondevice_dynamic_jit(no_forward(), {}),
    ),
    "the check for forward": (ValueError, lambda api: api._check_forward_method(no_forward())),
    "class as key": (ValueError, lambda api: api.prepare_jit(mlp(), {nn.Linear: STATIC})),
    "class as key, on-device": (
        ValueError,
        lambda api: api._prepare_ondevice_jit(mlp(), {nn.Linear: STATIC}),
    ),
    "number as key": (ValueError, lambda api: api.prepare_jit(mlp(), {"": STATIC, 0: STATIC})),
    "list of qconfigs": (ValueError, lambda api: api.prepare_jit(mlp(), [STATIC])),
    "list of names": (AttributeError, lambda api: api.prepare_jit(mlp(), ["fc1"])),
    "empty list": (AttributeError, lambda api: api.prepare_jit(mlp(), [])),
    "list of names, on-device": (
        AttributeError,
        lambda api: api._prepare_ondevice_jit(mlp(), ["fc1"]),
    ),
    "QConfig as dict": (ValueError, lambda api: api.prepare_jit(mlp(), STATIC)),
    "None as dict": (TypeError, lambda api: api.prepare_jit(mlp(), None)),
    "QConfigMapping": (TypeError, lambda api: api.prepare_jit(mlp(), MAPPING)),
    "QConfigMapping, scripted": (AttributeError, lambda api: api.script_qconfig_dict(MAPPING)),
    "string as value": (AttributeError, lambda api: api.prepare_jit(mlp(), {"fc1": "fbgemm"})),
    "dict for FX": (
        AttributeError,
        lambda api: api.prepare_jit(mlp(), {"": STATIC, "object_type": [(nn.Linear, STATIC)]}),
    ),
    "QConfig of nothing": (TypeError, lambda api: api.script_qconfig(QConfig(None, None))),
    "None scripted": (AttributeError, lambda api: api.script_qconfig(None)),
    "no calibration function": (
        AssertionError,
        lambda api: api.quantize_jit(mlp(), {"": STATIC}, None, [[]]),
    ),
    "no calibration data": (
        AssertionError,
        lambda api: api.quantize_jit(mlp(), {"": STATIC}, calibrate, []),
    ),
    "neither": (AssertionError, lambda api: api._quantize_jit(mlp(), {"": STATIC})),
    "calibration first": (AssertionError, lambda api: api.quantize_jit(EAGER, [], None, None)),
    "a calibration that fails": (
        KeyError,
        lambda api: api.quantize_jit(mlp(), {"": STATIC}, functools.partial(fails, api), [[]]),
    ),
    "dynamic qconfig, static": (
        RuntimeError,
        lambda api: api.convert_jit(api.prepare_jit(mlp(), {"": default_dynamic_qconfig})),
    ),
    "nothing of that name to preserve": (
        RuntimeError,
        lambda api: api.convert_jit(mlp(), preserved_attrs=["nope"]),
    ),
    "a string to preserve": (
        TypeError,
        lambda api: api.convert_jit(mlp(), preserved_attrs="scores"),
    ),
    "on-device, static": (
        AssertionError,
        lambda api: api._convert_ondevice_jit(mlp(), "forward"),
    ),
    "on-device, the observing method": (
        AssertionError,
        lambda api: api._convert_ondevice_dynamic_jit(mlp(), "observe_forward"),
    ),
    "on-device, not prepared": (
        RuntimeError,
        lambda api: api._convert_ondevice_dynamic_jit(mlp(), "forward"),
    ),
    "on-device, no such method": (
        RuntimeError,
        lambda api: api._quantize_ondevice_dynamic_jit(mlp(), {}, "nope"),
    ),
    "on-device, method of no name": (
        AttributeError,
        lambda api: api._convert_ondevice_dynamic_jit(mlp(), None),
    ),
    "missing argument": (TypeError, lambda api: api.prepare_jit(mlp())),
    "unknown argument": (TypeError, lambda api: api.convert_jit(mlp(), quant_type=None)),
}


def raised(kind: type[Exception], action: Callable[[], object]) -> Exception:
    with pytest.raises(kind) as caught:
        action()
    return caught.value


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_torchs(name: str):
    kind, call = ERRORS[name]
    mine = raised(kind, lambda: call(ours))
    theirs = raised(kind, lambda: call(torchs))
    assert type(mine) is type(theirs)
    assert first_line(mine) == first_line(theirs)


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("eager, static", "torch.jit.script(model.eval())"),
        ("eager, on-device", "torch.jit.trace(model.eval(), example_inputs)"),
        ("eager, fold", "torch.jit.script(model.eval())"),
        ("QConfigMapping", "mapping.module_name_qconfigs"),
        ("QConfigMapping, scripted", "mapping.global_qconfig"),
        ("list of names", "Got a list for the qconfig_dict. The qconfig_dict maps"),
        ("None as dict", "Got a NoneType"),
        ("QConfig as dict", '{"": qconfig} is for the whole model'),
        ("class as key", "Found <class 'torch.nn.modules.linear.Linear'>"),
        ("string as value", "The value of key 'fc1' is a str: it must be a QConfig or None."),
        ("dict for FX", "The value of key 'object_type' is a list"),
    ],
)
def test_notes_say_what_to_do(name: str, note: str):
    kind, call = ERRORS[name]
    assert any(note in each for each in raised(kind, lambda: call(ours)).__notes__)


@pytest.mark.parametrize("name", ["no module", "QConfig of nothing", "a calibration that fails"])
def test_no_note_where_there_is_nothing_to_add(name: str):
    kind, call = ERRORS[name]
    assert not hasattr(raised(kind, lambda: call(ours)), "__notes__")


def test_the_advice_on_a_qconfig_mapping_works():
    mapping = QConfigMapping().set_global(STATIC).set_module_name("fc1", None)
    qconfigs = {"": mapping.global_qconfig, **mapping.module_name_qconfigs}
    assert qconfigs == {"": STATIC, "fc1": None}


# Warnings


@pytest.mark.parametrize(
    "call",
    [
        lambda qconfigs: ours.prepare_jit(mlp(), qconfigs),
        lambda qconfigs: ours._prepare_jit(mlp(), qconfigs),
        lambda qconfigs: ours.quantize_jit(mlp(), qconfigs, calibrate, [[]]),
        lambda qconfigs: ours.quantize_dynamic_jit(mlp(), qconfigs),
        lambda qconfigs: ours._quantize_ondevice_dynamic_jit(mlp(), qconfigs),
    ],
)
def test_a_key_that_names_no_submodule_is_warned_of_at_the_callers_line(call: Callable):
    with pytest.warns(UserWarning, match="names? no submodule") as caught:
        call({"": None, "fc3": None, "encoder": None})
    warning = next(each for each in caught if "no submodule" in str(each.message))
    assert "'fc3' (closest: 'fc2', 'fc1'); 'encoder'" in str(warning.message)
    assert warning.filename == __file__


def test_keys_are_unknown_only_if_they_name_no_submodule():
    residual = fresh(Case("residual", "scripted", "static"))
    known = ["", "block1", "block1.conv1", "fc"]
    assert unknown_keys(residual, known) == {}
    assert unknown_keys(residual, ["model.fc", "conv1", "nothing like it", "block1.conv"]) == {
        "model.fc": ["fc"],
        "conv1": ["block1.conv1", "block2.conv1"],
        "nothing like it": [],
        "block1.conv": ["block1.conv2", "block1.conv1", "block2.conv2"],
    }


def test_either_name_of_a_shared_submodule_is_known():
    shared = fresh(Case("shared_submodule", "scripted", "static"))
    assert unknown_keys(shared, ["shared", "alias"]) == {}


@pytest.mark.parametrize("case", RUNS[::4], ids=str)
def test_no_warning_where_torch_gives_none(case: Case):
    def warned(api: ModuleType) -> set[str]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run_in_steps(api, case)
            run_at_once(api, case)
        return {str(warning.message) for warning in caught}

    # Torch's first: some of its warnings are given once only.
    theirs = warned(torchs)
    assert warned(ours) <= theirs


# The rooms below


@pytest.mark.parametrize(
    ("qconfig", "text"),
    [
        (None, "None"),
        (
            get_default_qconfig("fbgemm"),
            "activation=HistogramObserver(reduce_range=True), weight=PerChannelMinMaxObserver("
            "dtype=torch.qint8, qscheme=torch.per_channel_symmetric)",
        ),
        (QConfig(HistogramObserver, MinMaxObserver),
            "activation=HistogramObserver(), weight=MinMaxObserver()"),
        (
            QConfig(
                MinMaxObserver.with_args(dtype=torch.qint8, eps=0.5).with_args(eps=0.25),
                default_weight_observer,
            ),
            "activation=MinMaxObserver(dtype=torch.qint8, eps=0.25), weight=MinMaxObserver("
            "dtype=torch.qint8, qscheme=torch.per_tensor_symmetric)",
        ),
        (
            QConfig(functools.partial(HistogramObserver, bins=16), mlp),
            "activation=HistogramObserver(bins=16), weight=mlp()",
        ),
        (QConfig(None, object), "activation=None, weight=object()"),
    ],
)  # fmt: skip
def test_a_qconfig_is_described_as_the_calls_it_makes(qconfig: QConfig | None, text: str):
    assert describe_qconfig(qconfig) == text


def test_a_description_holds_no_address():
    qconfig = QConfig(functools.partial(MinMaxObserver, dtype=object()), object())
    assert describe_qconfig(qconfig) == "activation=MinMaxObserver(dtype=object), weight=object"


@pytest.mark.parametrize("version", ["2.13.0", "2.13.0+cpu", "2.13.1a0+git1234567"])
def test_supported_torch_is_accepted(version: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch, "__version__", version)
    require_supported_torch()


@pytest.mark.parametrize("version", ["2.12.1", "2.14.0", "2.14.0.dev20260901", "3.0.0", "unknown"])
def test_other_torch_is_refused_at_import(version: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch, "__version__", version)
    spec = importlib.util.find_spec("jitq_explore.quantize_jit")
    with pytest.raises(ImportError, match=r"python -m pip install 'torch>=2\.13,<2\.14'") as caught:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert version in str(caught.value)


def test_the_range_is_that_of_the_package():
    pyproject = Path(__file__).parent.parent / "pyproject.toml"
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    assert "torch>=2.13,<2.14" in project["dependencies"]
