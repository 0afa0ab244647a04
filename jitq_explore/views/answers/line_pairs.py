"""Which line of one text has become which line of another."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from functools import cached_property
from typing import TypeAlias

Pair: TypeAlias = tuple[str | None, str | None]
"""A line before and after; None where there is none."""

_NEAR = 12
"""Lines ahead in which the partner of a line is looked for; all of them would take too long."""

_LEAST_ALIKE = 0.6

_NAME = re.compile(r"[\w.]+")


def paired_lines(old: Sequence[str], new: Sequence[str]) -> Iterator[Pair]:
    """All lines of both, in order: equal lines paired, and between them lines that are alike."""
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    for tag, i, j, k, m in matcher.get_opcodes():
        if tag == "equal":
            yield from zip(old[i:j], new[k:m], strict=True)
        else:
            yield from _alike_in([*map(_Line, old[i:j])], [*map(_Line, new[k:m])])


def _alike_in(olds: Sequence[_Line], news: Sequence[_Line]) -> Iterator[Pair]:
    """Lines are alike where each is the one most like the other among those that follow."""
    at = 0
    for place, old in enumerate(olds):
        ahead = news[at : at + _NEAR]
        best = max(ahead, key=old.likeness, default=None)
        rivals = olds[place : place + _NEAR]
        if (
            best is None
            or old.likeness(best) < _LEAST_ALIKE
            or max(rivals, key=best.likeness) is not old
        ):
            yield old.text, None
            continue
        skipped = ahead.index(best)
        yield from ((None, line.text) for line in ahead[:skipped])
        yield old.text, best.text
        at += skipped + 1
    yield from ((None, line.text) for line in news[at:])


class _Line:
    """A line, and how much it is like others."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def names(self) -> Counter[str]:
        return Counter(_NAME.findall(self.text))

    @cached_property
    def unnumbered(self) -> Counter[str]:
        """The names without the numbers that tell values apart: `x2` and `x3` are both an `x`."""
        return Counter(name.rstrip("0123456789") for name in self.names.elements())

    def likeness(self, other: _Line) -> float:
        """From 0 to 1: by the names in both, those that differ only by their numbers too."""
        return (_shared(self.names, other.names) + _shared(self.unnumbered, other.unnumbered)) / 2


def _shared(one: Counter[str], other: Counter[str]) -> float:
    total = one.total() + other.total()
    return 2 * (one & other).total() / total if total else 0.0
