"""The ranges of a weight's channels, and which of them one scale for all would kill."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from jitq_explore.snapshots.channels import FEW, ChannelRanges, channel_ranges
from jitq_explore.snapshots.recording import Recording
from jitq_explore.snapshots.what_if import find_observation
from jitq_explore.views.plots import words
from jitq_explore.views.plots.look import (
    DATA,
    FONT,
    LEFT,
    LIMIT,
    QUIET,
    WIDTH,
    NothingToPlotError,
    Plot,
    boxes,
    plain_style,
)
from jitq_explore.views.plots.symlog import symlog

_PANEL = 160.0


def plot_channels(
    recording: Recording, where: str, *, width: float = WIDTH, heading: bool = True
) -> Plot:
    """The range of each channel of a weight, on a scale that is logarithmic but around 0.

    Marked are the channels that one scale for the whole weight would kill: all of their numbers are
    rounded to 0, or to at most 3 steps to either side of it. Where a value is quantized per tensor
    only the largest magnitude of each row is known, and drawn to both sides. `where`, `width` and
    `heading` are as in `plot_histogram`. KeyError for an unknown value;
    `NothingToPlotError` for one without channels.
    """
    seen = find_observation(recording, where)
    channels = channel_ranges(recording, seen)
    if channels is None:
        raise NothingToPlotError(f"{seen.reading.path!r}: no ranges of channels are known")
    with plain_style():
        title = f"Channels of {words.name_of(seen)}"
        said = _said(channels)
        plot = Plot(width, 30 + _PANEL + 40, title, said, heading, said)
        axes = plot.panel(30, 30 + _PANEL)
        _draw(axes, channels)
        _legend(plot, channels)
    return plot


def _said(channels: ChannelRanges) -> str:
    said = f"{len(channels.low):,} channels"
    if channels.step is None:
        return said + "."
    which = "The one scale there is" if channels.is_present else "One scale for all"
    lost = []
    if channels.killed:
        lost.append(f"nothing but zeros of {_named(channels.killed)}")
    if channels.starved:
        lost.append(f"at most {FEW} steps to either side of {_named(channels.starved)}")
    verb = "leaves" if channels.is_present else "would leave"
    what = " and ".join(lost) or f"more than {FEW} steps of each"
    return f"{said}. {which} ({words.number(channels.step)}) {verb} {what}."


def _named(numbers: Sequence[int]) -> str:
    return f"channel{'s' if len(numbers) > 1 else ''} {words.listed(numbers)}"


def _draw(axes: Axes, channels: ChannelRanges) -> None:
    count = len(channels.low)
    sizes = sorted(max(-low, high) for low, high in zip(channels.low, channels.high, strict=True))
    most = sizes[-1] or 1.0
    half = channels.step / 2 if channels.step else most / 256
    edge = 1.6 * max(most, half)
    axes.set_xlim(-0.5, count - 0.5)
    symlog(axes, -edge, edge, half, _PANEL)
    if channels.step:
        axes.axhspan(-half, half, color=LIMIT, alpha=0.15, linewidth=0)
        few = (2 * FEW + 1) * half
        axes.axhspan(-few, few, color=LIMIT, alpha=0.1, linewidth=0)
    lost = {*channels.killed, *channels.starved}
    thick = 0.8 if count <= 128 else 1.0
    for color, is_lost in ((DATA, False), (LIMIT, True)):
        boxes(
            axes,
            [
                (k - thick / 2, k + thick / 2, channels.low[k], channels.high[k])
                for k in range(count)
                if (k in lost) is is_lost
            ],
            facecolor=color,
            edgecolor="none",
            linewidth=0,
        )
    axes.axhline(0, color=QUIET, linewidth=0.8)
    for numbers, sign in ((channels.killed, "x"), (channels.starved, "v")):
        _point_at(axes, numbers, sign, edge)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    axes.set_xlabel("channel", size=FONT, color=QUIET)


def _point_at(axes: Axes, numbers: Sequence[int], sign: str, edge: float) -> None:
    """A sign above each channel that is lost: colour is not all that tells."""
    if numbers:
        heights = [edge / 1.25] * len(numbers)
        axes.plot(numbers, heights, linestyle="", marker=sign, color=LIMIT, markersize=5)


def _legend(plot: Plot, channels: ChannelRanges) -> None:
    if channels.step is None:
        return
    shown = "shaded: ½ and 3½ steps around 0"
    if channels.killed:
        shown += f" · × {len(channels.killed):,} rounded to 0"
    if channels.starved:
        shown += f" · ▾ {len(channels.starved):,} to ±{FEW} steps"
    plot.write(LEFT, plot.head + 14, shown, color=LIMIT)
