"""Running the stages of a session in the background, so that the kernel stays usable meanwhile."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Mapping
from typing import Protocol

from jitq_explore.snapshots.recording import Recording
from jitq_explore.widgets.overhear import overheard


class Watcher(Protocol):
    """What a live run tells of itself, in the thread that runs it."""

    def began(self, stage: str) -> None:
        """A stage begins."""

    def fed(self, stage: str, done: int, total: int | None) -> None:
        """So many batches have been fed, of so many (None: nobody knows)."""

    def ended(self) -> None:
        """The recording is another one."""

    def rested(self) -> None:
        """Nothing runs any more."""


class LiveRun(Protocol):
    """What the explorer needs of a session. Whatever runs raises what it raises."""

    @property
    def session(self) -> object:
        """The session itself, for the user."""

    @property
    def recording(self) -> Recording:
        """What was seen so far; another object after every stage."""

    @property
    def to_come(self) -> tuple[str, ...]:
        """The names of the stages to come."""

    @property
    def is_busy(self) -> bool:
        """Whether a stage is running, whoever runs it."""

    @property
    def qconfig_choices(self) -> Mapping[str, str]:
        """Name -> what it does, of what a module can be requantized with."""

    def step(self) -> object:
        """Run the next stage."""

    def run(self, until: str | None = None) -> object:
        """Run the stages to come, or those through the one named."""

    def back(self) -> object:
        """Take back the last stage."""

    def stop(self) -> None:
        """Ask what is running to end."""

    def requantized(self, key: str, qconfig: str) -> LiveRun:
        """A new run that has not begun, with that entry of the qconfig dict set by name."""

    def watch(self, watcher: Watcher) -> None:
        """Tell the watcher how things go from now on; it is held weakly."""


class Runner:
    """One action at a time in a thread of its own, quietly.

    `finished` is called at its end, in that thread, with what went wrong ("" for nothing) and the
    lines that were printed and warned of.
    """

    def __init__(self, finished: Callable[[str, list[str]], None]) -> None:
        self._finished = finished
        self._thread: threading.Thread | None = None
        self.is_busy = False
        self.is_to_stop = False

    def start(self, action: Callable[[], object]) -> None:
        """Begin; RuntimeError while another action is under way."""
        if self.is_busy:
            raise RuntimeError("something is running already: wait for it to end, or stop it")
        self.is_busy, self.is_to_stop = True, False
        # With the context of the caller, so that what is sent to the page is sent in its name.
        context = contextvars.copy_context()
        self._thread = threading.Thread(
            target=context.run, args=(self._work, action), name="jitq-explore", daemon=True
        )
        self._thread.start()

    def wait(self, seconds: float | None = None) -> None:
        """Until the action has ended, or for so long."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _work(self, action: Callable[[], object]) -> None:
        problem = ""
        with overheard() as said:
            try:
                action()
            # An interrupt or exit in the user's code ends the run, and no more than that.
            except BaseException as error:
                problem = f"{type(error).__name__}: {error}"
        self.is_busy = False
        self._finished(problem, said.lines)
