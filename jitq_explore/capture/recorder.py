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
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial, wraps
from types import ModuleType
from typing import Any, TypeAlias

import torch
from torch.ao.quantization.quant_type import QuantType
from torch.jit import ScriptModule
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)

from jitq_explore.capture.read_modules import type_name
from jitq_explore.capture.rehearsal import rehearse_weights
from jitq_explore.capture.run_log import RunLog, Watched, describe_error, new_recording
from jitq_explore.capture.stages import CALIBRATE, planned_stages
from jitq_explore.capture.take import SnapshotTaker
from jitq_explore.capture.torch_types import CppModule, wrap
from jitq_explore.capture.torch_version import require_supported_torch
from jitq_explore.snapshots.observers import ObserverReading
from jitq_explore.snapshots.recording import Recording, Snapshot, StageError

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

_Pass: TypeAlias = Callable[..., Any]
_Args: TypeAlias = tuple[Any, ...]
_Kwargs: TypeAlias = dict[str, Any]

_lock = threading.Lock()
"""Held while a `record()` is open: what it replaces cannot be replaced twice."""


@dataclass
class _Run:
    """One pipeline being recorded: its log, and the model it has come to."""

    log: RunLog
    model: CppModule
    calls: Watched = field(default_factory=lambda: Watched(batches=0))
    converted: bool = False

    @property
    def mode(self) -> str:
        return self.log.recording.mode

    @property
    def awaits_calibration(self) -> bool:
        names = self.log.recording.names
        failed = self.log.recording.error is not None
        return self.mode == "static" and names[-1:] == ("insert_observers",) and not failed


@dataclass
class Recorder:
    """What `record()` gives: the recordings of the runs seen so far, one a pipeline, in order."""

    _runs: list[_Run] = field(default_factory=list)

    @property
    def recordings(self) -> tuple[Recording, ...]:
        """One recording a pipeline, in the order in which they began."""
        return tuple(run.log.recording for run in self._runs)


@contextlib.contextmanager
def record() -> Iterator[Recorder]:
    """Watch torch's `prepare_jit`, `convert_jit`, `quantize_jit`, `quantize_dynamic_jit` and the
    on-device functions (and those of `jitq_explore.quantize_jit`) while this is open.

    The code watched runs as it would without; what it raises is recorded and raised. A preparation
    and the conversion of what it returned are one recording. Everything is put back when this
    closes, also after an error. RuntimeError when another `record()` is open.
    """
    require_supported_torch()
    if not _lock.acquire(blocking=False):
        raise RuntimeError("a jq.record() is open already: close it first")
    with contextlib.ExitStack() as stack:
        stack.callback(_lock.release)
        recorder = Recorder()
        _Watcher(recorder).install(stack)
        yield recorder


class _Watcher:
    """Puts watching functions in place of the real ones and sorts what they see into runs."""

    def __init__(self, recorder: Recorder) -> None:
        self.runs = recorder._runs
        self.open: _Run | None = None  # the run that passes seen now belong to
        self.in_quantize = False
        self.call_began = 0.0

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

    def _replace(
        self, stack: contextlib.ExitStack, owner: ModuleType, name: str, watch: Callable[..., Any]
    ) -> None:
        original = getattr(owner, name)

        @wraps(original)
        def watched(*args: Any, **kwargs: Any) -> Any:
            return watch(original, args, kwargs)

        setattr(owner, name, watched)
        stack.callback(setattr, owner, name, original)

    def _module_pass(self, stage: str, original: _Pass, args: _Args, kwargs: _Kwargs) -> Any:
        run = self.open
        if run is None:
            return original(*args, **kwargs)
        rehearsed: tuple[ObserverReading, ...] = ()
        if stage == "insert_quant_dequant" and run.mode == "dynamic":
            observed = wrap(args[0])
            rehearsed = rehearse_weights(observed, run.log.recording.last)

        def read(result: CppModule, _: Snapshot) -> Snapshot:
            run.model = result
            after = run.log.taker.take(wrap(result))
            return after.with_observers(rehearsed) if rehearsed else after

        return run.log.watch(stage, lambda _: original(*args, **kwargs), read)

    def _graph_pass(self, stage: str, original: _Pass, args: _Args, kwargs: _Kwargs) -> Any:
        run = self.open
        if run is None or not _owns(run.model, args[0]):
            return original(*args, **kwargs)
        model = wrap(run.model)
        return run.log.watch(
            stage,
            lambda _: original(*args, **kwargs),
            lambda _, before: run.log.taker.retake_graphs(model, before),
        )

    def _prepare(
        self, original: _Pass, args: _Args, kwargs: _Kwargs, on_device: bool = False
    ) -> Any:
        run = self._begin(_arguments(original, args, kwargs), on_device)
        with self._opened(run):
            prepared = original(*args, **kwargs)
        if run is not None:
            run.model = prepared._c
        return prepared

    def _convert(
        self, original: _Pass, args: _Args, kwargs: _Kwargs, on_device: bool = False
    ) -> Any:
        given = _arguments(original, args, kwargs)
        run = self._run_that_prepared(given["model"]) or self._begin(given, on_device)
        if run is not None:
            if run.awaits_calibration:
                self._add_calibration(run, None)
            _note_options(run, given)
        with self._opened(run):
            converted = original(*args, **kwargs)
        if run is not None:
            run.model = converted._c
            run.converted = True
        return converted

    def _quantize(self, original: _Pass, args: _Args, kwargs: _Kwargs) -> Any:
        """Keeps the run open between preparation and conversion, and for the passes after it."""
        self.in_quantize = True
        try:
            return original(*args, **kwargs)
        except BaseException as error:
            if self.open is not None and self.open.awaits_calibration:
                self._add_calibration(self.open, describe_error(error))
            raise
        finally:
            self.in_quantize = False
            self.open = None

    def _begin(self, given: Mapping[str, Any], on_device: bool) -> _Run | None:
        """A new run, unless what was given is so wrong that the real function will refuse it."""
        model, qconfig_dict = given["model"], given.get("qconfig_dict", {})
        if not isinstance(model, ScriptModule) or not isinstance(qconfig_dict, Mapping):
            return None
        mode = "on_device" if on_device else _mode_of(given["quant_type"])
        taker = SnapshotTaker(_method_of(given))
        recording = new_recording(mode, model, taker, dict(qconfig_dict), planned_stages(mode))
        run = _Run(RunLog(recording, taker), model._c)
        self.runs.append(run)
        return run

    @contextlib.contextmanager
    def _opened(self, run: _Run | None) -> Iterator[None]:
        before, self.open = self.open, run
        try:
            yield
        finally:
            if not self.in_quantize:
                self.open = before

    def _run_that_prepared(self, model: object) -> _Run | None:
        if not isinstance(model, ScriptModule):
            return None
        return next((run for run in reversed(self.runs) if _is_prepared_model(run, model)), None)

    def _add_calibration(self, run: _Run, error: StageError | None) -> None:
        """What happened to the observers between preparation and now."""
        before = run.log.recording.last
        after = run.log.taker.retake_observers(wrap(run.model), before)
        run.log.add(CALIBRATE, before, after, run.calls, error)

    def _call_begins(self, module: torch.nn.Module, args: object) -> None:
        self.call_began = time.perf_counter()

    def _call_ends(self, module: torch.nn.Module, args: object, result: object) -> None:
        for run in self.runs:
            if run.awaits_calibration and _is_prepared_model(run, module):
                run.calls.batches = (run.calls.batches or 0) + 1
                run.calls.seconds += time.perf_counter() - self.call_began


def _arguments(function: _Pass, args: _Args, kwargs: _Kwargs) -> dict[str, Any]:
    """The arguments of a call by name, defaults included."""
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    return dict(bound.arguments)


def _mode_of(quant_type: QuantType) -> str:
    return "static" if quant_type == QuantType.STATIC else "dynamic"


def _method_of(given: Mapping[str, Any]) -> str:
    name = given.get("method_name", "forward")
    return str(name)


def _owns(model: CppModule, graph: object) -> bool:
    """Whether the graph is that of one of the model's methods.

    pybind hands out one Python object for one C++ graph as long as that object lives, and the
    caller holds it.
    """
    return any(model._get_method(name).graph is graph for name in model._method_names())


def _is_prepared_model(run: _Run, module: object) -> bool:
    """Whether this is the model that the run has prepared: a preparation makes a class of its
    own."""
    if run.converted or not isinstance(module, ScriptModule):
        return False
    return bool(run.log.recording.stages) and type_name(module._c) == type_name(run.model)


def _note_options(run: _Run, given: Mapping[str, Any]) -> None:
    """What only the conversion knows of the run."""
    run.log.recording = replace(
        run.log.recording,
        debug=bool(given["debug"]),
        preserved_attrs=tuple(given.get("preserved_attrs") or ()),
        planned=planned_stages(run.mode, debug=bool(given["debug"])),
    )
