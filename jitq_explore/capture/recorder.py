"""`record()`: watch existing code that calls torch's quantization functions, or ours.

While it is open, the C++ passes in `torch._C` are replaced by watching ones, which every caller
finds at the time of the call, however it imported torch's functions. Five functions that enclose
the passes are replaced as well, in torch's module and in ours, to learn what the passes do not
know: the model as it was given, the qconfig dict, and where one run ends and the next begins.
"""

from __future__ import annotations

import contextlib
import importlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial, wraps
from types import ModuleType
from typing import Any

import torch
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)

from jitq_explore.capture.guard import GUARDED, guarded
from jitq_explore.capture.jit_log import LOG_BYTES
from jitq_explore.capture.recorder_watcher import Watcher
from jitq_explore.capture.run_log import RunLog
from jitq_explore.capture.torch_version import require_supported_torch
from jitq_explore.snapshots.recording import Recording

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

_lock = threading.Lock()
"""Held while a `record()` is open: what it replaces cannot be replaced twice."""


@dataclass
class Recorder:
    """What `record()` gives: the recordings of the runs seen so far, one a pipeline, in order.

    `skipped` says of the models that could not be read at all why there is no recording.
    """

    _logs: list[RunLog]
    skipped: list[str]

    @property
    def recordings(self) -> tuple[Recording, ...]:
        """One recording a pipeline, in the order in which they began."""
        return tuple(log.recording for log in self._logs)


@contextlib.contextmanager
def record(*, deep: bool = False, log_bytes: int = LOG_BYTES) -> Iterator[Recorder]:
    """Watch torch's `prepare_jit`, `convert_jit`, `quantize_jit`, `quantize_dynamic_jit` and the
    on-device functions (and those of `jitq_explore.quantize_jit`) while this is open.

    The code watched runs as it would without; what it raises is recorded and raised. A preparation
    and the conversion of what it returned, or of a copy of that, are one recording; further
    conversions of it have recordings of their own, which begin with the same preparation. A run
    that cannot be read is recorded up to there, with the reason among its `warnings`. Everything is
    put back when this closes, also after an error. A pass that would end the process is not run:
    WouldCrashError is raised in its place. RuntimeError when another `record()` is open.

    With `deep` the passes' own log is heard as well, up to `log_bytes` a pass: see
    `Session.static`.
    """
    require_supported_torch()
    if not _lock.acquire(blocking=False):
        raise RuntimeError("a jq.record() is open already: close it first")
    with contextlib.ExitStack() as stack:
        stack.callback(_lock.release)
        watcher = Watcher(log_bytes if deep else None)
        # Called last, when everything has been put back.
        stack.callback(watcher.finish)
        _install(watcher, stack)
        yield Recorder(watcher.logs, watcher.skipped)


def _install(watcher: Watcher, stack: contextlib.ExitStack) -> None:
    """Replace every watched function; `stack` puts them back."""
    for name in GUARDED:
        stack.callback(setattr, torch._C, name, getattr(torch._C, name))
        setattr(torch._C, name, guarded(name))
    for name, stage in _MODULE_PASSES.items():
        _replace(stack, torch._C, name, partial(watcher.module_pass, stage))
    for name, stage in _GRAPH_PASSES.items():
        _replace(stack, torch._C, name, partial(watcher.graph_pass, stage))
    for module in map(importlib.import_module, _WATCHED_MODULES):
        _replace(stack, module, "_prepare_jit", watcher.prepare)
        _replace(stack, module, "_prepare_ondevice_jit", partial(watcher.prepare, on_device=True))
        _replace(stack, module, "_convert_jit", watcher.convert)
        _replace(stack, module, "_convert_ondevice_jit", partial(watcher.convert, on_device=True))
        _replace(stack, module, "_quantize_jit", watcher.quantize)
    stack.callback(register_module_forward_pre_hook(watcher.call_begins).remove)
    stack.callback(register_module_forward_hook(watcher.call_ends).remove)


def _replace(
    stack: contextlib.ExitStack, owner: ModuleType, name: str, watch: Callable[..., Any]
) -> None:
    original = getattr(owner, name)

    @wraps(original)
    def watched(*args: Any, **kwargs: Any) -> Any:
        return watch(original, args, kwargs)

    setattr(owner, name, watched)
    stack.callback(setattr, owner, name, original)
