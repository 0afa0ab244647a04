"""The histogram of one value, and what quantization makes of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from jitq_explore.snapshots.grid import Floats, Grid, bin_edges, coarser
from jitq_explore.snapshots.observers import Histogram, ObserverReading
from jitq_explore.snapshots.recording import Recording
from jitq_explore.snapshots.settling import histogram_of
from jitq_explore.snapshots.what_if import (
    Prediction,
    WhatIf,
    find_observation,
    present_grids,
    rate,
)
from jitq_explore.views.plots import words
from jitq_explore.views.plots.look import (
    DATA,
    FAINT,
    LEFT,
    LIMIT,
    OTHER,
    QUIET,
    RIGHT,
    WIDTH,
    Dashes,
    NothingToPlotError,
    Plot,
    plain_style,
    strokes,
)
from jitq_explore.views.printable import printable

_BIN = 3.0
"""Pixels that a bin is wide, at least."""

_CROWDED = 40
"""More lines of a grid than this are not all drawn: a window shows some of them."""

_WINDOW = 16
"""Levels of the grid in the window."""

_MAIN = 130.0


@dataclass(frozen=True)
class _Clip:
    """One grid and how it is drawn; `ends` are where it clips, of all channels together."""

    name: str
    prediction: Prediction
    color: str
    dashes: Dashes

    @property
    def grid(self) -> Grid | None:
        """The grid, where there is one for all channels."""
        grids = self.prediction.grids
        return grids[0] if len(grids) == 1 else None

    @property
    def said(self) -> str:
        """In words, for the legend."""
        rated = self.prediction
        return (
            f"{self.name} {words.span(rated.low, rated.high)} · "
            f"{words.saturated(rated.clipped)} · {words.decibels(rated.sqnr)}"
        )


def plot_histogram(
    recording: Recording,
    where: str,
    what_if: WhatIf | None = None,
    *,
    width: float = WIDTH,
    heading: bool = True,
) -> Plot:
    """A value's histogram, where it is clipped, how much saturates, and the grid it is rounded to.

    `where` is the path of the value's observer, or the value's name where only one has it; with
    `what_if` (`jq.what_if(recording, where, …)`) the other grid is drawn beside the present one. A
    grid of more than 40 levels is shown in a window, below. `width` is in pixels; `heading` writes
    title and sentence into the figure. KeyError for an unknown value; `NothingToPlotError` where no
    histogram was kept: `Session.static(…, histograms=True)`.
    """
    seen = find_observation(recording, where)
    histogram = histogram_of(seen.reading)
    if histogram is None:
        raise NothingToPlotError(
            f"{seen.reading.path!r}: no histogram was kept; HistogramObserver keeps one, and "
            "Session.static(…, histograms=True) collects one beside any observer"
        )
    clips = list(_clips(seen.reading, histogram, what_if))
    window = _window(histogram, clips[0].grid) if clips and clips[0].grid else None
    top = 8 + 16.0 * len(clips)
    main = top + _MAIN
    height = main + (34 if window is None else 34 + 24 + 72 + 46)
    title = f"Histogram of {words.name_of(seen)}"
    if what_if is not None:
        title += f", now and with {printable(what_if.asked)}"
    with plain_style():
        counted = _counted(seen.reading, histogram)
        said = "; ".join((counted, *(clip.said for clip in clips))) + "."
        plot = Plot(width, height, title, said, heading, counted)
        for row, clip in enumerate(clips):
            plot.legend_line(14 + 16 * row, clip.color, clip.dashes, clip.said)
        axes = plot.panel(top, main)
        middle = plot.head + top + _MAIN / 2
        plot.write(3, middle, "values a bin", color=QUIET, rotation=90, va="center")
        _draw(axes, histogram, clips, window, int((width - LEFT - RIGHT) / _BIN))
        if window is not None:
            place = 6.0, plot.head + main + 34 + 14
            plot.write(*place, f"{_WINDOW} levels of the shaded part (number → integer)")
            inner = plot.panel(main + 34 + 24, main + 34 + 24 + 72)
            _draw_window(inner, histogram, clips, window)
    return plot


def _clips(
    reading: ObserverReading, histogram: Histogram, what_if: WhatIf | None
) -> Iterator[_Clip]:
    if what_if is not None:
        if _is_usable(reading):
            yield _Clip("now", what_if.present, LIMIT, "--")
        yield _Clip("what if", what_if.predicted, OTHER, "-")
    elif len(reading.scale) == 1 and reading.quant_min is not None and _is_usable(reading):
        (grid,) = present_grids(reading)
        yield _Clip("clips at", rate(histogram, grid), LIMIT, "--")


def _is_usable(reading: ObserverReading) -> bool:
    """Of a NaN or an infinity that was observed torch makes a scale that stands for no numbers."""
    return all(map(math.isfinite, reading.scale))


def _counted(reading: ObserverReading, histogram: Histogram) -> str:
    total = sum(histogram.counts)
    said = f"{total:,.0f} values from {words.span(histogram.low, histogram.high)}"
    if len(reading.scale) > 1:
        said += f", quantized with {len(reading.scale):,} scales, one a channel"
    elif not _is_usable(reading):
        said += f", and others that were not finite: its scale is {words.number(reading.scale[0])}"
    return said


def _draw(
    axes: Axes,
    histogram: Histogram,
    clips: Sequence[_Clip],
    window: tuple[Grid, int] | None,
    most: int,
) -> None:
    counts = np.array(coarser(histogram.counts, most))
    edges = np.linspace(histogram.low, histogram.high, len(counts) + 1)
    ends = [end for clip in clips for end in (clip.prediction.low, clip.prediction.high)]
    low, high = min(histogram.low, *ends, 0.0), max(histogram.high, *ends, 0.0)
    room = (high - low) * 0.02 or 1.0
    axes.set_xlim(low - room, high + room)
    floor = _bars(axes, counts, edges)
    for clip in clips:
        _draw_clip(axes, clip, (low - room, high + room), floor)
    if window is not None:
        grid, first = window
        start, end = (((first + k) - grid.zero_point) * grid.scale for k in (0, _WINDOW - 1))
        axes.axvspan(start, end, color=QUIET, alpha=0.25, linewidth=0)
    elif clips and clips[0].grid:
        _lines(axes, clips[0].grid, clips[0].color, 0.0, 1.0)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: words.number(value)))


def _bars(axes: Axes, counts: Floats, edges: Floats, alpha: float = 1.0) -> float:
    """The bins on a logarithmic scale, on which tails can be seen; returns where it begins."""
    floor = 0.5 * min(1.0, float(counts[counts > 0].min()))
    tops = np.maximum(counts, floor)
    axes.stairs(tops, edges, baseline=floor, fill=True, color=DATA, alpha=alpha, linewidth=0)
    axes.set_yscale("log")
    axes.set_ylim(floor, 2 * float(counts.max()))
    axes.yaxis.set_major_locator(LogLocator(numticks=5))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: words.count(value)))
    axes.grid(axis="y", color=FAINT, linewidth=0.8)
    return floor


def _draw_clip(axes: Axes, clip: _Clip, ends: tuple[float, float], floor: float) -> None:
    """Lines where values are clipped, and hatching over what is."""
    low, high = clip.prediction.low, clip.prediction.high
    for place in (low, high):
        axes.axvline(place, color=clip.color, linestyle=clip.dashes, linewidth=1.6)
    if clip.prediction.clipped and clip.dashes == "--":
        for start, end in ((ends[0], low), (high, ends[1])):
            axes.axvspan(start, end, color=clip.color, alpha=0.15, linewidth=0)


def _window(histogram: Histogram, grid: Grid) -> tuple[Grid, int] | None:
    """The first of the levels that the window shows: half of the values are to either side."""
    if grid.quant_max - grid.quant_min < _CROWDED:
        return None
    sums = np.cumsum(histogram.counts)
    middle = bin_edges(histogram)[int(np.searchsorted(sums, sums[-1] / 2))]
    nearest = round(middle / grid.scale) + grid.zero_point - _WINDOW // 2 + 1
    return grid, int(np.clip(nearest, grid.quant_min, grid.quant_max - _WINDOW + 1))


def _draw_window(
    axes: Axes, histogram: Histogram, clips: Sequence[_Clip], window: tuple[Grid, int]
) -> None:
    grid, first = window
    levels = np.arange(first, first + _WINDOW)
    places = (levels - grid.zero_point) * grid.scale
    low, high = float(places[0] - grid.scale / 2), float(places[-1] + grid.scale / 2)
    edges, counts = bin_edges(histogram), np.asarray(histogram.counts)
    shown = (edges[1:] > low) & (edges[:-1] < high)
    axes.set_xlim(low, high)
    if counts[shown].any():
        first_bin, last_bin = np.flatnonzero(shown)[[0, -1]]
        _bars(axes, counts[first_bin : last_bin + 1], edges[first_bin : last_bin + 2], alpha=0.5)
        axes.yaxis.set_major_locator(LogLocator(numticks=3))
    else:  # the grid ends before the values begin
        axes.yaxis.set_major_locator(NullLocator())
    halves = [(0.0, 1.0)] if len(clips) == 1 else [(0.5, 1.0), (0.0, 0.5)]
    for clip, (start, end) in zip(clips, halves, strict=True):
        if clip.grid is not None:
            _lines(axes, clip.grid, clip.color, start, end)
    axes.xaxis.set_major_locator(FixedLocator(list(places[1::4])))
    axes.set_xticklabels(
        [f"{words.number(place)}\n→ {level}" for place, level in zip(places, levels, strict=True)][
            1::4
        ]
    )


def _lines(axes: Axes, grid: Grid, color: str, start: float, end: float) -> None:
    """The levels in sight; `start` and `end` are shares of the height."""
    low, high = axes.get_xlim()
    places = (np.arange(grid.quant_min, grid.quant_max + 1) - grid.zero_point) * grid.scale
    within = places[(places >= low) & (places <= high)]
    strokes(
        axes,
        [(place, place, start, end) for place in within],
        transform=axes.get_xaxis_transform(),
        color=color,
        linewidth=0.8,
    )
