"""What rounding costs, computed from a histogram, against the values themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest

from jitq_explore.snapshots.grid import Grid, coarser
from jitq_explore.snapshots.modules import TensorStats
from jitq_explore.snapshots.observers import Histogram
from jitq_explore.snapshots.what_if import predict, rate, rate_weight

RANDOM = np.random.default_rng(0)
VALUES = {
    "normal": RANDOM.normal(size=50_000),
    "relu": np.maximum(RANDOM.normal(size=50_000), 0),
    "shifted": RANDOM.normal(8, 0.5, size=50_000),
    "heavy": RANDOM.standard_t(3, size=50_000),
}


def histogram(values: np.ndarray, bins: int = 2048) -> Histogram:
    counts, edges = np.histogram(values, bins)
    return Histogram(tuple(counts.astype(float)), float(edges[0]), float(edges[-1]))


def rounded(values: np.ndarray, grid: Grid) -> np.ndarray:
    integers = np.rint(values / grid.scale) + grid.zero_point
    return (np.clip(integers, grid.quant_min, grid.quant_max) - grid.zero_point) * grid.scale


def sqnr(values: np.ndarray, got: np.ndarray) -> float:
    return 20 * math.log10(np.linalg.norm(values) / np.linalg.norm(values - got))


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("levels", [15, 127, 255])
@pytest.mark.parametrize("share", [0.3, 0.9, 1.0, 2.0])
def test_sqnr_and_the_clipped_share_are_those_of_the_values(name, levels, share):
    values = VALUES[name]
    found = predict(histogram(values), values.min() * share, values.max() * share, 0, levels)
    grid = found.grids[0]
    assert found.sqnr == pytest.approx(sqnr(values, rounded(values, grid)), abs=0.3)
    outside = (values < grid.low - grid.scale / 2) | (values > grid.high + grid.scale / 2)
    assert found.clipped == pytest.approx(outside.mean(), abs=1e-3)


def test_an_outlier_makes_bins_wider_than_the_steps_of_a_narrow_range():
    values = np.append(VALUES["normal"], 4000.0)
    found = predict(histogram(values), -4, 4, 0, 255)
    assert found.sqnr == pytest.approx(sqnr(values, rounded(values, found.grids[0])), abs=0.1)


@pytest.mark.parametrize(
    ("counts", "ends", "expected"),
    [
        ((0.0, 0.0), (0.0, 0.0), math.nan),  # nothing but zeros
        ((5.0,), (3.0, 3.0), math.inf),  # one value, which the grid has
        ((5.0,), (3.25, 3.25), 20 * math.log10(13)),
    ],
)
def test_values_without_width(counts, ends, expected):
    found = rate(Histogram(counts, *ends), Grid(1.0, 0, 0, 255)).sqnr
    assert found == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("factor", [1.0, 10.0, 300.0])
@pytest.mark.parametrize("per_channel", [True, False])
def test_a_weights_sqnr_from_the_magnitudes_of_its_rows(factor, per_channel):
    weight = RANDOM.normal(size=(32, 288))
    weight[3] *= factor
    most = np.abs(weight).max(axis=1)
    rms = np.sqrt((weight**2).mean(axis=1))
    stats = TensorStats(
        "float32", weight.shape, 0, float(most.max()), 0, 0, "", tuple(most), tuple(rms)
    )
    scales = most if per_channel else [most.max()]
    grids = [Grid(float(scale) / 127.5, 0, -128, 127) for scale in scales]
    each = grids if per_channel else grids * len(weight)
    got = np.stack([rounded(row, grid) for row, grid in zip(weight, each, strict=True)])
    assert rate_weight(stats, grids).sqnr == pytest.approx(sqnr(weight, got), abs=0.3)


@pytest.mark.parametrize("bins", [1, 100, 2048, 2053])
def test_a_coarser_histogram_counts_the_same(bins):
    found = coarser(tuple(map(float, range(bins))))
    assert sum(found) == sum(range(bins))
    assert bins % len(found) == 0
    assert len(found) <= 256
