"""How all plots look, and what a plot is: a figure that knows what it says."""

from __future__ import annotations

import base64
import io
import textwrap
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from jitq_explore.views.printable import printable

# Okabe and Ito's blue, vermillion and green, dark enough for text on white; as SVG each of them
# follows the page (`svg.PAGE_COLOURS`).
INK = "#212121"
QUIET = "#5f5f5f"
FAINT = "#e0e0e0"
DATA = "#0072b2"
LIMIT = "#b84a00"
OTHER = "#00704f"
PAPER = "#ffffff"

FONT = 11.0
"""Size of all text in pixels. Plots are made at 72 dots an inch: a point is a pixel."""

CHARACTER = 0.62 * FONT
"""About how wide a character is, in pixels; rather more than less."""

Dashes: TypeAlias = Literal["-", "--", ":"]

WIDTH = 600.0
LEFT, RIGHT = 52.0, 12.0
"""Margins of all panels."""

_HEADING = 20.0
_LINE = 15.0


class NothingToPlotError(ValueError):
    """The recording does not hold what the plot is drawn from."""


class Plot(Figure):
    """A matplotlib figure with a title, what it shows in words, and what can be chosen in it.

    `marks` maps a key to the words about a mark; the artist's gid is "at:" and that key. `heading`
    writes the title into the figure, and below it `subtitle`.
    """

    def __init__(
        self, width: float, height: float, title: str, said: str, heading: bool, subtitle: str = ""
    ) -> None:
        lines = textwrap.wrap(subtitle, int((width - 16) / CHARACTER)) if heading else []
        self.head = _HEADING + _LINE * len(lines) + 4 if heading else 0.0
        self.wide, self.tall = width, height + self.head
        self.title, self.subtitle, self.said = title, subtitle, said
        self.marks: dict[str, str] = {}
        super().__init__(figsize=(self.wide / 72, self.tall / 72), dpi=72, facecolor=PAPER)
        if heading:
            self.write(8, 15, title, size=FONT + 2, weight="bold")
            for number, line in enumerate(lines):
                self.write(8, _HEADING + 12 + number * _LINE, line, color=QUIET)

    def write(self, x: float, y: float, text: str, color: str = INK, **more: Any) -> None:
        """Text that begins at that place, in pixels from the top left."""
        more = {"size": FONT, **more}
        place = x / self.wide, 1 - y / self.tall
        self.text(*place, printable(text), color=color, parse_math=False, **more)

    def panel(self, top: float, bottom: float) -> Axes:
        """Axes as wide as there is room, between these pixels below the heading."""
        low, high = self.head + bottom, self.head + top
        axes = self.add_axes(
            (
                LEFT / self.wide,
                1 - low / self.tall,
                (self.wide - LEFT - RIGHT) / self.wide,
                (low - high) / self.tall,
            )
        )
        axes.patch.set_visible(False)
        for name, spine in axes.spines.items():
            spine.set_visible(name in ("left", "bottom"))
            spine.set_color(QUIET)
            spine.set_linewidth(0.8)
        axes.tick_params(labelsize=FONT, labelcolor=QUIET, color=QUIET, length=3, width=0.8)
        axes.tick_params(axis="y", length=0)
        axes.set_axisbelow(True)
        return axes

    def legend_line(self, y: float, color: str, dashes: Dashes, text: str) -> None:
        """A line of the legend: a sample of how something is drawn, and what it is."""
        left = 8.0
        place = 1 - (self.head + y - 4) / self.tall
        ends = (left / self.wide, (left + 22) / self.wide)
        self.add_artist(Line2D(ends, (place, place), color=color, linestyle=dashes, linewidth=1.6))
        self.write(left + 28, self.head + y, text)

    def _repr_png_(self) -> tuple[bytes, dict[str, float]]:
        """What a notebook shows: twice the pixels, for sharp screens, in the size that is meant."""
        file = io.BytesIO()
        with plain_style():
            self.savefig(file, format="png", dpi=144)
        return file.getvalue(), {"width": self.wide, "height": self.tall}

    def _ipython_display_(self) -> None:
        """That picture, and in words what it shows.

        Once a notebook has used pyplot, IPython has all figures drawn by that, half as sharp and
        cropped. This comes before.
        """
        from IPython.display import display  # it is there where this is called

        show: Any = display
        png, size = self._repr_png_()
        shown = {"image/png": base64.b64encode(png).decode(), "text/plain": self._words()}
        show(shown, metadata={"image/png": size}, raw=True)

    def _words(self) -> str:
        return printable(f"{self.title}: {self.said}")


@contextmanager
def plain_style() -> Iterator[None]:
    """matplotlib's own settings instead of the user's, while a plot is made.

    Names in a script that its font has no letters for are no reason to warn: pages have fonts of
    their own.
    """
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")
        mpl.rcParams.update(_PLAIN)
        yield


_PLAIN: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "axes.grid": False,
    "axes.unicode_minus": True,
    "text.usetex": False,
    "path.sketch": None,
    "axes.xmargin": 0.0,
    "axes.ymargin": 0.0,
    "hatch.linewidth": 0.8,
}


def boxes(axes: Axes, corners: Iterable[tuple[float, float, float, float]], **look: Any) -> None:
    """Rectangles (left, right, low, high) as one path: hundreds cost no more than one."""
    rows = [
        ((left, low), (left, high), (right, high), (right, low), (left, low))
        for left, right, low, high in corners
    ]
    if not rows:
        return
    codes = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY] * len(rows)
    path = Path(np.array(rows, dtype=float).reshape(-1, 2), np.array(codes, dtype=np.uint8))
    axes.add_patch(PathPatch(path, **look))


def strokes(axes: Axes, lines: Iterable[tuple[float, float, float, float]], **look: Any) -> None:
    """Lines (left, right, low, high) as one path."""
    rows = [((left, low), (right, high)) for left, right, low, high in lines]
    if not rows:
        return
    codes = [Path.MOVETO, Path.LINETO] * len(rows)
    path = Path(np.array(rows, dtype=float).reshape(-1, 2), np.array(codes, dtype=np.uint8))
    axes.add_patch(PathPatch(path, fill=False, **look))
