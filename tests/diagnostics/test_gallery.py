"""Every case of the gallery is found, where it is, and its remedy removes the finding and harm."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from gallery import (
    BOTH,
    CASES,
    IMAGES,
    MINMAX,
    ROWS,
    WHOLE,
    Case,
    ConvBn,
    HugeWeight,
    LinearNorm,
    LoudRow,
    NormAndMore,
    NormElsewhere,
    OneNormTwoCalls,
    OneNormTwoConvs,
    OwnClass,
    ReluBeforeBn,
    TransformerBlock,
    Transposed,
    Two,
    TwoNorms,
    TwoNormsTwoConvs,
    WithSpare,
    Wrapped,
    batches,
    compiled,
    eager,
    line_text,
    not_begun,
    nothing,
    on_device,
    static,
    with_extreme,
)
from runs import calibrate
from torch.ao.quantization import (
    QConfig,
    default_dynamic_qconfig,
    default_per_channel_weight_observer,
    default_qconfig,
    float16_dynamic_qconfig,
)

import jitq_explore as jq
from jitq_explore.snapshots.archive import load, save

EACH = [pytest.param(case, how, id=f"{case}-{how}") for case in CASES for how in case.hows]


@pytest.mark.parametrize(("case", "how"), EACH)
def test_found_and_cured(case: Case, how: str):
    found = jq.diagnose(case.broken(how)).of(case.rule)
    assert case.severity in {each.severity for each in found}, jq.diagnose(case.broken(how)).text()
    assert all(each.why and each.evidence and each.remedy for each in found)
    assert case.module in {each.module for each in found} or not case.module, found.text()
    lines = [line_text(each.source) for each in found if each.source]
    assert not case.line or any(case.line in line for line in lines), (lines, found.text())
    cured = jq.diagnose(case.cured(how)).of(case.rule)
    assert case.severity not in {each.severity for each in cured}, cured.text()


def test_a_rule_finds_the_same_in_a_file(tmp_path):
    for case in CASES[:: len(CASES) // 6]:
        recording = case.broken(case.hows[0])
        again = load(save(recording, tmp_path / "run.jitq"))
        assert jq.diagnose(again) == jq.diagnose(recording)


PER_ROW = QConfig(default_dynamic_qconfig.activation, default_per_channel_weight_observer)
HALF = {"": float16_dynamic_qconfig}

Options = dict[str, Any]

MEASURED: tuple[tuple[str, type, Options, type, Options], ...] = (
    ("uncalibrated", Two, {"qconfig": {"": default_qconfig}, "run": nothing}, Two, {}),
    ("NaN", Two, {"qconfig": {"": MINMAX}, "data": with_extreme(torch.nan)}, Two, {}),
    ("outlier", Two, {"qconfig": {"": MINMAX}, "data": with_extreme(1e4)}, Two, {}),
    ("overflow", Two, {"qconfig": {"": MINMAX}, "data": with_extreme(3e38)}, Two, {}),
    ("lost rows", LoudRow, {"mode": "dynamic"},
     LoudRow, {"qconfig": {"": PER_ROW}, "mode": "dynamic"}),
    ("two norms", TwoNorms, {"data": IMAGES}, TwoNormsTwoConvs, {"data": IMAGES}),
    ("two calls", OneNormTwoCalls, {"data": IMAGES}, OneNormTwoConvs, {"data": IMAGES}),
    ("few values", Two, {"data": with_extreme(1e4)}, Two, {}),
    ("float16", HugeWeight, {"qconfig": HALF, "mode": "dynamic"},
     HugeWeight, {"qconfig": {"": default_dynamic_qconfig}, "mode": "dynamic"}),
)  # fmt: skip


def quantized(net: torch.nn.Module, how: str, **options: Any) -> Callable[..., torch.Tensor]:
    data = options.get("data", ROWS)
    model = compiled(net, how, data)
    if options.get("mode") == "dynamic":
        session = jq.Session.dynamic(model, options.get("qconfig", {"": default_dynamic_qconfig}))
    else:
        run = options.get("run", calibrate)
        qconfig = options.get("qconfig", WHOLE)
        session = jq.Session.static(model, qconfig, run, [data], progress=False)
    session.run()
    return session.module


def worst_channel(make: type, how: str, options: Options) -> float:
    """dB of the channel (of the output's second dimension) that fares worst."""
    net = eager(make)
    inputs = IMAGES[0] if options.get("data") is IMAGES else ROWS[0]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        wanted, got = net(*inputs), quantized(net, how, **options)(*inputs)
    noise = (wanted - got).transpose(0, 1).flatten(1).norm(dim=1)
    signal = wanted.transpose(0, 1).flatten(1).norm(dim=1)
    found = 20 * (signal / noise).log10().min()
    return -torch.inf if torch.isnan(found) else float(found)


@pytest.mark.parametrize("how", BOTH)
@pytest.mark.parametrize(
    ("name", "broken", "options", "cured", "better"), MEASURED, ids=[each[0] for each in MEASURED]
)
def test_the_remedy_makes_the_error_smaller(name, broken, options, cured, better, how):
    before, after = worst_channel(broken, how, options), worst_channel(cured, how, better)
    assert after > before + 6, (before, after)


def test_the_norm_that_on_device_quantization_applies_twice_is_cured_by_folding_it_first():
    def error(net: torch.nn.Module) -> float:
        model = torch.jit.script(net)
        session = jq.Session.on_device(model, {"": default_dynamic_qconfig}, inputs=IMAGES[0])
        session.run()
        return float((session.module.quantized_forward(*IMAGES[0]) - net(*IMAGES[0])).norm())

    net = eager(Wrapped)
    fused = Wrapped().eval()
    fused.load_state_dict(net.state_dict())
    inner: ConvBn = fused.inner
    inner.conv = torch.nn.utils.fusion.fuse_conv_bn_eval(inner.conv, inner.bn)
    inner.bn = torch.nn.Identity()
    with torch.no_grad():
        assert error(fused) < error(net) / 10


KEPT = (
    ("goes to aten::add too", NormAndMore, IMAGES),
    ("OwnConv and BatchNorm2d", OwnClass, IMAGES),
    ("called by two methods", NormElsewhere, IMAGES),
    ("Linear and BatchNorm1d", LinearNorm, ROWS),
    ("this one takes aten::relu", ReluBeforeBn, IMAGES),
)


@pytest.mark.parametrize("how", BOTH)
@pytest.mark.parametrize(("reason", "make", "data"), KEPT, ids=[each[0] for each in KEPT])
def test_why_a_norm_is_not_folded(reason, make, data, how):
    (found,) = jq.diagnose(static(eager(make), how, {"": MINMAX}, data)).of("norm_not_folded")
    assert reason in found.why


def test_a_kept_module_is_packed_at_every_call_and_runs():
    session = jq.Session.static(
        compiled(eager(Two), "scripted"), WHOLE, calibrate, [ROWS], preserved_attrs=["fc1"]
    )
    (found,) = jq.diagnose(session.run()).of("unpacked_weight")
    assert "preserved_attrs=['fc1']" in found.remedy
    assert session.module(*ROWS[0]).shape == (4, 4)


def test_on_the_device_the_key_of_the_whole_model_is_the_one_to_give():
    found = jq.diagnose(on_device(eager(Two), qconfig={"fc1": default_dynamic_qconfig}))
    (floats,) = {
        (each.why, each.remedy) for each in found.of("float_no_qconfig") if each.module == "fc1"
    }
    assert "the key '' alone" in floats[0]
    assert floats[1] == "Give the key '' a QConfig."
    assert not found.of("float_no_match")
    assert all("gallery.py" in each.source for each in found.of("float_no_qconfig"))


def test_a_pass_that_would_crash_is_told_with_its_remedy():
    found = jq.diagnose(static(eager(WithSpare), "scripted")).of("stage_failed")
    assert "was not run" in found[0].title
    assert found[0].why.startswith("spare would be left without")
    assert found[0].remedy.startswith("Pass {**qconfig_dict, 'spare': None}")


class SpareNorm(torch.nn.Module):
    """The norm that is not called shares the class of one that gets no observer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = torch.nn.Linear(6, 6)
        self.norm, self.spare = torch.nn.BatchNorm1d(6), torch.nn.BatchNorm1d(6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(torch.relu(self.fc(x)))


def test_a_shared_class_that_gets_no_observers_is_no_danger():
    assert not jq.diagnose(not_begun(eager(SpareNorm), WHOLE)).of("shared_class")
    assert not jq.diagnose(static(eager(SpareNorm))).of("shared_class")


class Nested(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = torch.nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        y = self.fc(x)
        return y, (self.fc(y), y)


def test_tuples_in_tuples_are_one_finding():
    assert len(jq.diagnose(static(eager(Nested))).of("tuple_output")) == 1


class Exchanged(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = torch.nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.fc(x)
        half = y.shape[1] // 2
        return torch.cat([y[:, half:], y[:, :half]], 1)


def test_reckoning_with_sizes_is_no_op_left_in_float():
    found = jq.diagnose(static(eager(Exchanged), "traced"))
    assert "floor_divide" not in found.text()


def test_methods_that_the_model_keeps_to_itself_are_not_missed():
    net = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.ReLU()).eval()
    assert "__len__" in static(net).input.method_names
    assert not jq.diagnose(static(net))


def test_a_failed_branch_is_told_with_its_line():
    net = eager(SometimesHalved)
    (found,) = jq.diagnose(static(net, qconfig={**WHOLE, "side": None})).of("stage_failed")
    assert found.module == "side"
    assert line_text(found.source) == "if self.training:"
    assert "branches for `if`" in found.evidence


class Halved(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            return x * torch.rand(1)
        return x


class SometimesHalved(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = torch.nn.Linear(6, 6)
        self.side = Halved()
        self.fc2 = torch.nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(self.side(self.fc1(x)))


CHANGES = ("shared class", "lost rows", "transposed, per channel", "observed layer norm")


@pytest.mark.parametrize("name", CHANGES)
def test_a_remedy_that_a_session_can_apply_removes_the_finding(name):
    case = next(case for case in CASES if case.name == name)
    found = jq.diagnose(case.broken("scripted")).of(case.rule)
    assert found[0].change is not None
    net, options = {
        "shared class": (WithSpare, {}),
        "lost rows": (LoudRow, {"qconfig": {"": MINMAX}}),
        "transposed, per channel": (Transposed, {"data": IMAGES}),
        "observed layer norm": (TransformerBlock, {"data": batches(2, 5, 8)}),
    }[name]
    data = options.get("data", ROWS)
    session = jq.Session.static(
        compiled(eager(net), "scripted"), options.get("qconfig", WHOLE), calibrate, [data]
    )
    changed = session
    for each in found:
        changed = changed.with_change(each.change)
    changed.run()
    assert not jq.diagnose(changed.recording).of(case.rule)


@pytest.mark.parametrize(
    "qconfig", [{**WHOLE, "fc": None}, {**WHOLE, "spare": None}, {"": None, "spare": WHOLE[""]}]
)
def test_a_shared_class_without_observers_does_no_harm(qconfig):
    assert not jq.diagnose(not_begun(eager(WithSpare), qconfig)).of("shared_class")
