"""Where a node of torch's graphs stems from: the lines of Python behind it."""

from __future__ import annotations

import itertools
import linecache
import re

from jitq_explore.capture.torch_types import CppNode
from jitq_explore.snapshots.source import users_own

_SCRIPTED_FRAME = re.compile(r'\s*File "(?P<file>.*)", line (?P<line>\d+)')
_TRACED_FRAME = re.compile(r"^(?P<file>.+)\((?P<line>\d+)\): \S+$", re.MULTILINE)
_TRACER = re.compile(r"[/\\]torch[/\\]jit[/\\]_trace\.py$")


def source_of(node: CppNode) -> str:
    """The user's own line that a node stems from, "file:line:column"; "" where unknown."""
    return users_own(frames_of(node)[0])


def frames_of(node: CppNode) -> tuple[tuple[str, ...], dict[str, str]]:
    """The frames of a node's printed source range, innermost first, and the text of their lines."""
    source_range = node.sourceRange()
    scripted = _SCRIPTED_FRAME.match(source_range)
    if scripted:
        place = f"{scripted['file']}:{scripted['line']}"
        column, text = _highlighted(source_range)
        return (f"{place}:{column}",), {place: text}
    frames = []
    for match in _TRACED_FRAME.finditer(source_range):
        if _TRACER.search(match["file"]):
            break
        frames.append(f"{match['file']}:{match['line']}:0")
    chain = tuple(frames)
    return chain, _lines_of(users_own(chain))


def _highlighted(source_range: str) -> tuple[int, str]:
    """Column (from 0) and text of the line above the first row of tildes."""
    lines = source_range.splitlines()
    for above, line in itertools.pairwise(lines[1:]):
        stripped = line.lstrip()
        if stripped.startswith("~"):
            return len(line) - len(stripped), above
    return 0, ""


def _lines_of(frame: str) -> dict[str, str]:
    """A traced graph carries no source text: take the line from the file, where it is there."""
    place = frame.rpartition(":")[0]
    file, _, number = place.rpartition(":")
    text = linecache.getline(file, int(number)) if number.isdigit() else ""
    return {place: text.rstrip("\n")} if text else {}
