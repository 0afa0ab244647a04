"""The functions that `record()` puts in place of torch's passes and of what encloses them."""

from __future__ import annotations

import contextlib
import inspect
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, TypeVar

import torch
from torch.jit import ScriptModule

from jitq_explore.capture.recorder_runs import (
    CallTimer,
    Prepared,
    Run,
    begin_run,
    printed,
    with_options,
)
from jitq_explore.capture.rehearsal import rehearse_weights
from jitq_explore.capture.run_log import RunLog, describe_error
from jitq_explore.capture.scripting import SCRIPTING
from jitq_explore.capture.torch_types import CppModule, wrap
from jitq_explore.snapshots.observers import ObserverReading
from jitq_explore.snapshots.recording import Snapshot

T = TypeVar("T")

_Pass: TypeAlias = Callable[..., Any]
_Args: TypeAlias = tuple[Any, ...]
_Kwargs: TypeAlias = dict[str, Any]


@dataclass
class _Frame:
    """A watched function that is being called: the run it works for.

    One that quantizes as a whole gets its run from the first preparation in it. Between its
    preparation and its conversion the user's code runs, which may quantize other models.
    """

    run: Run | None = None
    whole: bool = False
    prepared: Prepared | None = None


class _Frames(threading.local):
    """The watched functions that are being called in this thread, the innermost last."""

    def __init__(self) -> None:
        self.open: list[_Frame] = []

    @property
    def last(self) -> _Frame:
        return self.open[-1] if self.open else _Frame()

    @contextlib.contextmanager
    def entered(self, frame: _Frame) -> Iterator[None]:
        self.open.append(frame)
        try:
            yield
        finally:
            self.open.pop()


class Watcher:
    """Called in place of the real functions: calls those, and sorts what it sees into runs."""

    def __init__(self, log_bytes: int | None = None) -> None:
        self.log_bytes = log_bytes
        self.logs: list[RunLog] = []
        self.skipped: list[str] = []
        self.prepared: list[Prepared] = []
        self.converted: list[Run] = []
        self.frames = _Frames()
        self.timer = CallTimer()
        self.closed = False

    def finish(self) -> None:
        """Record what was calibrated and not converted; let go of all models."""
        self.closed = True
        for prepared in self.prepared:
            self._try(prepared.finish)
        self.prepared.clear()
        self.converted.clear()

    def _try(self, read: Callable[[], T]) -> T | None:
        """What the reading gives; where it fails None: nothing of ours may raise in user code."""
        try:
            return read()
        except Exception as error:
            self.skipped.append(printed(error))
            return None

    def module_pass(self, stage: str, original: _Pass, args: _Args, kwargs: _Kwargs) -> Any:
        """A pass that takes a module: a stage of the run that is under way, if one is."""
        frame = self.frames.last
        run = frame.run
        # In a whole quantization these passes come from preparation and conversion, which have
        # frames of their own; others are the calibration function's.
        if run is None or frame.whole:
            return original(*args, **kwargs)
        rehearsed: tuple[ObserverReading, ...] = ()
        if stage == "insert_quant_dequant" and run.log.recording.mode == "dynamic":
            found = run.attempt(
                stage, lambda: rehearse_weights(wrap(args[0]), run.log.recording.last)
            )
            rehearsed = found or ()

        def read(result: CppModule, _: Snapshot) -> Snapshot:
            run.model = result
            after = run.log.taker.take(wrap(result))
            return after.with_observers(rehearsed) if rehearsed else after

        return run.watch(stage, lambda: original(*args, **kwargs), read, given=args[0])

    def graph_pass(self, stage: str, original: _Pass, args: _Args, kwargs: _Kwargs) -> Any:
        """A pass that takes a graph: a stage if it is one of the run's model."""
        run = self.frames.last.run
        if run is None or not run.attempt(stage, lambda: _owns(run.model, args[0])):
            return original(*args, **kwargs)
        return run.watch(
            stage,
            lambda: original(*args, **kwargs),
            lambda _, before: run.log.taker.retake_graphs(wrap(run.model), before),
        )

    def prepare(
        self, original: _Pass, args: _Args, kwargs: _Kwargs, on_device: bool = False
    ) -> Any:
        """Begins a run."""
        outer = self.frames.last
        given = _arguments(original, args, kwargs)
        run = self._begin(given, on_device)
        try:
            # A preparation compiles observers, and no user's calibration is a part of it.
            with self.frames.entered(_Frame(run)), SCRIPTING:
                model = original(*args, **kwargs)
        finally:
            if run is not None and not run.log.recording.stages and not run.stopped:
                self._forget(run)  # torch has refused the arguments
        prepared = self._try(lambda: self._note_prepared(model, run))
        if outer.whole and outer.prepared is None:
            outer.prepared, outer.run = prepared, run
        return model

    def convert(
        self, original: _Pass, args: _Args, kwargs: _Kwargs, on_device: bool = False
    ) -> Any:
        """Goes on with the run that has prepared the model, or begins one."""
        outer = self.frames.last
        given = _arguments(original, args, kwargs)
        prepared = self._try(lambda: self._prepared_as(given.get("model")))
        run = self._run_of_conversion(prepared, given, on_device)
        if run is None:
            with self.frames.entered(_Frame()):
                return original(*args, **kwargs)
        if prepared is not None and outer.prepared is prepared:
            outer.run = run
        stages = len(run.log.recording)
        try:
            with self.frames.entered(_Frame(run)):
                converted = original(*args, **kwargs)
        except BaseException as error:
            self._conversion_failed(run, prepared, stages, error)
            raise
        run.model = converted._c
        self.converted.append(run)
        return converted

    def quantize(self, original: _Pass, args: _Args, kwargs: _Kwargs) -> Any:
        """Keeps the run open between preparation and conversion, and for the passes after it."""
        frame = _Frame(whole=True)
        try:
            with self.frames.entered(frame):
                return original(*args, **kwargs)
        except BaseException as error:
            prepared = frame.prepared
            if prepared is not None and not prepared.begun:
                self._try(partial(_calibration_failed, prepared, error))
            raise

    def _begin(
        self, given: dict[str, Any], on_device: bool, qconfig: Mapping[str, str] | None = None
    ) -> Run | None:
        """A new run that is recorded."""
        if self.closed:
            return None
        run = self._try(lambda: begin_run(given, on_device, qconfig, self.log_bytes))
        if run is not None:
            self.logs.append(run.log)
        return run

    def _forget(self, run: Run) -> None:
        """As if the run had not begun."""
        self.logs[:] = [log for log in self.logs if log is not run.log]

    def _note_prepared(self, model: ScriptModule, run: Run | None) -> Prepared:
        if run is not None:
            run.model = model._c
        prepared = Prepared(model._c, run)
        if not self.closed:
            self.prepared.append(prepared)
        return prepared

    def _prepared_as(self, model: object) -> Prepared | None:
        """What is known of the model: a preparation has returned it or what it is a copy of."""
        if not isinstance(model, ScriptModule):
            return None
        return next((known for known in self.prepared if known.has_class(model._c)), None)

    def _qconfig_of(self, model: object) -> Mapping[str, str] | None:
        """What was printed of the qconfig dict, of a model that has been converted already."""
        if not isinstance(model, ScriptModule):
            return None
        made_of = model._c._type()
        runs = [run for run in self.converted if run.model._type() == made_of]
        return runs[-1].log.recording.qconfig if runs else None

    def _run_of_conversion(
        self, prepared: Prepared | None, given: dict[str, Any], on_device: bool
    ) -> Run | None:
        """The run that goes on with the conversion of that model, its calibration recorded."""
        if prepared is None:
            qconfig = self._try(lambda: self._qconfig_of(given.get("model")))
            run = self._begin(given, on_device, qconfig)
        else:
            first = not prepared.begun
            run = prepared.next_run()
            if run is not None and not first:
                self.logs.append(run.log)
            if run is not None:
                prepared.add_calibration(run, given["model"]._c)
        if run is not None:
            noted = run.attempt("convert", lambda: with_options(run.log.recording, given))
            run.log.recording = noted or run.log.recording
        return run

    def _conversion_failed(
        self, run: Run, prepared: Prepared | None, stages: int, error: BaseException
    ) -> None:
        recording = run.log.recording
        if len(recording) > stages or run.stopped:
            if recording.error is None:  # it came between two passes
                run.note(f"the conversion ended with {printed(error)}")
        elif prepared is not None and prepared.run is run and prepared.recording is not None:
            # Refused before the first pass: the preparation still waits for its conversion.
            run.log.recording = prepared.recording
            prepared.begun = False
        else:
            self._forget(run)

    def call_begins(self, module: torch.nn.Module, args: object) -> None:
        """Before the call of any module."""
        if isinstance(module, ScriptModule):
            prepared = self._try(lambda: self._prepared_as(module))
            if prepared is not None:
                self.timer.begin(module, prepared)

    def call_ends(self, module: torch.nn.Module, args: object, result: object) -> None:
        """After the call of any module that has succeeded."""
        self._try(lambda: self.timer.end(module))


def _calibration_failed(prepared: Prepared, error: BaseException) -> None:
    run = prepared.next_run()
    if run is not None:
        prepared.add_calibration(run, prepared.model, describe_error(error))


def _arguments(function: _Pass, args: _Args, kwargs: _Kwargs) -> dict[str, Any]:
    """The arguments of a call by name, defaults included; none if the call will be refused."""
    try:
        bound = inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        return {}
    bound.apply_defaults()
    return dict(bound.arguments)


def _owns(model: CppModule, graph: object) -> bool:
    """Whether the graph is that of one of the model's methods.

    pybind hands out one Python object for one C++ graph as long as that object lives, and the
    caller holds it.
    """
    return any(model._get_method(name).graph is graph for name in model._method_names())
