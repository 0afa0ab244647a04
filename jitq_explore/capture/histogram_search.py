"""The range that a HistogramObserver settles on, found faster than by its own search.

torch's `HistogramObserver._non_linear_param_search` (torch/ao/quantization/observer.py) narrows the
range in steps of 1e-5 of the observed values, up to 100,000 of them, and compares single elements
of tensors in each. What it decides is repeated here on plain numbers, with the steps that move
nothing taken at once; what it computes (the error of a range, scale and zero point) is computed by
the observer's own methods. The result is equal to the bit.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from functools import cache
from itertools import accumulate, repeat

import torch

from jitq_explore.capture.torch_types import CppModule

_STEP = 1e-5
_STEPS = 100_001
"""More than there can be: each takes a step off an interval of length 1."""


def histogram_qparams(observer: CppModule) -> object:
    """What `calculate_qparams` of a scripted HistogramObserver that has seen data returns.

    A scale and a zero point, each a tensor of one element.
    """
    start, end = _bins_kept(observer)
    minimum, bins = observer.getattr("min_val"), observer.getattr("bins")
    width = (observer.getattr("max_val") - minimum) / bins
    low, high = minimum + width * start, minimum + width * (end + 1)
    return observer._get_method("_calculate_qparams")(low, high)


def _bins_kept(observer: CppModule) -> tuple[int, int]:
    """The first and the last bin of the range with the smallest error that the search meets."""
    histogram = observer.getattr("histogram")
    error_of = observer._get_method("_compute_quantization_error")
    total = torch.sum(histogram).item()
    sums = torch.cumsum(histogram, dim=0).tolist()
    lower, upper = _bounds()
    start, end, least = 0, len(sums) - 1, float("inf")
    taken_low = taken_high = 0
    while lower[taken_low] < upper[taken_high]:
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


def _last_up_to(sums: list[float], bound: float, start: int, end: int) -> int:
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
    return torch.tensor(number, dtype=torch.float32).item()


@cache
def _bounds() -> tuple[list[float], list[float]]:
    """The bounds after each step, with the rounding that repeated addition has."""
    steps = repeat(_STEP, _STEPS)
    lower = list(accumulate(steps, initial=0.0))
    upper = list(accumulate(repeat(-_STEP, _STEPS), initial=1.0))
    return lower, upper
