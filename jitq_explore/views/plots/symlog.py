"""A scale for numbers of both signs and any size: logarithmic, but for a stretch around 0."""

from __future__ import annotations

import math
from collections.abc import Iterator

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from jitq_explore.views.plots import words
from jitq_explore.views.plots.look import FAINT

_APART = 15.0
"""Pixels between two labels."""


def symlog(axes: Axes, low: float, high: float, linear: float, tall: float) -> None:
    """Scale the y axis from `low` to `high`, linear up to ±`linear`; `tall` is its height in
    pixels. As many round numbers are labelled as there is room for."""
    axes.set_yscale("symlog", linthresh=linear, linscale=0.6)
    axes.set_ylim(low, high)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(FixedLocator(list(_ticks(axes, low, high, linear, tall))))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: words.number(value)))
    axes.grid(axis="y", color=FAINT, linewidth=0.8)


def _ticks(axes: Axes, low: float, high: float, linear: float, tall: float) -> Iterator[float]:
    transform = axes.yaxis.get_transform()
    bottom, top = (float(transform.transform(end)) for end in (low, high))
    taken: list[float] = []
    for value in _candidates(max(-low, high), linear):
        if low <= value <= high:
            place = tall * (float(transform.transform(value)) - bottom) / ((top - bottom) or 1.0)
            if all(abs(place - other) >= _APART for other in taken):
                taken.append(place)
                yield value


def _candidates(most: float, linear: float) -> Iterator[float]:
    """Round numbers, those that tell most first."""
    yield 0.0
    powers = range(math.ceil(math.log10(most)), math.floor(math.log10(linear)) - 1, -1)
    for digit in (1, 5, 2):
        for power in powers:
            value = float(f"{digit}e{power}")
            if value >= linear:
                yield value
                yield -value
