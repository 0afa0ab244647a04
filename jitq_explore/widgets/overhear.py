"""What one thread prints and warns of, kept from the cells that others run meanwhile."""

from __future__ import annotations

import contextlib
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TextIO

MAX_LINES = 30
"""How many of the lines that were said are kept: the newest."""

_MAX_CHARACTERS = 20_000


class Overheard:
    """What was said so far."""

    def __init__(self) -> None:
        self._text = ""

    def add(self, text: str) -> None:
        """Note what is said now."""
        self._text = (self._text + text)[-_MAX_CHARACTERS:]

    @property
    def lines(self) -> list[str]:
        """The newest lines, each once; of a line written over, as progress bars are, the last."""
        written = (line.rstrip("\r").rpartition("\r")[2].strip() for line in self._text.split("\n"))
        return [line for line in dict.fromkeys(written) if line][-MAX_LINES:]


@contextlib.contextmanager
def overheard() -> Iterator[Overheard]:
    """Keeps what this thread prints and warns of while open; other threads do both as ever.

    `contextlib.redirect_stdout` and `warnings.catch_warnings` would take their words too: what they
    change is shared by all threads.
    """
    _forks.join()
    before, _listening.to = _listening.to, Overheard()
    try:
        yield _listening.to
    finally:
        _listening.to = before
        _forks.leave()


class _Listening(threading.local):
    """Where the words of this thread go; None: where everybody's go."""

    to: Overheard | None = None


_listening = _Listening()


class _Fork:
    """A stream that hands on all but the words of threads that are listened to."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        if _listening.to is None:
            return self._stream.write(text)
        _listening.to.add(text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _forked(show: Callable[..., None]) -> Callable[..., None]:
    """A `warnings.showwarning` that hands on likewise."""

    def fork(message: Warning | str, category: type[Warning], *args: Any, **kwargs: Any) -> None:
        if _listening.to is None:
            show(message, category, *args, **kwargs)
        else:
            _listening.to.add(f"{category.__name__}: {message}\n")

    return fork


class _Forks:
    """The forks of the process, in place while any thread is listened to.

    Somebody who has met one meanwhile may put it back later: it hands on everything then.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._placed: list[tuple[Any, str, object, object]] = []

    def join(self) -> None:
        """Put them in place, if nobody has yet."""
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._place(sys, "stdout", _Fork)
                self._place(sys, "stderr", _Fork)
                self._place(warnings, "showwarning", _forked)

    def leave(self) -> None:
        """The last to leave takes them out, where they still are."""
        with self._lock:
            self._users -= 1
            if self._users:
                return
            for owner, name, original, fork in self._placed:
                if getattr(owner, name) is fork:
                    setattr(owner, name, original)
            self._placed = []

    def _place(self, owner: Any, name: str, fork_of: Callable[[Any], object]) -> None:
        original = getattr(owner, name)
        fork = fork_of(original)
        setattr(owner, name, fork)
        self._placed.append((owner, name, original, fork))


_forks = _Forks()
