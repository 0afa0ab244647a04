"""Measures what the float and the quantized model cost: time, by op as well, and bytes."""

from __future__ import annotations

import io
import math
import statistics
import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.jit import ScriptModule
from torch.profiler import ProfilerActivity, profile

from jitq_explore.capture.batches import checked_batches
from jitq_explore.capture.hush import Heard, hushed, kept_warnings
from jitq_explore.capture.session import Session
from jitq_explore.capture.torch_types import wrap
from jitq_explore.snapshots.costs import Costs, ModelCost, OpCost

WARM_UP = 3
"""Calls before any is timed: in the first ones TorchScript profiles and compiles."""

PROFILED = 5
"""Calls that the profiler looks at."""


def costs(
    session: Session, inputs: Any, engines: Sequence[str] | None = None, *, seconds: float = 1.0
) -> Costs:
    """Time and size of the float model, and of the quantized one on each engine.

    `inputs` is as for `compare`; several batches are taken in turn. `engines` are names of
    `torch.backends.quantized.supported_engines` (default: the session's own). Weights are packed
    for one engine, so for any other the whole run is made again, calibration included. Each model
    is timed for about `seconds`. The engine is put back afterwards.

    ValueError for an engine that does not exist, for inputs that do not fit and where the session
    has stages to come.
    """
    wanted = _checked_engines(session, engines)
    batches = list(checked_batches(session, inputs))
    float_model = session.float_model()
    found = [_cost("float", "", float_model, batches, seconds)]
    for engine in wanted:
        found.append(_on_engine(session, engine, batches, seconds))
    return Costs(tuple(found), torch.get_num_threads(), len(batches))


def _checked_engines(session: Session, engines: Sequence[str] | None) -> tuple[str, ...]:
    if session.recording.mode == "on_device":
        raise ValueError("costs are measured of static and dynamic sessions, not on-device ones")
    if session.stages:
        raise ValueError(f"the session has stages to come: {list(session.stages)}; run it first")
    own = session.recording.engine
    wanted = (own,) if engines is None else (engines,) if isinstance(engines, str) else engines
    supported = torch.backends.quantized.supported_engines
    unknown = [name for name in wanted if name not in supported]
    if unknown:
        raise ValueError(f"unknown engine {unknown[0]!r} (must be one of {supported})")
    return tuple(dict.fromkeys(wanted))


def _on_engine(
    session: Session, engine: str, batches: list[tuple[Any, ...]], seconds: float
) -> ModelCost:
    name = session.recording.mode
    try:
        if engine != session.recording.engine:
            with hushed(Heard()), kept_warnings([]):
                session = session.with_engine(engine)
                session.run()
        with session.measured():
            return _cost(name, engine, session.module, batches, seconds)
    except Exception as error:  # torch raises whatever; the other engines are still measured
        first = next(iter(str(error).strip().splitlines()[-1:]), "")
        failed = f"{type(error).__name__}: {first}"
        return ModelCost(name, engine, math.nan, math.nan, None, (), failed)


def _cost(
    name: str,
    engine: str,
    model: ScriptModule,
    batches: list[tuple[Any, ...]],
    seconds: float,
) -> ModelCost:
    with torch.no_grad(), hushed(Heard()), kept_warnings([]):
        for batch in batches * WARM_UP:
            model(*batch)
        times = list(_timed(model, batches, seconds))
        ops = _by_op(model, batches)
    return ModelCost(
        name, engine, 1000 * statistics.median(times), 1000 * min(times), _nbytes(model), ops
    )


def _timed(model: ScriptModule, batches: list[tuple[Any, ...]], seconds: float) -> Iterator[float]:
    end = time.perf_counter() + seconds
    while True:
        for batch in batches:
            start = time.perf_counter()
            model(*batch)
            yield time.perf_counter() - start
        if time.perf_counter() > end:
            return


def _by_op(model: ScriptModule, batches: list[tuple[Any, ...]]) -> tuple[OpCost, ...]:
    calls = PROFILED * len(batches)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for batch in batches * PROFILED:
            model(*batch)
    found = [
        OpCost(seen.key, seen.count / calls, seen.self_cpu_time_total / 1000 / calls)
        for seen in profiler.key_averages()
        if "::" in seen.key
    ]
    return tuple(sorted(found, key=lambda op: -op.milliseconds))


def _nbytes(model: ScriptModule) -> int | None:
    buffer = io.BytesIO()
    try:
        torch.jit.save(model if isinstance(model, ScriptModule) else wrap(model._c), buffer)
    except RuntimeError:
        return None
    return buffer.tell()
