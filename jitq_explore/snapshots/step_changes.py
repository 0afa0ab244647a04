"""What an inner step took from a graph and what it put there.

Within a pass a value keeps its name, so that two texts are compared by the names alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

from jitq_explore.snapshots.steps import StepGraph

_MAKES = re.compile(r"\s*(?P<made>%[\w.]+ : .*?) = (?P<kind>[\w:]+)(?P<rest>.*)")
_NAME = re.compile(r"%([\w.]+)")
_NEW = re.compile(r"%([\w.]+) : ")


@dataclass(frozen=True)
class Rewrite:
    """One place where a rule was applied: the lines it took, those it made, the values of both."""

    taken: tuple[str, ...]
    made: tuple[str, ...]

    @property
    def values(self) -> tuple[str, ...]:
        """The names of the values that were made."""
        return tuple(name for line in self.made for name in names_made(line))


def names_made(line: str) -> list[str]:
    """The names of the values that a node's line makes; none for other lines."""
    found = _MAKES.match(line)
    return _NEW.findall(found["made"]) if found else []


def kind_made(line: str) -> str:
    """The kind of the node of that line; "" for other lines."""
    found = _MAKES.match(line)
    return found["kind"] if found else ""


def lines_made(before: StepGraph, after: StepGraph) -> tuple[str, ...]:
    """The lines of `after` whose values `before` has not."""
    known = {name for line in before.lines for name in names_made(line)}
    same = set(before.lines)
    return tuple(
        line
        for line in after.lines
        if line not in same and any(name not in known for name in names_made(line))
    )


def rewrites(
    before: StepGraph, after: StepGraph, taken_end: str, made_end: str
) -> tuple[Rewrite, ...]:
    """The places that differ, in order; one for all where they cannot be told apart.

    `taken_end` and `made_end` are the kinds of the nodes whose result leaves the pattern and its
    replacement: what takes these results is part of another place.
    """
    taken = _connected(lines_made(after, before), taken_end)
    made = _connected(lines_made(before, after), made_end)
    if len(taken) == len(made):
        return tuple(map(Rewrite, taken, made))
    everything = Rewrite(tuple(chain.from_iterable(taken)), tuple(chain.from_iterable(made)))
    return (everything,)


def _connected(lines: Iterable[str], end: str) -> list[tuple[str, ...]]:
    """The lines in groups: those of which one takes what another one makes, unless that ends it."""
    groups: dict[int, list[str]] = {}
    group_of: dict[str, int] = {}
    for number, line in enumerate(lines):
        made = names_made(line)
        joined = sorted({group_of[name] for name in _NAME.findall(line) if name in group_of})
        for other in joined:
            groups.setdefault(number, []).extend(groups.pop(other))
        moved = {name for name, group in group_of.items() if group in joined} if joined else set()
        group_of |= dict.fromkeys(moved, number)
        groups.setdefault(number, []).append(line)
        if kind_made(line) != end:
            group_of |= dict.fromkeys(made, number)
    return [tuple(group) for group in groups.values()]
