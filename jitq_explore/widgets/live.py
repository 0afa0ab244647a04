"""Running the stages of a session in the background, so that the kernel stays usable meanwhile."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

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


class Control:
    """A live run as a page drives it: actions come in, events go out.

    `send` takes the events "progress" and "idle". `show` is called when the recording is another
    one, with whether nothing runs any more: then it is the newest stage that matters. Both are
    called in whatever thread runs the session.
    """

    def __init__(
        self,
        run: LiveRun,
        send: Callable[[Mapping[str, object]], None],
        show: Callable[[bool], None],
    ) -> None:
        self.send, self.show = send, show
        self.runner = Runner(self._finished)
        self._watch(run)

    @property
    def is_busy(self) -> bool:
        """Whether a stage is running, here or in a cell."""
        return self.runner.is_busy or self.run.is_busy

    def do(self, message: Mapping[str, Any], stage: str) -> None:
        """Carry out a message of the page, which shows that stage; a refusal is sent as words."""
        try:
            if message.get("do") == "stop":
                self._stop()
            else:
                action = self._action(message, stage)
                if self.is_busy:
                    raise RuntimeError("a stage is running: wait for it to end, or stop it")
                self.runner.start(action)
        except Exception as error:
            self._say_idle(str(error))
            self.show(False)

    def _action(self, message: Mapping[str, Any], stage: str) -> Callable[[], object]:
        run, name = self.run, message.get("do")
        if name == "requantize":
            key, qconfig = message.get("key"), message.get("qconfig")
            if not isinstance(key, str) or not isinstance(qconfig, str):
                raise ValueError(f"requantize needs a key and the name of a qconfig; got {message}")
            return lambda: self._requantize(key, qconfig, stage)
        actions = {"step": run.step, "run": run.run, "back": run.back}
        if name not in actions:
            valid = [*actions, "stop", "requantize"]
            raise ValueError(f"unknown action {name!r} (must be one of {valid})")
        return actions[name]

    def _stop(self) -> None:
        self.runner.is_to_stop = True
        self.run.stop()

    def _requantize(self, key: str, qconfig: str, stage: str) -> None:
        """Another run takes the place of this one, and comes as far as the stage that is shown."""
        run = self.run.requantized(key, qconfig)
        self._watch(run)
        if stage in run.to_come:
            run.run(until=stage)

    def _watch(self, run: LiveRun) -> None:
        self.run = run
        # Of the run before nothing more is heard: nobody else keeps its reporter.
        self._reporter = _Reporter(self)
        run.watch(self._reporter)

    def _finished(self, problem: str, said: list[str]) -> None:
        try:
            self.show(True)
        except Exception as error:
            # A page that is told of the end, but not of what became, can still ask.
            problem = problem or f"{type(error).__name__}: {error}"
        self._say_idle(problem, said)

    def _say_idle(self, problem: str, said: list[str] | None = None) -> None:
        self.send({"event": "idle", "problem": problem, "said": said or []})


class _Reporter:
    """Tells a control what happens to its run, no more often than a page can show it."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._progress = _Seldom(0.1)
        self._recording = _Seldom(0.5)

    def began(self, stage: str) -> None:
        # Asked to stop before the thread had come as far as the session.
        if self._control.runner.is_to_stop:
            self._control.run.stop()
        self._say_progress(stage, 0, None)

    def fed(self, stage: str, done: int, total: int | None) -> None:
        if self._recording.is_owed:
            self._show_growth()
        if self._progress.is_due() or done == total:
            self._say_progress(stage, done, total)

    def ended(self) -> None:
        if self._recording.is_due():
            self._show_growth()

    def rested(self) -> None:
        # The end of an own action is told with what went wrong and what was said.
        if not self._control.runner.is_busy:
            self._control._finished("", [])

    def _show_growth(self) -> None:
        self._recording.is_owed = False
        self._control.show(False)

    def _say_progress(self, stage: str, done: int, total: int | None) -> None:
        self._control.send({"event": "progress", "stage": stage, "done": done, "total": total})


class _Seldom:
    """Whether something is due, given that it was so many seconds ago; else it is owed."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last = -seconds
        self.is_owed = False

    def is_due(self) -> bool:
        now = time.monotonic()
        self.is_owed = now - self._last < self._seconds
        if not self.is_owed:
            self._last = now
        return not self.is_owed
