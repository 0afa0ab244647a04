"""Predictions on the digits network, against what the observers and torch's rounding really do."""

from __future__ import annotations

import functools
import math

import pytest
import torch
from runs import session
from torch.ao.quantization import (
    HistogramObserver,
    MinMaxObserver,
    MovingAverageMinMaxObserver,
    QConfig,
    default_per_channel_weight_observer,
    default_weight_observer,
)

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


def fake_quantized(value: torch.Tensor, reading: ObserverReading) -> torch.Tensor:
    ends = reading.quant_min, reading.quant_max
    if len(reading.scale) == 1:
        point = int(reading.zero_point[0])
        return torch.fake_quantize_per_tensor_affine(value, reading.scale[0], point, *ends)
    points = torch.tensor(reading.zero_point, dtype=torch.int32)
    scales = torch.tensor(reading.scale)
    return torch.fake_quantize_per_channel_affine(value, scales, points, reading.axis, *ends)


def measured(values: list[torch.Tensor], reading: ObserverReading) -> float:
    whole = torch.cat(values)
    return 20 * math.log10(whole.norm() / (whole - fake_quantized(whole, reading)).norm())


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
    found = jq.what_if(run.recording, seen.reading.path, low=-0.5, high=1.5)
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
