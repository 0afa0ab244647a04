"""Every observer torch ships, and scripted ones of somebody else, read as torch computes them."""

from __future__ import annotations

import warnings

import pytest
import torch
from nets import NETS, torchscript
from runs import FBGEMM, calibrate
from torch import nn
from torch.ao.quantization import (
    FakeQuantize,
    FixedQParamsFakeQuantize,
    FixedQParamsObserver,
    FusedMovingAvgObsFakeQuantize,
    HistogramObserver,
    MinMaxObserver,
    MovingAverageMinMaxObserver,
    MovingAveragePerChannelMinMaxObserver,
    NoopObserver,
    PerChannelMinMaxObserver,
    PlaceholderObserver,
    QConfig,
    RecordingObserver,
    ReuseInputObserver,
    default_fixed_qparams_range_0to1_observer,
    default_float_qparams_observer,
    default_per_channel_weight_fake_quant,
    default_weight_fake_quant,
    default_weight_observer,
    per_channel_weight_observer_range_neg_127_to_127,
    weight_observer_range_neg_127_to_127,
)

import jitq_explore as jq
from jitq_explore.capture.read_observers import ObserverReader
from jitq_explore.snapshots.observers import Histogram
from jitq_explore.snapshots.qparams import qparams_of, ranges_of
from jitq_explore.snapshots.what_if import NothingToPredictError


class HalfRange(nn.Module):
    """Somebody's own: keeps an absolute maximum, and calls its range by torch's names."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("min_val", torch.tensor([]))
        self.register_buffer("max_val", torch.tensor([]))
        self.dtype, self.qscheme = torch.quint8, torch.per_tensor_affine
        self.quant_min, self.quant_max = 0, 255

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.max_val = x.abs().max().reshape(1) / 2
        self.min_val = -self.max_val
        return x

    @torch.jit.export
    def calculate_qparams(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self.max_val / 100, torch.tensor([100])


AFFINE = torch.per_channel_affine
REDUCED = {"reduce_range": True}
RANGES = {
    "MinMax": MinMaxObserver,
    "MinMax, reduced": MinMaxObserver.with_args(**REDUCED),
    "MinMax, few values": MinMaxObserver.with_args(quant_min=0, quant_max=15),
    "MinMax, symmetric": default_weight_observer,
    "MinMax, ±127": weight_observer_range_neg_127_to_127,
    "MinMax, coarse": MinMaxObserver.with_args(eps=0.25),
    "MovingAverage": MovingAverageMinMaxObserver,
    "MovingAverage, fast": MovingAverageMinMaxObserver.with_args(averaging_constant=0.5),
    "PerChannel": PerChannelMinMaxObserver,
    "PerChannel, axis 1": PerChannelMinMaxObserver.with_args(ch_axis=1, qscheme=AFFINE),
    "PerChannel, ±127": per_channel_weight_observer_range_neg_127_to_127,
    "PerChannel, float qparams": default_float_qparams_observer,
    "MovingAveragePerChannel": MovingAveragePerChannelMinMaxObserver,
    "Histogram": HistogramObserver,
    "Histogram, 256 bins": HistogramObserver.with_args(bins=256, **REDUCED),
    "Histogram, symmetric": HistogramObserver.with_args(qscheme=torch.per_tensor_symmetric),
    "FakeQuantize": FakeQuantize.with_args(quant_min=0, quant_max=255),
    "FakeQuantize, weight": default_weight_fake_quant,
    "FakeQuantize, channels": default_per_channel_weight_fake_quant,
    "FusedMovingAvg": FusedMovingAvgObsFakeQuantize,
    "custom": HalfRange,
}  # fmt: skip
FIXED = {
    "FixedQParams": default_fixed_qparams_range_0to1_observer,
    "FixedQParams, own": FixedQParamsObserver.with_args(scale=0.3, zero_point=7),
    "FakeQuantize, fixed": FixedQParamsFakeQuantize.with_args(
        observer=default_fixed_qparams_range_0to1_observer
    ),
}
NONE = {
    "Placeholder": PlaceholderObserver,
    "Noop": NoopObserver,
    "ReuseInput": ReuseInputObserver,
    "Recording": RecordingObserver,
}


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def batches():
    torch.manual_seed(0)
    return [torch.randn(3, 20) * factor for factor in (1.0, 3.0, 0.5)]


def read(make):
    """The observer, as it is run, before and after it has seen the batches."""
    observer = torch.jit.script(make())
    fresh = ObserverReader().read("block._observer_3", observer._c)
    with torch.no_grad(), torch.jit.optimized_execution(False):
        for batch in batches():
            observer(batch)
    return observer, fresh, ObserverReader().read("block._observer_3", observer._c)


def numbers(tensor):
    return tuple(tensor.reshape(-1).tolist())


@pytest.mark.parametrize("make", RANGES.values(), ids=RANGES)
def test_range_and_qparams_are_torchs(make):
    observer, fresh, reading = read(make)
    assert (fresh.calibrated, fresh.minimum, fresh.scale, fresh.zero_point) == (False, (), (), ())
    keeper = getattr(observer, "activation_post_process", observer)
    scale, zero_point = observer.calculate_qparams()
    assert (reading.module, reading.name, reading.calibrated) == ("block", "_observer_3", True)
    assert (reading.minimum, reading.maximum) == (numbers(keeper.min_val), numbers(keeper.max_val))
    assert (reading.scale, reading.zero_point) == (numbers(scale), numbers(zero_point))
    assert (reading.quant_min, reading.quant_max) == (keeper.quant_min, keeper.quant_max)


@pytest.mark.parametrize("name", [name for name in RANGES if name != "custom"])
def test_the_formula_gives_the_same_qparams(name):
    reading = read(RANGES[name])[2]
    low, high = reading.minimum, reading.maximum
    if reading.histogram is not None:
        low, high = ranges_of(reading.histogram, "HistogramObserver")
    found = qparams_of(reading, low, high)
    assert (found.scale, found.zero_point) == (reading.scale, reading.zero_point)


@pytest.mark.parametrize("name", ["Histogram", "Histogram, 256 bins", "Histogram, symmetric"])
def test_a_histogram_is_kept_whole(name):
    observer, _, reading = read(RANGES[name])
    low, high = observer.min_val.item(), observer.max_val.item()
    assert reading.histogram == Histogram(numbers(observer.histogram), low, high)
    assert sum(reading.histogram.counts) == 180


@pytest.mark.parametrize("make", FIXED.values(), ids=FIXED)
def test_fixed_qparams_need_nothing_to_see(make):
    observer, fresh, reading = read(make)
    assert fresh.calibrated
    assert reading.scale == fresh.scale == numbers(observer.calculate_qparams()[0])
    assert reading.zero_point == numbers(observer.calculate_qparams()[1])
    assert reading.minimum == ()


@pytest.mark.parametrize("name", NONE)
def test_those_without_qparams_have_none(name):
    _, fresh, reading = read(NONE[name])
    assert fresh.calibrated == (name != "Recording")
    assert reading.calibrated
    assert (reading.minimum, reading.scale, reading.zero_point) == ((), (), ())


def test_real_zero_points_are_not_cut_off():
    _, _, reading = read(default_float_qparams_observer)
    assert not any(float(point).is_integer() for point in reading.zero_point)


def test_every_observer_of_torch_is_tried():
    shipped = {
        name
        for name, thing in vars(torch.ao.quantization).items()
        if isinstance(thing, type)
        and name.endswith(("Observer", "FakeQuantize"))
        and issubclass(thing, nn.Module)
    }
    abstract = {
        "ObserverBase", "UniformQuantizationObserverBase", "AffineQuantizedObserverBase",
        "_DerivedObserverOrFakeQuantize",
    }  # fmt: skip
    tried = {type(make()).__name__ for make in (*RANGES.values(), *FIXED.values(), *NONE.values())}
    assert shipped - abstract - tried == set()


def test_what_if_of_an_observer_that_keeps_no_integers():
    class Plain(HalfRange):
        def __init__(self) -> None:
            super().__init__()
            del self.quant_min, self.quant_max

    model, data = torchscript(NETS["mlp"], "scripted"), NETS["mlp"].inputs()
    qconfig = QConfig(activation=Plain, weight=FBGEMM.weight)
    run = jq.Session.static(model, {"": qconfig}, calibrate, [data], histograms=True)
    recording = run.run(until="calibrate")
    path = jq.observer_table(recording).observer.iloc[0]
    with pytest.raises(NothingToPredictError, match=r"\(Plain\) keeps no quant_min .*dtype="):
        jq.what_if(recording, path, observer="MinMax")


@pytest.mark.parametrize("make", [HalfRange, RANGES["FakeQuantize"]], ids=["custom", "fake"])
def test_a_run_with_unusual_observers_is_read(make):
    model, data = torchscript(NETS["mlp"], "scripted"), NETS["mlp"].inputs()
    qconfig = QConfig(activation=make, weight=FBGEMM.weight)
    run = jq.Session.static(model, {"": qconfig}, calibrate, [data]).run(until="calibrate")
    table = jq.observer_table(run)
    assert table.scale.notna().all()
