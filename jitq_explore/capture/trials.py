"""Quantizing a model under one qconfig dict after another, in this process or in another one.

A `Job` is all that the trials of one model have in common, packed once into plain bytes; a trial
adds a qconfig dict's difference. Nothing in it refers to the process that made it.
"""

from __future__ import annotations

import functools
import io
import math
import pickle
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from multiprocessing.synchronize import Event
from typing import Any, Protocol

import torch
from torch.ao.quantization.quant_type import QuantType
from torch.jit import ScriptModule

from jitq_explore.capture import stages
from jitq_explore.capture.engines import engine_in_force
from jitq_explore.capture.hush import Heard, hushed, kept_warnings
from jitq_explore.capture.qconfig_changes import only_at, with_qconfig_at
from jitq_explore.capture.qconfigs import shared_script_qconfig_dict
from jitq_explore.capture.replay import Call, replay
from jitq_explore.capture.torch_types import unoptimized

ONE, ALL_BUT_ONE, ALL, NONE = "one", "all_but_one", "all", "none"
"""What a trial quantizes: one module alone, everything else, everything, nothing."""


class Metric(Protocol):
    """Rates a model; a larger number is a better model."""

    def __call__(self, model: ScriptModule, /) -> float:
        """A number for the model."""
        ...


class CannotPackError(ValueError):
    """Something that another process needs cannot be sent to it."""


@dataclass(frozen=True)
class Job:
    """What all trials of one model have in common; `model` is its saved TorchScript file."""

    model: bytes
    paths: tuple[str, ...]
    qconfig_dict: Mapping[str, Any]
    calls: tuple[Call, ...]
    inputs: tuple[Call, ...]
    mode: str
    debug: bool
    preserved_attrs: tuple[str, ...]
    engine: str
    metric: Metric | None


@dataclass(frozen=True)
class Outcome:
    """One trial: `sqnr` of the model's output in dB against the float model (NaN with `error`),
    `metric` where one was given, `quantized` the number of quantized ops that came out."""

    way: str
    module: str
    sqnr: float = math.nan
    metric: float = math.nan
    quantized: int = 0
    seconds: float = math.nan
    error: str = ""


def pack(job: Job) -> bytes:
    """The job as bytes; CannotPackError says what cannot be sent, and what to do."""
    if not _needs_more_than_pickle(job):
        return pickle.dumps(job)
    try:
        import cloudpickle

        packed: bytes = cloudpickle.dumps(job)
    except Exception as error:
        raise CannotPackError(_advice(job, error)) from error
    return packed


def _needs_more_than_pickle(job: Job) -> bool:
    """pickle sends functions by name, and a notebook's names mean nothing in another process."""
    try:
        plain = pickle.dumps(job)
    except Exception:
        return True
    in_notebook = not hasattr(sys.modules["__main__"], "__file__")
    return in_notebook and b"__main__" in plain


def _advice(job: Job, error: Exception) -> str:
    parts = {"the metric": job.metric, "the qconfig dict": job.qconfig_dict}
    guilty = [name for name, part in parts.items() if part is not None and not _picklable(part)]
    what = " and ".join(guilty) or "the calibration data or the inputs"
    return (
        f"{what} cannot be sent to another process ({error}): define functions and classes at the "
        "top level of a module and import them from there, or install cloudpickle, or stay in this "
        "process with executor=concurrent.futures.ThreadPoolExecutor(1)"
    )


def _picklable(part: object) -> bool:
    try:
        return b"__main__" not in pickle.dumps(part)
    except Exception:
        return False


_received: bytes | None = None


def receive(packed: bytes, threads: int, started: Event) -> None:
    """Keep the job for all trials of this process, which shares the machine with others, and tell
    that there is one."""
    global _received
    started.set()
    # Ctrl-C in a terminal reaches all processes; only the one that asked for the trials handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _received = packed
    torch.set_num_threads(threads)


def run_received(way: str, module: str) -> Outcome:
    """A trial of the job that this process has received."""
    assert _received is not None, "no job was received"
    # Python's warnings can be caught in a process of one thread alone.
    with kept_warnings([]):
        return run_packed(_received, way, module)


def run_packed(packed: bytes, way: str, module: str) -> Outcome:
    """A trial of a job that came from another process."""
    return _timed(lambda: _unpacked(packed), way, module)


def run_here(worker: Worker, way: str, module: str) -> Outcome:
    """A trial of a job of this process."""
    return _timed(lambda: worker, way, module)


@functools.lru_cache(maxsize=1)
def _unpacked(packed: bytes) -> Worker:
    return Worker(pickle.loads(packed))


def _timed(worker: Callable[[], Worker], way: str, module: str) -> Outcome:
    """The outcome; whatever is raised on the way to it is its error."""
    begin = time.perf_counter()
    try:
        outcome = worker().run(way, module)
    except Exception as error:
        outcome = Outcome(way, module, error=first_line(error))
    return replace(outcome, seconds=time.perf_counter() - begin)


def first_line(error: Exception) -> str:
    """The error on one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


class Worker:
    """Runs the trials of one job; what the float model gives is computed once."""

    def __init__(self, job: Job) -> None:
        self.job = job

    @functools.cached_property
    def _expected(self) -> list[list[torch.Tensor]]:
        return list(model_outputs(self._float(), self.job.inputs))

    def _float(self) -> ScriptModule:
        loaded: ScriptModule = torch.jit.load(io.BytesIO(self.job.model))
        return loaded.eval()

    def run(self, way: str, module: str) -> Outcome:
        """One trial."""
        job = self.job
        with hushed(Heard()), engine_in_force(job.engine):
            model = self._float()
            if way != NONE:
                model = quantize(model, _qconfig_dict(job, way, module), job)
            return Outcome(
                way,
                module,
                sqnr=sqnr(self._expected, model_outputs(model, job.inputs)),
                metric=math.nan if job.metric is None else float(job.metric(model)),
                quantized=sum(map(_is_quantized, _kinds(model.inlined_graph))),
            )


def _kinds(block: Any) -> Iterator[str]:
    for node in block.nodes():
        yield node.kind()
        for inner in node.blocks():
            yield from _kinds(inner)


def _is_quantized(kind: str) -> bool:
    return kind.startswith(("quantized::", "aten::quantize_"))


def _qconfig_dict(job: Job, way: str, module: str) -> dict[str, Any]:
    if way == ONE:
        return only_at(job.qconfig_dict, module, job.paths)
    if way == ALL_BUT_ONE:
        return with_qconfig_at(job.qconfig_dict, module, None, job.paths)
    return dict(job.qconfig_dict)


def quantize(model: ScriptModule, qconfig_dict: Mapping[str, Any], job: Job) -> ScriptModule:
    """The model after all stages of the job's mode; no snapshots are taken on the way."""
    options = stages.Options(
        qconfigs=shared_script_qconfig_dict(qconfig_dict),
        quant_type=QuantType.STATIC if job.mode == "static" else QuantType.DYNAMIC,
        debug=job.debug,
        preserved_attrs=job.preserved_attrs,
        separate=True,
    )
    for stage in stages.PREPARE:
        model = stage.apply(model, options)
    if job.mode == "static":
        with unoptimized():
            replay(model, job.calls)
    for stage in stages.CONVERT_DEBUG if job.debug else stages.CONVERT:
        model = stage.apply(model, options)
    return model


def model_outputs(model: ScriptModule, calls: tuple[Call, ...]) -> Iterator[list[torch.Tensor]]:
    """The float tensors that each call returns, dequantized."""
    with torch.no_grad(), unoptimized():
        for call in calls:
            yield list(_float_tensors(call.of(model)))


def _float_tensors(output: Any) -> Iterator[torch.Tensor]:
    if isinstance(output, torch.Tensor):
        if output.is_quantized or output.is_floating_point():
            yield (output.dequantize() if output.is_quantized else output).double()
    elif isinstance(output, Mapping):
        for part in output.values():
            yield from _float_tensors(part)
    elif isinstance(output, tuple | list):
        for part in output:
            yield from _float_tensors(part)


def sqnr(expected: list[list[torch.Tensor]], got: Iterator[list[torch.Tensor]]) -> float:
    """20·log10(‖expected‖ / ‖expected − got‖) over all outputs of all inputs; inf where equal."""
    signal = noise = 0.0
    for wanted, given in zip(expected, got, strict=True):
        for x, y in zip(wanted, given, strict=True):
            signal += float(x.square().sum())
            noise += float((x - y).square().sum())
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf
