"""The range that a HistogramObserver settles on, found faster than by its own search.

torch's `HistogramObserver._non_linear_param_search` (torch/ao/quantization/observer.py) narrows the
range in steps of 1e-5 of the observed values, up to 100,000 of them, and compares single elements
of tensors in each. What it decides is repeated here on plain numbers, with the steps that move
nothing taken at once.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from functools import cache
from itertools import accumulate, repeat

import numpy as np
from numpy.typing import NDArray

from jitq_explore.snapshots.observers import Histogram

_STEP = 1e-5
_STEPS = 100_001
"""More than there can be: each takes a step off an interval of length 1."""

Singles = NDArray[np.float32]


def searched_range(histogram: Histogram, levels: int = 256) -> tuple[float, float]:
    """The range with the smallest error that torch's search meets, for so many quantized values.

    `levels` is two to the bits of the dtype, whatever quant_min and quant_max say: so does torch.
    """
    counts = np.array(histogram.counts, np.float32)
    sums = np.cumsum(counts, dtype=np.float64).astype(np.float32)
    start, end = bins_kept(
        sums.tolist(),
        float(np.sum(counts, dtype=np.float64)),
        lambda first, last: quantization_error(histogram, counts, first, last, levels),
    )
    low = np.float32(histogram.low)
    width = (np.float32(histogram.high) - low) / np.float32(len(counts))
    return float(low + width * np.float32(start)), float(low + width * np.float32(end + 1))


def bins_kept(
    sums: Sequence[float], total: float, error_of: Callable[[int, int], float]
) -> tuple[int, int]:
    """The first and the last bin of the range with the smallest error that the search meets.

    `sums` are the cumulated counts, `error_of` takes a first and a last bin.
    """
    lower, upper = _bounds()
    start, end, least = 0, len(sums) - 1, float("inf")
    taken_low = taken_high = 0
    # A single bin never moves again, however long torch goes on.
    while start < end and lower[taken_low] < upper[taken_high]:
        low = _single(lower[taken_low + 1] * total)
        left = max(start, bisect_left(sums, low, start, end))
        right = _last_up_to(sums, _single(upper[taken_high + 1] * total), start, end)
        if left - start > end - right:
            new_start, new_end = left, end
            taken_low += 1
        else:
            new_start, new_end = start, right
            taken_high += 1
        if (new_start, new_end) == (start, end):
            # Nothing moves until the upper bound falls below the last bin's sum.
            taken_high = max(taken_high, _steps_until(sums[end], total) - 1)
            continue
        error = error_of(new_start, new_end)
        if error > least:
            break
        start, end, least = new_start, new_end, error
    return start, end


def quantization_error(
    histogram: Histogram, counts: Singles, first: int, last: int, levels: int
) -> float:
    """torch's `HistogramObserver._compute_quantization_error`, in single precision as there.

    The squared error of values spread evenly within their bins, when the bins from `first` to
    `last` are quantized to so many levels; what lies outside is clipped.
    """
    bins = len(counts)
    width = (histogram.high - histogram.low) / bins
    step = width * (last - first + 1) / levels
    if step == 0.0:
        return 0.0
    single_step, half = np.float32(step), np.float32(step / 2)
    begin = (np.arange(bins) - first).astype(np.float32) * np.float32(width)
    end = begin + np.float32(width)
    top = np.float32(levels - 1)
    level_of_begin = np.clip(np.floor_divide(begin, single_step), np.float32(0), top)
    level_of_end = np.clip(np.floor_divide(end, single_step), np.float32(0), top)
    density = counts / np.float32(width)
    error = _norm(begin - (level_of_begin + np.float32(0.5)) * single_step, half, density)
    error += (level_of_end - level_of_begin - np.float32(1)) * _norm(-half, half, density)
    error += _norm(-half, end - (level_of_end * single_step + half), density)
    return float(np.sum(error, dtype=np.float64))


def _norm(begin: Singles | np.float32, end: Singles | np.float32, density: Singles) -> Singles:
    """density · ∫ x² dx from begin to end."""
    with np.errstate(all="ignore"):  # cubes of huge ranges are infinite, in torch as well
        norm: Singles = density * ((end * end * end - begin * begin * begin) / np.float32(3))
    return norm


def _last_up_to(sums: Sequence[float], bound: float, start: int, end: int) -> int:
    """The last bin whose sum is not above the bound, `start` where there is none."""
    return max(start, min(end, bisect_right(sums, bound, start, end + 1) - 1))


def _steps_until(value: float, total: float) -> int:
    """How many steps down the upper bound takes until it is below the value."""
    _, upper = _bounds()
    low, high = 0, _STEPS
    while low < high:
        middle = (low + high) // 2
        if _single(upper[middle] * total) < value:
            high = middle
        else:
            low = middle + 1
    return min(low, _STEPS - 1)


def _single(number: float) -> float:
    """As torch compares a number with an element of a tensor: in single precision."""
    return float(np.float32(number))


@cache
def _bounds() -> tuple[list[float], list[float]]:
    """The bounds after each step, with the rounding that repeated addition has."""
    steps = repeat(_STEP, _STEPS)
    lower = list(accumulate(steps, initial=0.0))
    upper = list(accumulate(repeat(-_STEP, _STEPS), initial=1.0))
    return lower, upper
