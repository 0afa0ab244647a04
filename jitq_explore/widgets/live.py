"""Running the stages of a session in the background, so that the kernel stays usable meanwhile."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from jitq_explore.snapshots.recording import Recording
from jitq_explore.views.answers.wording import readable
from jitq_explore.widgets.buttons import by_buttons
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

    def changed(self, wish: Mapping[str, Any]) -> LiveRun:
        """A new run that has not begun, with what the wish says: of one value, as in the ask
        "what_if", or the number of a recommendation."""

    def accept(self) -> object:
        """Take what an interrupted calibration had seen."""

    @property
    def can_compare(self) -> bool:
        """Whether there is a whole run, and data to measure its errors on."""

    def compare(self) -> object:
        """Measure the errors of every stage."""

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


@dataclass(frozen=True)
class Shown:
    """What the page shows: a run or, after a change was applied, that run against the one before
    it."""

    run: LiveRun
    against: LiveRun | None = None

    @property
    def runs(self) -> tuple[LiveRun, ...]:
        """Both, the one before first."""
        return (self.run,) if self.against is None else (self.against, self.run)

    @property
    def recordings(self) -> tuple[Recording, ...]:
        """What these have seen so far."""
        return tuple(run.recording for run in self.runs)


class Control:
    """A live run as a page drives it: actions come in, events go out.

    `send` takes the events "progress" and "idle". `show` is called when a recording that is shown
    is another one, with whether nothing runs any more: then it is the newest stage that matters.
    Both are called in whatever thread runs the session.
    """

    def __init__(
        self,
        run: LiveRun,
        send: Callable[[Mapping[str, object]], None],
        show: Callable[[bool], None],
    ) -> None:
        self.send, self.show = send, show
        self.runner = Runner(self._finished)
        self.earlier: list[Shown] = []
        self._put(Shown(run))

    @property
    def run(self) -> LiveRun:
        """The run that the buttons are about."""
        return self.shown.run

    @property
    def is_busy(self) -> bool:
        """Whether a stage is running, here or in a cell."""
        return self.runner.is_busy or self._runs_now.is_busy

    def do(self, message: Mapping[str, Any], stage: str) -> None:
        """Carry out a message of the page, which shows that stage; a refusal is sent as words."""
        try:
            if message.get("do") == "stop":
                self.stop()
            else:
                action = self._action(message, stage)
                if self.is_busy:
                    raise RuntimeError("a stage is running: wait for it to end, or stop it")
                self.runner.start(action)
        except Exception as error:
            self._say_idle(str(error))
            self.show(False)

    def stop(self) -> None:
        """End what is running."""
        self.runner.is_to_stop = True
        self._runs_now.stop()

    def heard_stop(self) -> None:
        """A stage begins: it may have been asked to end before it was there to be asked."""
        if self.runner.is_to_stop:
            self._runs_now.stop()

    def _action(self, message: Mapping[str, Any], stage: str) -> Callable[[], object]:
        run, name = self.run, message.get("do")
        if name == "requantize":
            key, qconfig = message.get("key"), message.get("qconfig")
            if not isinstance(key, str) or not isinstance(qconfig, str):
                raise ValueError(f"requantize needs a key and the name of a qconfig; got {message}")
            return lambda: self._requantize(key, qconfig, stage)
        if name == "apply":
            wish = {key: message[key] for key in message if key != "do"}
            return lambda: self._apply(wish)
        actions = {
            "step": run.step,
            "run": run.run,
            "back": run.back,
            "accept": run.accept,
            "compare": self._compare,
            "earlier": self._earlier,
            "alone": self._alone,
        }
        if name not in actions:
            valid = [*actions, "stop", "requantize", "apply"]
            raise ValueError(f"unknown action {name!r} (must be one of {valid})")
        return actions[name]

    def _requantize(self, key: str, qconfig: str, stage: str) -> None:
        """Another run takes the place of this one, and comes as far as the stage that is shown."""
        run = self.run.requantized(key, qconfig)
        self.earlier.append(self.shown)
        self._put(Shown(run))
        if stage in run.to_come:
            run.run(until=stage)

    def _apply(self, wish: Mapping[str, Any]) -> None:
        """Another run, to its end; then it is shown against this one, which is shown until then."""
        before = self.run
        after = before.changed(wish)
        self._watch(after)
        try:
            after.run()
        finally:
            self._watch(before)
        self.earlier.append(self.shown)
        self._put(Shown(after, before))

    def _compare(self) -> None:
        """Measure what is shown."""
        for run in self.shown.runs:
            self._watch(run)
            run.compare()

    def _earlier(self) -> None:
        """Show what was shown before the last change."""
        if not self.earlier:
            raise RuntimeError("there is no earlier run: this is the one that it began with")
        self._put(self.earlier.pop())

    def _alone(self) -> None:
        """Go on with the changed run alone."""
        self._put(Shown(self.run))

    def _put(self, shown: Shown) -> None:
        self.shown = shown
        self._watch(shown.run)

    def _watch(self, run: LiveRun) -> None:
        self._runs_now = run
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
        told = {"problem": readable(problem), "said": said or []}
        self.send({"event": "idle", **by_buttons(told)})


class _Reporter:
    """Tells a control what happens to its run, no more often than a page can show it."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._progress = _Seldom(0.1)
        self._recording = _Seldom(0.5)

    def began(self, stage: str) -> None:
        self._control.heard_stop()
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
