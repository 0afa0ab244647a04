"""Numbers and counts as people write them, and values as JSON can hold them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from jitq_explore.views.printable import printable


def plural(count: int, one: str, many: str = "") -> str:
    """A number with its noun: "1 batch", "2 batches"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """A time span, short."""
    if seconds >= 1:
        return f"{seconds:.2f} s"
    ms = 1000 * seconds
    if 0 < ms < 0.05:
        return "< 0.1 ms"
    return f"{ms:.1f} ms" if 0 < ms < 0.95 else f"{ms:.0f} ms"


_PACKED = re.compile(r"[\w.…]*_jit_pass_packed_weight_\d+")
"""What torch calls a weight that it packed for a kernel. The number tells nobody whose it is."""


def is_packed_name(path: str) -> bool:
    """Whether a path into the model, or the end of one, is torch's own name of a packed weight."""
    return _PACKED.fullmatch(path) is not None


def without_packed_names(text: str) -> str:
    """Of a packed weight that it is one, not under which name torch keeps it."""
    return re.sub(f"((packed )?attribute |%){_PACKED.pattern}", "packed weight", text)


def readable(text: str) -> str:
    """Text of several lines, control characters written out."""
    return "\n".join(printable(line.expandtabs(4)) for line in text.splitlines())


def number_text(value: float) -> str:
    """A number, short: "0.01234", "1.2e-05", "NaN"."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.5g}"


def numbers_text(values: Sequence[float], most: int = 8) -> str:
    """Several numbers, those in the middle left out where they are many."""
    if len(values) > 1 and len(set(values)) == 1:
        return f"{number_text(values[0])} (all {len(values):,})"
    if len(values) <= most:
        return ", ".join(map(number_text, values))
    shown = ", ".join(map(number_text, values[: most - 1]))
    return f"{shown}, … ({len(values):,} in all)"


def plain_number(value: float) -> float | str:
    """A number for JSON, which has neither NaN nor infinity: these are written as text."""
    return value if math.isfinite(value) else number_text(value)


def counted(texts: Iterable[str]) -> Iterator[dict[str, object]]:
    """Each text once, with how often it came."""
    for text, times in Counter(texts).items():
        yield {"text": readable(text), "times": times}
