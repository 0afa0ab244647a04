"""Numbers and names as plots write them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from jitq_explore.snapshots.observations import Observation
from jitq_explore.views.printable import printable, shorten

_LONG = 48
_THOUSANDS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def number(value: float, digits: int = 3) -> str:
    """A real number, short, with a true minus sign."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞" if value > 0 else "−∞"
    plain = 10**digits <= abs(value) < 1e5
    text = f"{value:,.0f}" if plain else f"{value:.{digits}g}"
    return text.replace("-", "−").replace("e+0", "e").replace("e−0", "e−")


def count(value: float) -> str:
    """A count, short: "950", "12k", "3M"."""
    for size, sign in _THOUSANDS:
        if value >= size:
            return f"{value / size:g}{sign}"
    return f"{value:g}"


def percent(share: float) -> str:
    """A share from 0 to 1."""
    if 0 < share < 0.0001:
        return "< 0.01 %"
    return f"{100 * share:.2g} %" if share < 0.0995 else f"{100 * share:.0f} %"


def span(low: float, high: float) -> str:
    """From one number to another."""
    return f"{number(low)} … {number(high)}"


def saturated(share: float) -> str:
    """The saturated share in words."""
    return f"{percent(share)} saturate" if share else "nothing saturates"


def decibels(sqnr: float) -> str:
    """A ratio in dB."""
    return "no error" if sqnr == math.inf else f"{number(sqnr)} dB"


def name_of(seen: Observation) -> str:
    """A value by its module and name, short enough for a title."""
    module = seen.reading.module
    name = f"%{seen.value}" + (f" in {module}" if module else "")
    return f"{seen.role} {shorten(printable(name), _LONG)}"


def listed(numbers: Sequence[int], most: int = 6) -> str:
    """Some numbers, and how many more there are."""
    shown = ", ".join(map(str, numbers[:most]))
    more = len(numbers) - most
    return f"{shown} and {more:,} more" if more > 0 else shown
