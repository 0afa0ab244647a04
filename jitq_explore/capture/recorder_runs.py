"""What `record()` knows of the pipelines it watches: their runs, and the models in between.

A run stops recording when it cannot be read, and the code that is watched goes on unharmed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from torch.ao.quantization.quant_type import QuantType
from torch.jit import ScriptModule

from jitq_explore.capture.jit_log import Listener, left_by
from jitq_explore.capture.range_log import RangeLog
from jitq_explore.capture.run_log import RunLog, Watched, new_recording
from jitq_explore.capture.stages import CALIBRATE, planned_stages
from jitq_explore.capture.take import SnapshotTaker
from jitq_explore.capture.torch_types import CppModule, unwrapped, wrap
from jitq_explore.snapshots.recording import Recording, Snapshot, StageError

T = TypeVar("T")

READING = threading.RLock()
"""Held while a pass is watched or a model is read: both redirect what the process shares (its
standard error, Python's warnings), which two threads cannot do in turns."""

_COUNTING = threading.Lock()
"""Held for a moment to count a call; not `READING`, for which calibration would have to wait."""


@dataclass
class Run:
    """One pipeline being recorded: its log, and the model it has come to."""

    log: RunLog
    model: CppModule
    stopped: bool = False

    def watch(
        self,
        stage: str,
        action: Callable[[], T],
        read: Callable[[T, Snapshot], Snapshot],
        given: CppModule | None = None,
    ) -> T:
        """Run the action as a stage. Its own errors go through, those of recording it do not.

        `given` is the model that a pass takes.
        """
        if self.stopped:
            return action()
        outcome: _Outcome[T] = _Outcome(action)
        try:
            with READING:
                return self.log.watch(
                    stage, lambda watched: self._do(outcome, stage, watched, given), read
                )
        except Exception as error:
            if outcome.error is error:
                raise
            self.stop(stage, error)
        return outcome.get()

    def _do(self, outcome: _Outcome[T], stage: str, watched: Watched, given: CppModule | None) -> T:
        result = outcome.get()
        if self.log.listener is not None and given is not None:
            watched.said.left = left_by(stage, unwrapped(given))
        return result

    def attempt(self, what: str, read: Callable[[], T]) -> T | None:
        """What the reading gives; None, and the run stops recording, when it fails."""
        if self.stopped:
            return None
        try:
            with READING:
                return read()
        except Exception as error:
            self.stop(what, error)
            return None

    def stop(self, what: str, error: Exception) -> None:
        """Record nothing more of this run; the recording says why."""
        self.stopped = True
        self.note(f"recording stopped at {what}: {printed(error)}")

    def note(self, warning: str) -> None:
        """Add to the recording's warnings."""
        recording = self.log.recording
        self.log.recording = replace(recording, warnings=(*recording.warnings, warning))


@dataclass
class _Outcome(Generic[T]):
    """An action that is done once: what it returned or raised, as often as one asks."""

    action: Callable[[], T]
    results: list[T] = field(default_factory=list)
    error: BaseException | None = None

    def get(self) -> T:
        if self.error is not None:
            raise self.error
        if not self.results:
            try:
                self.results.append(self.action())
            except BaseException as error:
                self.error = error
                raise
        return self.results[0]


@dataclass
class _Calls:
    """The calls of one prepared model, and what its observers' ranges were after each."""

    model: CppModule
    watched: Watched = field(default_factory=lambda: Watched(batches=0))
    ranges: RangeLog = field(default_factory=RangeLog)

    def __post_init__(self) -> None:
        self.ranges.follow(unwrapped(self.model))

    def add(self, seconds: float) -> None:
        """One more."""
        self.watched.batches = (self.watched.batches or 0) + 1
        self.watched.seconds += seconds
        self.ranges.note(self.watched.batches)


@dataclass
class Prepared:
    """A model that a preparation has returned, with the run so far (None: it was not recorded).

    Each preparation makes a class of its own. Its copies share that class, and each of them may be
    calibrated and converted, more than once: the first conversion goes on with the run, each later
    one with a fork of it. A conversion makes another class, also in place.
    """

    model: CppModule
    run: Run | None
    begun: bool = False
    """Whether the run has gone on to a conversion, or has failed while calibrating."""
    calls: list[_Calls] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.class_type = self.model._type()
        self.recording = None if self.run is None else self.run.log.recording
        self.recorded = self.run is not None and not self.run.stopped

    def has_class(self, model: CppModule) -> bool:
        """Whether the model is the prepared one or a copy: printed names do not tell, models from
        `torch.jit.load` share those."""
        return bool(model._type() == self.class_type)

    def next_run(self) -> Run | None:
        """The run for one more conversion."""
        if self.run is None or self.recording is None or not self.recorded:
            return None
        if not self.begun:
            self.begun = True
            return self.run
        log = self.run.log
        return Run(RunLog(self.recording, log.taker, log.listener), self.model)

    def count(self, model: CppModule, seconds: float) -> None:
        """Note a call of the prepared model or of a copy."""
        with _COUNTING:
            calls = next((calls for calls in self.calls if calls.model == model), None)
            if calls is None:
                calls = _Calls(model)
                self.calls.append(calls)
            calls.add(seconds)

    def calls_of(self, model: CppModule, calibrated: bool) -> Watched:
        """The calls of that very model.

        One that is calibrated and has not been called is a copy: then those of all, since it has
        its observations from one of them. Several models have no timeline in common.
        """
        with _COUNTING:
            own = [calls for calls in self.calls if calls.model == model]
            if calibrated and not own:
                own = self.calls
            return Watched(
                seconds=sum(calls.watched.seconds for calls in own),
                batches=sum(calls.watched.batches or 0 for calls in own),
                timeline=own[0].ranges.timeline if len(own) == 1 else None,
            )

    def add_calibration(self, run: Run, model: CppModule, error: StageError | None = None) -> None:
        """What happened to the model's observers between preparation and now."""

        def read() -> None:
            before = run.log.recording.last
            after = run.log.taker.retake_observers(wrap(model), before)
            calls = self.calls_of(model, calibrated=after.observers != before.observers)
            run.log.add(CALIBRATE, before, after, calls, error)

        if run.log.recording.mode == "static":
            run.attempt(CALIBRATE, read)

    def finish(self) -> None:
        """If nobody has converted the model, add its calibration, if there was one."""
        run = self.run
        if self.begun or run is None or not self.recorded:
            return
        # Where only a copy was called, that one.
        called = [calls.model for calls in self.calls]
        model = called[0] if called and self.model not in called else self.model
        before = run.log.recording
        self.add_calibration(run, model)
        after = run.log.recording
        if not called and after.last.observers == before.last.observers and not run.stopped:
            run.log.recording = before


class CallTimer(threading.local):
    """The calls of prepared models that are under way in this thread, the innermost last."""

    def __init__(self) -> None:
        self.open: list[tuple[ScriptModule, Prepared, float]] = []

    def begin(self, module: ScriptModule, prepared: Prepared) -> None:
        """The module's call begins."""
        self.open.append((module, prepared, time.perf_counter()))

    def end(self, module: object) -> None:
        """The module's call has succeeded: count it. Calls that failed have no end."""
        if not any(module is other for other, _, _ in self.open):
            return
        while True:
            called, prepared, began = self.open.pop()
            if called is module:
                prepared.count(called._c, time.perf_counter() - began)
                return


def begin_run(
    given: Mapping[str, Any],
    on_device: bool,
    qconfig: Mapping[str, str] | None = None,
    log_bytes: int | None = None,
) -> Run | None:
    """A new run on the model given, unless the arguments are so wrong that they will be refused.

    `qconfig` is the printed qconfig dict where it is not among the arguments; `log_bytes` how much
    is heard of a pass's own log (None: nothing).
    """
    model, qconfig_dict = given.get("model"), given.get("qconfig_dict", {})
    if not isinstance(model, ScriptModule) or not isinstance(qconfig_dict, Mapping):
        return None
    mode = "on_device" if on_device else _mode_of(given["quant_type"])
    with READING:
        taker = SnapshotTaker(str(given.get("method_name", "forward")))
        recording = new_recording(mode, model, taker, dict(qconfig_dict), planned_stages(mode))
    if qconfig is not None:
        recording = replace(recording, qconfig=qconfig)
    listener = None if log_bytes is None else Listener(log_bytes)
    return Run(RunLog(recording, taker, listener), model._c)


def with_options(recording: Recording, given: Mapping[str, Any]) -> Recording:
    """The recording with what only the conversion knows of the run."""
    debug = bool(given["debug"])
    return replace(
        recording,
        debug=debug,
        preserved_attrs=tuple(given.get("preserved_attrs") or ()),
        planned=planned_stages(recording.mode, debug=debug),
    )


def printed(error: BaseException) -> str:
    """Type and message of an error; an error whose message cannot be had gives its type alone."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return type(error).__name__


def _mode_of(quant_type: QuantType) -> str:
    return "static" if quant_type == QuantType.STATIC else "dynamic"
