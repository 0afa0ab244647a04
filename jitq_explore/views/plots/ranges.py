"""The ranges of all observed values, in the order of the network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import TypeAlias

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from jitq_explore.snapshots.observations import Observation, observations
from jitq_explore.snapshots.observed_values import ObservedValue, observed_values
from jitq_explore.snapshots.recording import Recording
from jitq_explore.snapshots.tracking import Tracker
from jitq_explore.snapshots.what_if import NothingToPredictError, present_grids
from jitq_explore.views.plots import words
from jitq_explore.views.plots.look import (
    CHARACTER,
    DATA,
    FAINT,
    FONT,
    LEFT,
    LIMIT,
    OTHER,
    QUIET,
    RIGHT,
    WIDTH,
    NothingToPlotError,
    Plot,
    boxes,
    plain_style,
    strokes,
)
from jitq_explore.views.plots.symlog import symlog
from jitq_explore.views.printable import printable, shorten

_PANEL = 150.0
_LABEL_LENGTH = 22
LABEL_APART = FONT + 3
"""Pixels between the middles of two names that are turned."""

_WIDEST_BAR = 80.0
"""Pixels; a slab tells nothing that a bar does not."""

_FEW = 8
_NARROWEST = 2.5
"""Pixels for a value: where there are more of them, the figure becomes wider."""

_WIDEST = 2400.0

Run: TypeAlias = tuple[int, int, str]


@dataclass(frozen=True)
class _Bar:
    """One value: `key` is its number among all observations, `slot` its place from the left.

    `ends` are those of the grid it is quantized to, None where it has none.
    """

    key: int
    slot: int
    low: float
    high: float
    ends: tuple[float, float] | None
    said: str


@dataclass(frozen=True)
class _Column:
    """All bars, and the module of each slot."""

    bars: Mapping[str, Sequence[_Bar]]
    modules: Sequence[str]
    unseen: int


def plot_ranges(recording: Recording, *, width: float = WIDTH, heading: bool = True) -> Plot:
    """What each observed value ranges over, from the first op of the network to the last.

    A bar is what was seen, the line behind it what can be represented: a bar that reaches beyond
    its line is cut off there. Activations and weights have a panel each; the scale is logarithmic
    but around 0. `width` is in pixels, and grows with hundreds of values; `heading` writes title
    and sentence into the figure. `NothingToPlotError` where no observer has seen anything.
    """
    columns = _columns(recording)
    if not any(columns.bars.values()):
        raise NothingToPlotError("no observer has seen a value so far")
    slots = len(columns.modules)
    wide = min(max(width, LEFT + RIGHT + slots * _NARROWEST), _WIDEST)
    groups = Groups.of(columns.modules, wide - LEFT - RIGHT)
    panels = [(role, bars) for role, bars in columns.bars.items() if bars]
    height = len(panels) * (_PANEL + 30) + groups.tall + 14
    with plain_style():
        said = _said(columns)
        plot = Plot(wide, height, "Ranges in network order", said, heading, said)
        for number, (role, bars) in enumerate(panels):
            top = 24 + number * (_PANEL + 30)
            axes = plot.panel(top, top + _PANEL)
            axes.set_xlim(-0.5, slots - 0.5)
            axes.set_xticks([])
            color = DATA if role == "activation" else OTHER
            _legend(plot, top - 8, f"{role}s", color)
            _draw(axes, bars, color, (wide - LEFT - RIGHT) / slots)
            _mark(plot, axes, bars)
            groups.separate(axes)
        groups.label(axes)
    return plot


def _columns(recording: Recording) -> _Column:
    bars: dict[str, list[_Bar]] = {"activation": [], "weight": []}
    modules: list[str] = []
    tracker = Tracker.of(recording)
    before = ""
    unseen = 0
    for key, (seen, value) in enumerate(
        zip(observations(recording), observed_values(recording), strict=True)
    ):
        numbers = (*seen.reading.minimum, *seen.reading.maximum)
        if not numbers or not all(map(math.isfinite, numbers)):
            unseen += 1
            continue
        # Above a weight stands what is computed with it.
        joins = seen.role == "activation" and before == "weight"
        before = seen.role
        if not joins:
            modules.append(_block_of(tracker, value))
        bars[seen.role].append(_bar(key, len(modules) - 1, seen))
    return _Column(bars, modules, unseen)


def _block_of(tracker: Tracker, value: ObservedValue) -> str:
    """The module of a value; of one that a block hands to its container, that block."""
    op = value.op
    if op is None or value.value in tracker.graph(op.index, op.method).inputs:
        return value.module
    maker = tracker.node(op).module_path
    within = f"{value.module}." if value.module else ""
    block = maker.removeprefix(within).partition(".")[0] if maker.startswith(within) else ""
    return f"{within}{block}" if block.isdigit() else value.module


def _bar(key: int, slot: int, seen: Observation) -> _Bar:
    low, high = min(seen.reading.minimum), max(seen.reading.maximum)
    said = f"{words.name_of(seen)}: {words.span(low, high)}"
    try:
        grids = present_grids(seen.reading)
    except NothingToPredictError:
        return _Bar(key, slot, low, high, None, said)
    ends = min(grid.low for grid in grids), max(grid.high for grid in grids)
    return _Bar(key, slot, low, high, ends, f"{said}, clips at {words.span(*ends)}")


def _said(columns: _Column) -> str:
    counts = [_counted(len(bars), role) for role, bars in columns.bars.items() if bars]
    said = " and ".join(counts)
    widest = max(
        (bar for bars in columns.bars.values() for bar in bars), key=lambda bar: bar.high - bar.low
    )
    said += f"; the widest range is that of {widest.said}"
    if columns.unseen:
        has = "has" if columns.unseen == 1 else "have"
        said += f"; {_counted(columns.unseen, 'observer')} {has} seen no range"
    return said + "."


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _legend(plot: Plot, y: float, what: str, color: str) -> None:
    plot.write(LEFT, plot.head + y, what, weight="bold", color=color)
    plot.write(LEFT + 80, plot.head + y, "▮ seen", color=color)
    plot.write(LEFT + 135, plot.head + y, "━ clipped beyond", color=LIMIT)


def _draw(axes: Axes, bars: Sequence[_Bar], color: str, slot: float) -> None:
    numbers = [
        number for bar in bars for number in (bar.low, bar.high, *(bar.ends or ())) if number
    ]
    sizes = sorted(abs(number) for number in numbers) or [1.0]
    # A few tiny ones shall not take the room of all others.
    small = max(sizes[len(sizes) // 10], sizes[-1] / 1e4)
    linear = 10.0 ** math.floor(math.log10(small))
    low, high = min(0.0, *numbers, -linear / 2), max(0.0, *numbers, linear / 2)
    symlog(axes, 1.5 * low, 1.5 * high, linear, _PANEL)
    thick = min(0.7 if slot >= 5 else 0.9, _WIDEST_BAR / slot)
    boxes(
        axes,
        [(bar.slot - thick / 2, bar.slot + thick / 2, bar.low, bar.high) for bar in bars],
        facecolor=color,
        edgecolor="none",
        linewidth=0,
    )
    # What never varied has no height.
    strokes(
        axes,
        [
            (bar.slot - thick / 2, bar.slot + thick / 2, bar.low, bar.low)
            for bar in bars
            if bar.low == bar.high
        ],
        edgecolor=color,
        linewidth=2.5,
    )
    strokes(
        axes,
        [
            (bar.slot - 0.5, bar.slot + 0.5, end, end)
            for bar in bars
            if bar.ends is not None
            for end in bar.ends
        ],
        edgecolor=LIMIT,
        linewidth=1.4,
    )
    axes.axhline(0, color=QUIET, linewidth=0.8)


def _mark(plot: Plot, axes: Axes, bars: Sequence[_Bar]) -> None:
    """What is chosen is the whole column: a bar may be too small to hit."""
    for bar in bars:
        column = Rectangle(
            (bar.slot - 0.5, 0), 1, 1, transform=axes.get_xaxis_transform(), facecolor="none"
        )
        column.set_gid(f"at:{bar.key}")
        column.set_linewidth(0)
        column.set_zorder(9)  # nothing lies above what is to be hit
        axes.add_patch(column)
        plot.marks[str(bar.key)] = bar.said


@dataclass(frozen=True)
class Groups:
    """Slots next to each other whose modules begin alike: (first slot, one past the last, name).

    `labelled` are those whose names there is room for; `is_flat`: the names fit as they are, else
    they are turned.
    """

    runs: Sequence[Run]
    labelled: Sequence[Run]
    is_flat: bool

    @staticmethod
    def of(modules: Sequence[str], wide: float) -> Groups:
        """The finest groups whose names all fit, or, where these are few, some of finer ones."""
        slot = wide / len(modules)
        deepest = max(module.count(".") + 1 for module in modules)
        by_depth = [_runs(modules, depth) for depth in range(1, deepest + 1)]
        fitting = [runs for runs in by_depth if len(runs) * LABEL_APART <= wide]
        runs = fitting[-1] if fitting else by_depth[0]
        if len(runs) < _FEW and len(by_depth) > len(fitting):
            runs = by_depth[len(fitting)]
        labelled: list[Run] = []
        for run in runs:
            if not labelled or slot * (_middle(run) - _middle(labelled[-1])) >= LABEL_APART:
                labelled.append(run)
        is_flat = labelled == runs and all(
            (len(name) + 1) * CHARACTER <= (end - start) * slot for start, end, name in runs
        )
        return Groups(runs, labelled, is_flat)

    @property
    def tall(self) -> float:
        """Pixels below the plot for the names."""
        if self.is_flat:
            return FONT + 6
        return max(len(name) for _, _, name in self.labelled) * CHARACTER + 8

    def separate(self, axes: Axes) -> None:
        """Faint lines between the groups."""
        strokes(
            axes,
            [(start - 0.5, start - 0.5, 0, 1) for start, _, _ in self.runs[1:]],
            transform=axes.get_xaxis_transform(),
            edgecolor=FAINT,
            linewidth=0.8,
            zorder=0.4,
        )

    def label(self, axes: Axes) -> None:
        """The names, below the last panel."""
        axes.set_xticks([_middle(run) for run in self.labelled])
        axes.set_xticklabels(
            [name for _, _, name in self.labelled],
            rotation=0 if self.is_flat else 90,
            parse_math=False,
        )


def _middle(run: Run) -> float:
    return (run[0] + run[1] - 1) / 2


def _runs(modules: Sequence[str], depth: int) -> list[Run]:
    names = [".".join(module.split(".")[:depth]) for module in modules]
    for k in range(1, len(names) - 1):
        # What one block hands to the next by way of their container is still the one block's.
        inner = f"{names[k]}."
        if names[k] and names[k - 1].startswith(inner) and names[k + 1].startswith(inner):
            names[k] = names[k - 1]
    runs = []
    for name, members in groupby(enumerate(names), itemgetter(1)):
        slots = [slot for slot, _ in members]
        shown = shorten(printable(name), _LABEL_LENGTH) or "(model)"
        runs.append((slots[0], slots[-1] + 1, shown))
    return runs
