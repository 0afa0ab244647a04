"""The numbers that a scale and a zero point can stand for, and what rounding to them costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jitq_explore.snapshots.observers import Histogram

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Grid:
    """The real values (q − zero_point)·scale for q from quant_min to quant_max."""

    scale: float
    zero_point: int
    quant_min: int
    quant_max: int

    @property
    def low(self) -> float:
        """The smallest value there is."""
        return (self.quant_min - self.zero_point) * self.scale

    @property
    def high(self) -> float:
        """The largest value there is."""
        return (self.quant_max - self.zero_point) * self.scale


def bin_edges(histogram: Histogram) -> Floats:
    """One more than there are bins."""
    return np.linspace(histogram.low, histogram.high, len(histogram.counts) + 1)


def coarser(counts: Sequence[float], most: int = 256) -> list[float]:
    """Counts in fewer bins, all equally wide: a page shows no more than it is wide."""
    size = next(
        n for n in range(1, len(counts) + 1) if len(counts) % n == 0 and len(counts) <= n * most
    )
    return [sum(counts[k : k + size]) for k in range(0, len(counts), size)]


def noise_of(counts: Floats, edges: Floats, grid: Grid) -> float:
    """The sum of squared errors of values that are spread evenly within each bin.

    With y(x) the nearest value of the grid, a bin from a to b that holds c values adds
    c/(b − a) · ∫ (x − y(x))² dx. The integral is taken exactly: up to x, it is n·s³/12 for the n
    whole steps of the grid between 0 and x (each costs s³/12) and (x − n·s)³/3 for the rest. Beyond
    the ends of the grid n no longer grows, which makes the same term the error of clipping.
    """
    first, last = grid.quant_min - grid.zero_point, grid.quant_max - grid.zero_point
    return float(np.sum(counts * _mean_errors(edges, grid.scale, first, last)))


def _mean_errors(
    edges: Floats, step: Floats | float, first: Floats | float, last: Floats | float
) -> Floats:
    """The mean squared error of each bin; `first` and `last` are the ends of the grid in steps.

    `edges` may have several rows, with a number a row for the rest.
    """
    whole = np.clip(np.rint(edges / step), first, last)
    integral = whole * step**3 / 12 + (edges - whole * step) ** 3 / 3
    middles = (edges[..., :-1] + edges[..., 1:]) / 2
    at_middles = (middles - np.clip(np.rint(middles / step), first, last) * step) ** 2
    widths = np.diff(edges)
    # All values equal: there is no width to spread them over.
    errors: Floats = np.divide(np.diff(integral), widths, out=at_middles, where=widths > 0)
    return errors


def power_of(counts: Floats, edges: Floats) -> float:
    """The sum of squares of values that are spread evenly within each bin."""
    low, high = edges[:-1], edges[1:]
    return float(np.sum(counts * (low**2 + low * high + high**2) / 3))


def share_clipped(counts: Floats, edges: Floats, grid: Grid) -> float:
    """The share, from 0 to 1, of values that lie more than half a step outside the grid."""
    total = float(counts.sum())
    if not total:
        return 0.0
    sums = np.concatenate([[0.0], np.cumsum(counts)])
    below = np.interp(grid.low - grid.scale / 2, edges, sums, left=0.0, right=total)
    up_to = np.interp(grid.high + grid.scale / 2, edges, sums, left=0.0, right=total)
    return float(below + total - up_to) / total


def decibels(signal: float, noise: float) -> float:
    """10·log10(signal / noise) of two sums of squares; inf without noise, NaN without signal, or
    where the noise is no number."""
    if not signal or math.isnan(noise):
        return math.nan
    return 10 * math.log10(signal / noise) if noise > 0 else math.inf


def noise_of_rows(rms: Sequence[float], abs_max: Sequence[float], grids: Sequence[Grid]) -> Floats:
    """The mean squared error of each row of a weight, of which two numbers are known.

    A row's values are taken for a normal distribution of that root mean square around 0, cut off at
    its largest magnitude. `grids` has one grid a row.
    """
    most, spread = np.asarray(abs_max)[:, None], np.asarray(rms)[:, None]
    edges = most * np.linspace(-1, 1, _ROW_BINS + 1)
    middles = (edges[:, :-1] + edges[:, 1:]) / 2
    density = np.exp(-np.square(middles / np.where(spread > 0, spread, 1)) / 2)
    errors = _mean_errors(
        edges,
        np.array([[grid.scale] for grid in grids]),
        np.array([[grid.quant_min - grid.zero_point] for grid in grids]),
        np.array([[grid.quant_max - grid.zero_point] for grid in grids]),
    )
    means: Floats = np.sum(density * errors, axis=1) / np.sum(density, axis=1)
    return means


_ROW_BINS = 200
"""Enough to tell rows that are rounded to 0 from rows of which a part survives."""
