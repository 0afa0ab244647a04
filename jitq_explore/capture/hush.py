"""Keeps what C++ prints on the process's standard error away from the screen.

torch's passes and kernels warn from C++, past `warnings` and `sys.stderr`; a notebook shows that in
red. Here it goes to a temporary file (a pipe would fill up: the passes hold the interpreter lock,
so nobody could empty it), warnings are kept as messages, and everything else is passed on.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, TextIO

_WARNING = re.compile(r"^\[W\d{4} [^\]]*\] (?:Warning: )?(?P<text>.*)$")
_CHATTER = re.compile(r"^USDT:.* profiler_(start|stop)$")
"""What torch's profiler says of itself."""

_FUNCTION = re.compile(r" \(function [^()]*(\(\))?\)$")


@dataclass
class Heard:
    """What was said while `hushed` was open: filled in when it closes, also by an error."""

    messages: list[str] = field(default_factory=list)


@contextlib.contextmanager
def hushed(heard: Heard) -> Iterator[None]:
    """While open, standard error of C++ goes to a file; what Python prints still gets out at once.

    Warnings end up in `heard.messages`, each once; other output is written on when it closes. May
    be opened within itself and in several threads at a time: the first one redirects, the last one
    puts back. Where there is no standard error to redirect, nothing happens.
    """
    _flush()
    begin = _redirection.join()
    try:
        yield
    finally:
        _flush()
        heard.messages, _ = split_warnings(_redirection.leave(begin))


@contextlib.contextmanager
def kept_warnings(messages: list[str]) -> Iterator[None]:
    """While open, Python's warnings are added to the messages and not shown."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        finally:
            messages += [" ".join(str(warning.message).split()) for warning in caught]


class _Redirection:
    """The one redirection of the process's standard error, however many asked for it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0
        self.original = -1
        self.file: IO[bytes] | None = None
        self.replaced: TextIO | None = None

    def join(self) -> int:
        """Redirect, if nobody has yet; returns how much had been said by then, in bytes."""
        with self.lock:
            self.users += 1
            if self.users == 1:
                self._open()
            return self._said()

    def leave(self, begin: int) -> str:
        """What was said since then; the last to leave puts standard error back."""
        with self.lock:
            said = b""
            if self.file is not None:
                self.file.seek(begin)
                said = self.file.read()
            self.users -= 1
            if self.users == 0:
                self._close()
            return said.decode("utf-8", "replace")

    def _said(self) -> int:
        return os.fstat(self.file.fileno()).st_size if self.file is not None else 0

    def _open(self) -> None:
        try:
            self.original = os.dup(2)
        except OSError:  # a process without standard error
            return
        self.file = tempfile.TemporaryFile()  # noqa: SIM115
        if _writes_to_fd_2(sys.stderr):
            self.replaced, sys.stderr = sys.stderr, _way_out(self.original)
        os.dup2(self.file.fileno(), 2)

    def _close(self) -> None:
        if self.file is None:
            return
        os.dup2(self.original, 2)
        if self.replaced is not None:
            # Unless somebody else has put another stream there meanwhile.
            if sys.stderr is _ways_out.get(os.getpid()):
                sys.stderr = self.replaced
            self.replaced = None
        self.file.seek(0)
        _, other = split_warnings(self.file.read().decode("utf-8", "replace"))
        self.file.close()
        self.file = None
        with os.fdopen(self.original, "wb") as stream:
            stream.write(other.encode("utf-8", "replace"))


_redirection = _Redirection()
_ways_out: dict[int, TextIO] = {}


def _way_out(original: int) -> TextIO:
    """A stream to where standard error went at first, made once in a process and never closed.

    User code may keep it: a logging handler made during a calibration does.
    """
    if os.getpid() not in _ways_out:
        # Without closefd Python would complain of an unclosed file at exit.
        _ways_out[os.getpid()] = open(  # noqa: SIM115
            os.dup(original), "w", 1, encoding="utf-8", errors="replace", closefd=False
        )
    return _ways_out[os.getpid()]


def split_warnings(said: str) -> tuple[list[str], str]:
    """The texts of torch's C++ warnings, each once, and the rest as it was."""
    messages: dict[str, None] = {}
    rest = []
    for line in said.splitlines(keepends=True):
        found = _WARNING.match(line.rstrip("\n"))
        if found:
            messages[_FUNCTION.sub("", found["text"])] = None
        elif not _CHATTER.match(line.rstrip("\n")):
            rest.append(line)
    return list(messages), "".join(rest)


def _flush() -> None:
    with contextlib.suppress(AttributeError, ValueError, OSError):
        sys.stderr.flush()


def _writes_to_fd_2(stream: object) -> bool:
    try:
        return stream.fileno() == 2  # type: ignore[attr-defined, no-any-return]
    except (AttributeError, OSError, ValueError):
        return False
