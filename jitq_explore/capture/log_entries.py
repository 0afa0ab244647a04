"""What the JIT's log printed, line by line -> `LogEntry`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from jitq_explore.snapshots.steps import StepGraph

_PREFIX = re.compile(rb"\[(DUMP|UPDATE|DEBUG) (\w+)\.\w+:\d+\] ")


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One thing that a pass said: a message, or what a graph that it dumped is called.

    `file` is the name of the C++ file without its ending, `level` "DUMP", "UPDATE" or "DEBUG".
    """

    file: str
    level: str
    text: str
    graph: StepGraph | None = None


@dataclass(frozen=True, slots=True)
class _Dump:
    """A graph that was dumped, as it stood in the log: mostly the next one is the same."""

    raw: bytes
    entry: LogEntry


class LogReader:
    """Reads a log; graphs that are equal become one object, and so do equal lines."""

    def __init__(self) -> None:
        self._last: dict[bytes, _Dump] = {}
        self._graphs: dict[tuple[str, ...], StepGraph] = {}
        self._lines: dict[bytes, str] = {}

    def read(self, log: bytes) -> Iterator[LogEntry | bytes]:
        """The entries in order; other output, lines of it, as it is."""
        at = 0
        while at < len(log):
            found = _PREFIX.match(log, at)
            if found is None:
                end = _end_of_line(log, at)
                yield log[at:end]
            elif found[1] == b"DUMP":
                dump = self._dump(log, at, found)
                yield dump.entry
                end = at + len(dump.raw)
            else:
                end = _end_of_line(log, at)
                text = log[found.end() : end].decode("utf-8", "replace").rstrip()
                yield LogEntry(found[2].decode(), found[1].decode(), text)
            at = end

    @staticmethod
    def is_log(line: bytes) -> bool:
        """Whether a line is of the log."""
        return _PREFIX.match(line) is not None

    def graph_of(self, text: str) -> StepGraph:
        """A printed graph, as the same object where it has been met before."""
        lines = text.rstrip().encode("utf-8", "replace").split(b"\n")
        return self._graph(tuple(self._line(line) for line in lines))

    def _dump(self, log: bytes, at: int, found: re.Match[bytes]) -> _Dump:
        prefix = found[0]
        last = self._last.get(prefix)
        if last is not None and log.startswith(last.raw, at):
            behind = at + len(last.raw)
            if not _goes_on(log[behind : behind + len(prefix) + 6], prefix):
                return last
        title, *graph = lines = list(_lines_of_dump(log, at, prefix))
        size = sum(len(line) + len(prefix) + 1 for line in lines)
        dumped = self._graph(tuple(map(self._line, graph))) if graph else None
        text = title.decode("utf-8", "replace").strip()
        entry = LogEntry(found[2].decode(), "DUMP", text, dumped)
        self._last[prefix] = _Dump(log[at : at + size], entry)
        return self._last[prefix]

    def _graph(self, lines: tuple[str, ...]) -> StepGraph:
        return self._graphs.setdefault(lines, StepGraph(lines))

    def _line(self, line: bytes) -> str:
        if line not in self._lines:
            self._lines[line] = line.decode("utf-8", "replace")
        return self._lines[line]


def _lines_of_dump(log: bytes, at: int, prefix: bytes) -> Iterator[bytes]:
    """The title and the lines of the graph under it, without the prefix that each of them has."""
    is_title = True
    while log.startswith(prefix, at):
        end = _end_of_line(log, at)
        line = log[at + len(prefix) : end].rstrip(b"\n")
        if not is_title and not _is_of_graph(line):
            return
        yield line
        is_title, at = False, end


def _is_of_graph(line: bytes) -> bool:
    return line.startswith((b" ", b"graph(", b"with ")) or not line


def _goes_on(behind: bytes, prefix: bytes) -> bool:
    return behind.startswith(prefix) and _is_of_graph(behind[len(prefix) :])


def _end_of_line(log: bytes, at: int) -> int:
    return log.find(b"\n", at) + 1 or len(log)
