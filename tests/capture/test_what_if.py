"""Predictions on the digits network, against what the observers and torch's rounding really do."""

from __future__ import annotations

import functools
import math

import pytest
import torch
from runs import session
from torch.ao.quantization import (
    FixedQParamsObserver,
    HistogramObserver,
    MinMaxObserver,
    MovingAverageMinMaxObserver,
    QConfig,
    default_per_channel_weight_observer,
    default_weight_observer,
)
from torch.nn.utils import fuse_conv_bn_eval

import jitq_explore as jq
from jitq_explore import demo
from jitq_explore.capture.gains import values_at
from jitq_explore.snapshots.observations import observations
from jitq_explore.snapshots.observers import ObserverReading
from jitq_explore.snapshots.what_if import NothingToPredictError

OBSERVERS = {
    "MinMax": MinMaxObserver,
    "MovingAverage": MovingAverageMinMaxObserver,
    "Histogram": HistogramObserver,
}


@functools.cache
def digits_net() -> torch.jit.ScriptModule:
    return torch.jit.script(demo.train(demo.digits().train))


@functools.cache
def digits(observer: str, weight=default_weight_observer) -> jq.Session:
    pytest.importorskip("sklearn")
    qconfig = QConfig(OBSERVERS[observer].with_args(reduce_range=True), weight)
    made = jq.Session.static(
        digits_net(), {"": qconfig}, demo.calibrate, [demo.digits().calibration],
        histograms=True, progress=False,
    )  # fmt: skip
    made.run(until="calibrate")
    return made


@functools.cache
def digits_values(place: int) -> list[torch.Tensor]:
    """The float values of one activation over the calibration data, whatever observes them."""
    run = digits("Histogram")
    return values_at(run, readings(run, "activation")[place])


def rounded(value: torch.Tensor, reading: ObserverReading) -> torch.Tensor:
    """As torch's own kernels do it."""
    dtype = getattr(torch, reading.dtype)
    if len(reading.scale) == 1:
        point = int(reading.zero_point[0])
        quantized = torch.quantize_per_tensor(value, reading.scale[0], point, dtype)
    else:
        points = torch.tensor(reading.zero_point, dtype=torch.int32)
        scales = torch.tensor(reading.scale)
        quantized = torch.quantize_per_channel(value, scales, points, reading.axis, dtype)
    return quantized.dequantize()


def measured(values: list[torch.Tensor], reading: ObserverReading) -> float:
    whole = torch.cat(values)
    return 20 * math.log10(whole.norm() / (whole - rounded(whole, reading)).norm())


def readings(run: jq.Session, role: str):
    return [seen for seen in observations(run.recording) if seen.role == role]


@pytest.mark.parametrize("asked", OBSERVERS)
@pytest.mark.parametrize("recorded", OBSERVERS)
def test_another_observer_is_predicted_within_a_decibel(recorded, asked):
    run, other = digits(recorded), digits(asked)
    pairs = list(zip(readings(run, "activation"), readings(other, "activation"), strict=True))
    assert len(pairs) == 6
    for place, (seen, expected) in enumerate(pairs):
        found = jq.what_if(run.recording, seen.reading.path, observer=asked)
        values = digits_values(place)
        assert found.present.sqnr == pytest.approx(measured(values, seen.reading), abs=1)
        assert found.predicted.sqnr == pytest.approx(measured(values, expected.reading), abs=1)
        assert found.predicted.scale[0] == pytest.approx(expected.reading.scale[0], rel=0.01)


STEP = 1 / 128
"""Of weights that int8 holds exactly, so that all of an op's own error is its result's rounding."""


@functools.cache
def digits_on_a_grid(observer: str) -> jq.Session:
    pytest.importorskip("sklearn")
    model = demo.train(demo.digits().train)
    for holder, conv, norm in (
        (model, "conv", "bn"),
        (model.block, "conv1", "bn1"),
        (model.block, "conv2", "bn2"),
    ):
        fused = fuse_conv_bn_eval(getattr(holder, conv), getattr(holder, norm))
        setattr(holder, conv, fused)
        setattr(holder, norm, torch.nn.Identity())
    with torch.no_grad():
        for layer in (model.conv, model.block.conv1, model.block.conv2, model.fc):
            layer.weight.copy_((layer.weight / STEP).round().clamp(-128, 127) * STEP)
    exact = FixedQParamsObserver.with_args(
        scale=STEP, zero_point=0, dtype=torch.qint8, quant_min=-128, quant_max=127
    )
    qconfig = QConfig(OBSERVERS[observer].with_args(reduce_range=True), exact)
    run = jq.Session.static(
        torch.jit.script(model), {"": qconfig}, demo.calibrate, [demo.digits().calibration],
        histograms=True, progress=False,
    )  # fmt: skip
    run.run()
    jq.compare(run, [images for images, _ in demo.digits().calibration])
    return run


ROUNDING = {
    "aten::quantize_per_tensor", "quantized::conv2d", "quantized::conv2d_relu",
    "quantized::add_relu", "quantized::linear",
}  # fmt: skip


@pytest.mark.parametrize("asked", OBSERVERS)
@pytest.mark.parametrize("recorded", OBSERVERS)
def test_compare_measures_what_was_predicted(recorded, asked):
    run, other = digits_on_a_grid(recorded), digits_on_a_grid(asked)
    rows = [row for row in other.recording.numerics.at("dce") if row.kind in ROUNDING]
    for seen, row in zip(readings(run, "activation"), rows, strict=True):
        found = jq.what_if(run.recording, seen.reading.path, observer=asked)
        assert found.predicted.sqnr == pytest.approx(row.own_sqnr, abs=1), row.float_kinds


def test_weights_per_channel_are_predicted_within_a_decibel():
    run, other = digits("MinMax"), digits("MinMax", default_per_channel_weight_observer)
    for seen, expected in zip(readings(run, "weight"), readings(other, "weight"), strict=True):
        found = jq.what_if(run.recording, seen.reading.path, per_channel=True)
        weight = values_at(run, seen)
        assert found.present.sqnr == pytest.approx(measured(weight, seen.reading), abs=1)
        assert found.predicted.sqnr == pytest.approx(measured(weight, expected.reading), abs=1)
        assert found.predicted.scale == pytest.approx(expected.reading.scale)


def test_a_per_channel_weight_can_be_put_back_on_one_scale():
    run, other = digits("MinMax", default_per_channel_weight_observer), digits("MinMax")
    seen, expected = readings(run, "weight")[1], readings(other, "weight")[1]
    found = jq.what_if(run.recording, seen.reading.path, observer="MinMax")
    assert found.gain < 0
    after = run.with_change(found.change)
    after.run(until="calibrate")
    for scale in (found.predicted.scale, readings(after, "weight")[1].reading.scale):
        assert scale == pytest.approx(expected.reading.scale)


def test_what_was_asked_can_be_applied():
    run = digits("Histogram")
    seen = readings(run, "activation")[1]
    found = jq.what_if(run.recording, seen.reading.path, low=-0.5, high=1.5, dtype="quint8")
    after = run.with_change(found.change)
    after.run(until="calibrate")
    reading = readings(after, "activation")[1].reading
    assert reading.scale == pytest.approx(found.predicted.scale)
    assert reading.zero_point == found.predicted.zero_point
    assert found.predicted.clipped > 0.05
    assert found.predicted.sqnr == pytest.approx(measured(values_at(run, seen), reading), abs=1)


def test_fewer_bits_cost_six_decibels_each():
    run = digits("Histogram")
    path = readings(run, "activation")[0].reading.path
    four = jq.what_if(run.recording, path, observer="MinMax", dtype="quint4x2").predicted
    eight = jq.what_if(run.recording, path, observer="MinMax", dtype="quint8").predicted
    assert (four.quant_max, eight.quant_max) == (15, 255)
    assert eight.sqnr - four.sqnr == pytest.approx(24, abs=3)


@pytest.mark.parametrize(
    ("value", "asked", "error"),
    [
        ("nowhere", {"observer": "MinMax"}, "unknown value 'nowhere'"),
        ("weight.1", {"observer": "MinMax"}, "several values are called 'weight.1'"),
        ("x.2", {"observer": "Oracle"}, "unknown observer 'Oracle'"),
        ("x.2", {"dtype": "int7"}, "unknown dtype 'int7'"),
        ("x.2", {"observer": "MinMax", "low": 0.0}, "an observer finds its range itself"),
        ("x.2", {"per_channel": True}, "is no weight"),
        ("x.2", {"observer": "Histogram"}, "no histogram of its values was kept"),
    ],
)
def test_bad_input(value, asked, error):
    qconfig = QConfig(MinMaxObserver.with_args(reduce_range=True), default_weight_observer)
    recording = session("residual", qconfig=qconfig).run(until="calibrate")
    with pytest.raises((KeyError, NothingToPredictError, ValueError), match=error):
        jq.what_if(recording, value, **asked)
