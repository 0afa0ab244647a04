"""How the range of one value grew while the model was calibrated."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from jitq_explore.snapshots.observations import range_track
from jitq_explore.snapshots.observers import ObserverReading
from jitq_explore.snapshots.recording import Recording
from jitq_explore.snapshots.timeline import TOLERANCE, RangeTrack
from jitq_explore.snapshots.what_if import find_observation
from jitq_explore.views.plots import words
from jitq_explore.views.plots.look import (
    DATA,
    FAINT,
    FONT,
    LEFT,
    LIMIT,
    OTHER,
    QUIET,
    WIDTH,
    NothingToPlotError,
    Plot,
    plain_style,
)

_PANEL, _MOVES = 120.0, 66.0
_LEAST = 1e-4
"""The smallest move that is drawn, as a share of the range."""


def plot_timeline(
    recording: Recording, where: str, *, width: float = WIDTH, heading: bool = True
) -> Plot:
    """A value's range after each batch, which batch moved it most, and when it had converged.

    Above the range, with the ends of each batch as dots where they were kept
    (`Session.static(…, histograms=True)`); below by how much each batch moved it, in percent of the
    last range. `where`, `width` and `heading` are as in `plot_histogram`. KeyError for an unknown
    value; `NothingToPlotError` where no timeline was kept, or of a single batch.
    """
    seen = find_observation(recording, where)
    track = range_track(recording, seen.reading.path)
    if track is None or len(track.batches) < 2:
        raise NothingToPlotError(f"{seen.reading.path!r}: no timeline of several batches was kept")
    ends = (*track.minimum, *track.maximum)
    if not all(map(math.isfinite, ends)):
        raise NothingToPlotError(f"{seen.reading.path!r}: its range is not finite")
    top = 44.0
    below = top + _PANEL + 28
    with plain_style():
        title = f"Calibration of {words.name_of(seen)}"
        plot = Plot(width, below + _MOVES + 40, title, _said(track), heading)
        _legend(plot, track)
        axes = plot.panel(top, top + _PANEL)
        _draw_range(axes, track, seen.reading)
        axes.tick_params(axis="x", labelbottom=False)
        plot.write(LEFT, plot.head + below - 8, "moved by, in % of the last range", color=QUIET)
        _draw_moves(plot.panel(below, below + _MOVES), track)
    return plot


def _said(track: RangeTrack) -> str:
    """The timeline in words."""
    said = f"{track.batches[-1]:,} batches. {_moved(track)}; {_converged(track)}."
    return said[0].upper() + said[1:]


def _moved(track: RangeTrack) -> str:
    largest = track.largest_move
    if largest is None:
        return "No batch moved the range after the first"
    by = "all of it" if largest.share == math.inf else words.percent(largest.share)
    return f"Batch {largest.batch:,} moved the range most, by {by}"


def _converged(track: RangeTrack) -> str:
    last = track.converged_at()
    if last == track.batches[-1]:
        return "the last batch still moved it"
    return f"after batch {last:,} none moved it by more than {words.percent(TOLERANCE)}"


def _legend(plot: Plot, track: RangeTrack) -> None:
    row = 14.0
    if track.largest_move is not None:
        plot.legend_line(row, LIMIT, "--", _moved(track))
        row += 16
    converged = _converged(track)
    plot.legend_line(row, OTHER, ":", converged[0].upper() + converged[1:])


def _draw_range(axes: Axes, track: RangeTrack, reading: ObserverReading) -> None:
    # The last range holds on, and shall be seen too.
    batches = (*track.batches, track.batches[-1] + 0.5)
    minimum = (*track.minimum, track.minimum[-1])
    maximum = (*track.maximum, track.maximum[-1])
    axes.fill_between(
        batches,
        minimum,
        maximum,
        step="post",
        color=DATA,
        alpha=0.25,
        linewidth=0,
    )
    for ends in (minimum, maximum):
        axes.step(batches, ends, where="post", color=DATA, linewidth=1.8)
    shown = [*track.minimum, *track.maximum]
    if len(reading.batch_minimum) == track.batches[-1]:
        numbers = range(1, track.batches[-1] + 1)
        size = 4.0 if len(numbers) <= 60 else 2.0
        for ends in (reading.batch_minimum, reading.batch_maximum):
            axes.plot(numbers, ends, linestyle="", marker="o", markersize=size, color=QUIET)
            shown += ends
    low, high = min(0.0, *shown), max(0.0, *shown)
    room = 0.06 * (high - low) or 1.0
    axes.set_ylim(low - room, high + room)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: words.number(value)))
    axes.grid(axis="y", color=FAINT, linewidth=0.8)
    _finish(axes, track)


def _draw_moves(axes: Axes, track: RangeTrack) -> None:
    moves = [(move.batch, min(move.share, 10.0)) for move in track.moves if move.share > _LEAST]
    axes.set_yscale("log")
    axes.set_ylim(100 * _LEAST, 200 * max([share for _, share in moves], default=TOLERANCE))
    axes.vlines(
        [batch for batch, _ in moves],
        100 * _LEAST,
        [100 * share for _, share in moves],
        color=DATA,
        linewidth=max(1.0, min(8.0, 300 / len(track.batches))),
    )
    axes.axhline(100 * TOLERANCE, color=OTHER, linestyle=":", linewidth=1.4)
    axes.yaxis.set_major_locator(LogLocator(numticks=4))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: words.number(value)))
    axes.grid(axis="y", color=FAINT, linewidth=0.8)
    _finish(axes, track)
    axes.set_xlabel("batch", size=FONT, color=QUIET)


def _finish(axes: Axes, track: RangeTrack) -> None:
    first, last = track.batches[0], track.batches[-1]
    room = 0.02 * (last - first) + 0.6
    axes.set_xlim(first - room, last + room)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    if track.largest_move is not None:
        axes.axvline(track.largest_move.batch, color=LIMIT, linestyle="--", linewidth=1.4)
    # Between the batch after which the range stands and the next.
    axes.axvline(track.converged_at() + 0.5, color=OTHER, linestyle=":", linewidth=1.6)
