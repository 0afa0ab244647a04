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
    LoudRow,
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
