"""Whose turn it is to run a session: one thread at a time, watched, and stopped when asked."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Protocol


class Stopped(KeyboardInterrupt):
    """A run was ended by `Session.stop`.

    A KeyboardInterrupt, because it is one in all but the key: calibration loops that skip what
    fails (`except Exception`) let it through, and what tidies up after Ctrl-C tidies up after it.
    """


class Watcher(Protocol):
    """What is told how a session gets on, in the thread that runs it. Its errors are ignored."""

    def began(self, stage: str) -> None:
        """A stage begins."""

    def fed(self, stage: str, done: int, total: int | None) -> None:
        """So many batches have been fed, of so many (None: nobody knows)."""

    def ended(self) -> None:
        """The recording is another one: a stage has ended, or all were taken back."""

    def rested(self) -> None:
        """Nothing runs any more."""


class Turn:
    """Held by the thread that runs a session."""

    def __init__(self) -> None:
        self._held = threading.Lock()
        self._stop = threading.Event()
        self._watchers: list[weakref.ref[Watcher]] = []
        self.stage = ""

    @property
    def is_held(self) -> bool:
        """Whether something runs."""
        return self._held.locked()

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """The turn, while open; RuntimeError where somebody has it."""
        if not self._held.acquire(blocking=False):
            what = f"stage {self.stage!r}" if self.stage else "it"
            raise RuntimeError(
                f"the session is busy: {what} is running, in another thread or around this call; "
                "wait for it to end, or call session.stop()"
            )
        self._stop.clear()
        try:
            yield
        finally:
            self.stage = ""
            self._held.release()
            self.tell(lambda watcher: watcher.rested())

    def stop(self) -> None:
        """Ask whoever has the turn to end; without effect where nobody has it."""
        if self.is_held:
            self._stop.set()

    @property
    def is_to_stop(self) -> bool:
        """Whether whoever has the turn was asked to end."""
        return self._stop.is_set()

    def raise_if_stopped(self) -> None:
        """Raise `Stopped` if whoever has the turn was asked to end."""
        if self.is_to_stop:
            raise Stopped(f"stopped in stage {self.stage!r}")

    def add_watcher(self, watcher: Watcher) -> None:
        """Tell the watcher from now on, for as long as somebody else keeps it."""
        self._watchers = [known for known in self._watchers if known() is not None]
        self._watchers.append(weakref.ref(watcher))

    def tell(self, what: Callable[[Watcher], None]) -> None:
        """Tell every watcher; what goes wrong while showing a run must not end the run."""
        for known in tuple(self._watchers):
            watcher = known()
            if watcher is not None:
                with contextlib.suppress(Exception):
                    what(watcher)

    def begin(self, stage: str) -> None:
        """A stage begins."""
        self.stage = stage
        self.tell(lambda watcher: watcher.began(stage))

    def fed(self, stage: str, done: int, total: int | None) -> None:
        """So many batches have been fed, of so many (None: nobody knows)."""
        self.tell(lambda watcher: watcher.fed(stage, done, total))
