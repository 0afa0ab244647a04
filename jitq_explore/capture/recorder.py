"""`record()`: watch existing code that calls torch's quantization functions, or ours.

While it is open, the C++ passes in `torch._C` are replaced by watching ones, which every caller
finds at the time of the call, however it imported torch's functions. Five functions that enclose
the passes are replaced as well, in torch's module and in ours, to learn what the passes do not
know: the model as it was given, the qconfig dict, and where one run ends and the next begins.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial, wraps
from types import ModuleType
from typing import Any, TypeAlias, TypeVar

import torch
from torch.jit import ScriptModule
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)

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
from jitq_explore.capture.torch_types import CppModule, wrap
from jitq_explore.capture.torch_version import require_supported_torch
from jitq_explore.snapshots.observers import ObserverReading
from jitq_explore.snapshots.recording import Recording, Snapshot

_WATCHED_MODULES = ("torch.ao.quantization.quantize_jit", "jitq_explore.quantize_jit")

# The passes that take a module, and those that take one method's graph, with the stage of each.
_MODULE_PASSES = {
    "_jit_pass_fold_convbn": "fold_conv_bn",
    "_jit_pass_insert_observers": "insert_observers",
    "_jit_pass_insert_quant_dequant": "insert_quant_dequant",
    "_jit_pass_quant_finalize": "quant_finalize",
    "_jit_pass_insert_observer_method_for_ondevice_ptq": "insert_observer_method",
    "_jit_pass_insert_quant_dequant_for_ondevice_ptq": "insert_quant_dequant_method",
    "_jit_pass_quant_finalize_for_ondevice_ptq": "quant_finalize_method",
}
_GRAPH_PASSES = {
    "_jit_pass_inline": "inline",
    "_jit_pass_constant_propagation": "constant_propagation",
    "_jit_pass_dce": "dce",
}

T = TypeVar("T")

_Pass: TypeAlias = Callable[..., Any]
_Args: TypeAlias = tuple[Any, ...]
_Kwargs: TypeAlias = dict[str, Any]

_lock = threading.Lock()
"""Held while a `record()` is open: what it replaces cannot be replaced twice."""


@dataclass
class Recorder:
    """What `record()` gives: the recordings of the runs seen so far, one a pipeline, in order.

    `skipped` says of the models that could not be read at all why there is no recording.
    """

    skipped: list[str] = field(default_factory=list)
    _logs: list[RunLog] = field(default_factory=list)

    @property
    def recordings(self) -> tuple[Recording, ...]:
        """One recording a pipeline, in the order in which they began."""
        return tuple(log.recording for log in self._logs)


@contextlib.contextmanager
def record() -> Iterator[Recorder]:
    """Watch torch's `prepare_jit`, `convert_jit`, `quantize_jit`, `quantize_dynamic_jit` and the
    on-device functions (and those of `jitq_explore.quantize_jit`) while this is open.

    The code watched runs as it would without; what it raises is recorded and raised. A preparation
    and the conversion of what it returned, or of a copy of that, are one recording; further
    conversions of it have recordings of their own, which begin with the same preparation. A run
    that cannot be read is recorded up to there, with the reason among its `warnings`. Everything is
    put back when this closes, also after an error. RuntimeError when another `record()` is open.
    """
    require_supported_torch()
    if not _lock.acquire(blocking=False):
        raise RuntimeError("a jq.record() is open already: close it first")
    with contextlib.ExitStack() as stack:
        stack.callback(_lock.release)
        recorder = Recorder()
        watcher = _Watcher(recorder)
        stack.callback(watcher.finish)
        watcher.install(stack)
        yield recorder


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


class _Watcher:
    """Puts watching functions in place of the real ones and sorts what they see into runs."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.prepared: list[Prepared] = []
        self.frames = _Frames()
        self.timer = CallTimer()
        self.closed = False

    def install(self, stack: contextlib.ExitStack) -> None:
        """Replace every watched function; `stack` puts them back."""
        for name, stage in _MODULE_PASSES.items():
            self._replace(stack, torch._C, name, partial(self._module_pass, stage))
        for name, stage in _GRAPH_PASSES.items():
            self._replace(stack, torch._C, name, partial(self._graph_pass, stage))
        for module in map(importlib.import_module, _WATCHED_MODULES):
            self._replace(stack, module, "_prepare_jit", self._prepare)
            self._replace(
                stack, module, "_prepare_ondevice_jit", partial(self._prepare, on_device=True)
            )
            self._replace(stack, module, "_convert_jit", self._convert)
            self._replace(
                stack, module, "_convert_ondevice_jit", partial(self._convert, on_device=True)
            )
            self._replace(stack, module, "_quantize_jit", self._quantize)
        stack.callback(register_module_forward_pre_hook(self._call_begins).remove)
        stack.callback(register_module_forward_hook(self._call_ends).remove)

    def finish(self) -> None:
        """Record what was calibrated and not converted; let go of all models."""
        self.closed = True
        for prepared in self.prepared:
            self._try(prepared.finish)
        self.prepared.clear()

    def _replace(
        self, stack: contextlib.ExitStack, owner: ModuleType, name: str, watch: Callable[..., Any]
    ) -> None:
        original = getattr(owner, name)

        @wraps(original)
        def watched(*args: Any, **kwargs: Any) -> Any:
            return watch(original, args, kwargs)

        setattr(owner, name, watched)
        stack.callback(setattr, owner, name, original)

    def _try(self, read: Callable[[], T]) -> T | None:
        """What the reading gives; where it fails None: nothing of ours may raise in user code."""
        try:
            return read()
        except Exception as error:
            self.recorder.skipped.append(printed(error))
            return None

    def _module_pass(self, stage: str, original: _Pass, args: _Args, kwargs: _Kwargs) -> Any:
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

        return run.watch(stage, lambda: original(*args, **kwargs), read)

    def _graph_pass(self, stage: str, original: _Pass, args: _Args, kwargs: _Kwargs) -> Any:
        run = self.frames.last.run
        if run is None or not run.attempt(stage, lambda: _owns(run.model, args[0])):
            return original(*args, **kwargs)
        model = wrap(run.model)
        return run.watch(
            stage,
            lambda: original(*args, **kwargs),
            lambda _, before: run.log.taker.retake_graphs(model, before),
        )

    def _prepare(
        self, original: _Pass, args: _Args, kwargs: _Kwargs, on_device: bool = False
    ) -> Any:
        outer = self.frames.last
        given = _arguments(original, args, kwargs)
        run = self._begin(given, on_device)
        try:
            with self.frames.entered(_Frame(run)):
                model = original(*args, **kwargs)
        finally:
            if run is not None and not run.log.recording.stages and not run.stopped:
                self._forget(run)  # torch has refused the arguments
        prepared = self._try(lambda: self._note_prepared(model, run))
        if outer.whole and outer.prepared is None:
            outer.prepared, outer.run = prepared, run
        return model

    def _convert(
        self, original: _Pass, args: _Args, kwargs: _Kwargs, on_device: bool = False
    ) -> Any:
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
        finally:
            if prepared is not None and given["inplace"] and len(run.log.recording) > stages:
                prepared.rewritten = True
        run.model = converted._c
        return converted

    def _quantize(self, original: _Pass, args: _Args, kwargs: _Kwargs) -> Any:
        """Keeps the run open between preparation and conversion, and for the passes after it."""
        frame = _Frame(whole=True)
        try:
            with self.frames.entered(frame):
                return original(*args, **kwargs)
        except BaseException as error:
            prepared = frame.prepared
            if prepared is not None and not prepared.begun:
                self._try(lambda: _calibration_failed(prepared, error))
            raise

    def _begin(
        self, given: dict[str, Any], on_device: bool, like: Prepared | None = None
    ) -> Run | None:
        """A new run that is recorded; with the qconfig dict of a known preparation."""
        if self.closed:
            return None
        qconfig = like.recording.qconfig if like is not None and like.recording else None
        run = self._try(lambda: begin_run(given, on_device, qconfig))
        if run is not None:
            self.recorder._logs.append(run.log)
        return run

    def _forget(self, run: Run) -> None:
        """As if the run had not begun."""
        self.recorder._logs[:] = [log for log in self.recorder._logs if log is not run.log]

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

    def _run_of_conversion(
        self, prepared: Prepared | None, given: dict[str, Any], on_device: bool
    ) -> Run | None:
        """The run that goes on with the conversion of that model, its calibration recorded."""
        if prepared is None or (prepared.recorded and prepared.rewritten):
            # Of a class rewritten in place no stage of the preparation says what it is now.
            run = self._begin(given, on_device, prepared)
        else:
            first = not prepared.begun
            run = prepared.next_run()
            if run is not None and not first:
                self.recorder._logs.append(run.log)
            if run is not None:
                prepared.add_calibration(run, given["model"]._c)
        if run is not None:
            run.log.recording = with_options(run.log.recording, given)
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

    def _call_begins(self, module: torch.nn.Module, args: object) -> None:
        if isinstance(module, ScriptModule):
            prepared = self._try(lambda: self._prepared_as(module))
            if prepared is not None and not prepared.rewritten:
                self.timer.begin(module, prepared)

    def _call_ends(self, module: torch.nn.Module, args: object, result: object) -> None:
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
