"""Scale, zero point and ranges equal torch's."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from torch.ao.quantization import (
    HistogramObserver,
    MinMaxObserver,
    MovingAverageMinMaxObserver,
    PerChannelMinMaxObserver,
)

from jitq_explore.snapshots.observers import Histogram
from jitq_explore.snapshots.qparams import affine_qparams, qparams, quant_range, ranges_of

SETTINGS = {
    "quint8": {},
    "qint8": {"dtype": torch.qint8},
    "qint32": {"dtype": torch.qint32},
    "quint4x2": {"dtype": torch.quint4x2},
    "uint16": {"dtype": torch.uint16},
    "reduced": {"reduce_range": True},
    "reduced qint8": {"reduce_range": True, "dtype": torch.qint8},
    "customized": {"quant_min": 0, "quant_max": 100},
    "customized, reduced": {"quant_min": -100, "quant_max": 101, "dtype": torch.qint8,
                            "reduce_range": True},
    "eps": {"eps": 0.125},
    "symmetric": {"qscheme": torch.per_tensor_symmetric},
    "symmetric qint8": {"qscheme": torch.per_tensor_symmetric, "dtype": torch.qint8},
    "symmetric uint16": {"qscheme": torch.per_tensor_symmetric, "dtype": torch.uint16},
    "symmetric, customized": {"qscheme": torch.per_tensor_symmetric, "quant_min": 0,
                              "quant_max": 127},
}  # fmt: skip
RANGES = [
    (-1.0, 2.0), (0.0, 0.0), (3.0, 5.0), (-7.0, -2.0), (-1e-9, 1e-9), (-1e30, 1e38),
    (-0.1, 1 / 3), (-math.inf, 1.0), (-1.0, math.inf), (math.nan, math.nan), (math.inf, -math.inf),
]  # fmt: skip


def described(observer):
    return {
        "quant_min": observer.quant_min,
        "quant_max": observer.quant_max,
        "dtype": str(observer.dtype).removeprefix("torch."),
        "qscheme": str(observer.qscheme).removeprefix("torch."),
        "customized": observer.has_customized_qrange,
        "eps": observer.eps.item(),
    }


def check_equal_to_torchs(observer, low, high):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scale, zero_point = observer._calculate_qparams(low, high)
    found = qparams(low.tolist(), high.tolist(), **described(observer))
    assert list(found.scale) == pytest.approx(scale.tolist(), rel=0, abs=0, nan_ok=True)
    assert list(found.zero_point) == zero_point.tolist()


@pytest.mark.filterwarnings("ignore:Please use quant_min")
@pytest.mark.parametrize("ends", RANGES, ids=str)
@pytest.mark.parametrize("settings", SETTINGS)
def test_scale_and_zero_point_of_a_range_are_torchs(settings, ends):
    observer = MinMaxObserver(**SETTINGS[settings])
    check_equal_to_torchs(observer, *map(torch.tensor, ends))


@pytest.mark.filterwarnings("ignore:Please use quant_min")
@pytest.mark.parametrize("settings", SETTINGS)
def test_those_of_random_ranges_too(settings):
    observer = MinMaxObserver(**SETTINGS[settings])
    torch.manual_seed(0)
    for low, high in (torch.randn(500, 2) ** 3).sort(dim=1).values:
        check_equal_to_torchs(observer, low, high)


@pytest.mark.parametrize(
    "qscheme",
    [
        torch.per_channel_affine,
        torch.per_channel_symmetric,
        torch.per_channel_affine_float_qparams,
    ],
)
def test_those_of_channels_are_torchs(qscheme):
    torch.manual_seed(0)
    observer = PerChannelMinMaxObserver(qscheme=qscheme)
    observer(torch.cat([torch.randn(50, 9), torch.zeros(2, 9), torch.full((1, 9), 3.0)]))
    check_equal_to_torchs(observer, observer.min_val, observer.max_val)


def test_the_quantized_values_are_torchs():
    for settings in SETTINGS.values():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            observer = MinMaxObserver(**settings)
        options = {k: settings[k] for k in settings.keys() & {"reduce_range", "quant_min",
                                                              "quant_max"}}  # fmt: skip
        found = quant_range(str(observer.dtype).removeprefix("torch."), **options)
        assert found == (observer.quant_min, observer.quant_max)


def test_a_range_upside_down_is_refused():
    with pytest.raises(ValueError, match="lies above"):
        affine_qparams(2.0, 1.0, 0, 255)


DATA = {
    "normal": lambda: torch.randn(5000),
    "after relu": lambda: torch.randn(5000).relu(),
    "after softmax": lambda: torch.softmax(3 * torch.randn(100, 50), -1),
    "heavy tails": lambda: torch.randn(5000) ** 3,
    "an outlier": lambda: torch.cat([torch.randn(5000), torch.tensor([500.0])]),
    "three values": lambda: torch.randint(0, 3, (1000,)).float(),
    "few": lambda: torch.rand(10),
    "all alike": lambda: torch.full((100,), 3.0),
    "all zero": lambda: torch.zeros(100),
}


@pytest.mark.parametrize("bins", [64, 2048])
@pytest.mark.parametrize("data", DATA)
def test_ranges_are_those_torchs_observers_settle_on(data, bins):
    torch.manual_seed(0)
    observer, average = HistogramObserver(bins=bins), MovingAverageMinMaxObserver(0.1)
    batches = [factor * DATA[data]() for factor in (1.0, 2.0, 0.5)]
    for batch in batches:
        observer(batch)
        average(batch)
    low, high = observer.min_val.item(), observer.max_val.item()
    histogram = Histogram(tuple(observer.histogram.tolist()), low, high)
    ends = {
        "batch_minimum": [batch.min().item() for batch in batches],
        "batch_maximum": [batch.max().item() for batch in batches],
    }
    searched = tuple(end.item() for end in observer._non_linear_param_search())
    assert ranges_of(histogram, "HistogramObserver") == searched
    assert ranges_of(histogram, "MinMaxObserver") == (low, high)
    found = ranges_of(histogram, "MovingAverageMinMaxObserver", averaging_constant=0.1, **ends)
    assert found == (average.min_val.item(), average.max_val.item())


def test_an_average_needs_the_batches_and_unknown_classes_are_named():
    histogram = Histogram((1.0,), 0.0, 1.0)
    with pytest.raises(ValueError, match="ends of every batch"):
        ranges_of(histogram, "MovingAverageMinMaxObserver")
    with pytest.raises(ValueError, match="unknown observer class 'Mine'"):
        ranges_of(histogram, "Mine")
