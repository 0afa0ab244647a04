"""Which modules cost the most accuracy: quantize one at a time, and all but one."""

from __future__ import annotations

import concurrent.futures as futures
import io
import multiprocessing
import os
import warnings
from collections.abc import Callable, Generator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import asdict, fields
from functools import partial
from typing import Any

import pandas as pd
import torch
from tqdm.auto import tqdm

from jitq_explore.capture.batches import checked_calls
from jitq_explore.capture.calls import can_show_progress
from jitq_explore.capture.qconfig_changes import qconfig_of
from jitq_explore.capture.qconfigs import levels_to_caller
from jitq_explore.capture.session import Session
from jitq_explore.capture.trials import (
    ALL,
    ALL_BUT_ONE,
    NONE,
    ONE,
    Job,
    Metric,
    Outcome,
    Worker,
    pack,
    receive,
    run_here,
    run_packed,
    run_received,
)
from jitq_explore.snapshots.deciding import quantizable_modules

SENSITIVITY_COLUMNS = ("way", "module", "rank", "sqnr", "metric", "quantized", "seconds", "error")

_WAYS = {"one": (ONE,), "all_but_one": (ALL_BUT_ONE,), "both": (ONE, ALL_BUT_ONE)}

_DIED = "the process that ran it died: torch's passes end it on some models"
_NONE_STARTED = (
    "no new process could be started. Each of them imports the script again: what the script does "
    'has to stand behind `if __name__ == "__main__":`; or stay in this process with '
    "executor=concurrent.futures.ThreadPoolExecutor(1)"
)

Trial = tuple[str, str]
"""(way, module)."""


def sensitivity(
    session: Session,
    inputs: Any,
    *,
    metric: Metric | None = None,
    which: str = "one",
    modules: Sequence[str] | None = None,
    executor: futures.Executor | None = None,
    previous: pd.DataFrame | None = None,
    stop: Callable[[], bool] | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Quantize one module at a time, all but one, or both, and rank them; a row a trial.

    `inputs` is a batch (a tensor, a tuple of the model's arguments, or a dict of them by name) or
    an iterable of batches. `sqnr` compares the model's outputs for them with the float model's, in
    dB over all batches, inf where equal. A `metric(model) -> float` (more is better) takes its
    place in the ranking. Rank 1 is the module that costs the most: quantized alone it leaves the
    smallest number, left out of quantization the largest. Two rows of rank 0, ways "none" and
    "all", hold the float model and the one with everything quantized. `quantized` counts the
    quantized ops that came out: with 0 there was nothing to see. A module that fails is a row with
    its `error`.

    `modules` are all with an op that can be quantized, unless given. `executor` is any
    `concurrent.futures.Executor`, such as that of a cluster (`distributed.Client(…).get_executor()`
    from Dask); without one a pool of new processes is used. The calibration function is called
    once, here; the trials repeat the calls that it made, so that it need not be picklable.

    Interrupted (Ctrl-C), or as soon as `stop()` is true, the table of what is done so far is
    returned; give it as `previous` to go on. ValueError for an on-device session, an unknown module
    or way; CannotPackError for a metric or qconfig that cannot be sent to another process;
    RuntimeError where no process can be started, as in a script without a guard.
    """
    if which not in _WAYS:
        raise ValueError(f"unknown way {which!r} (must be one of {list(_WAYS)})")
    chosen = _checked_modules(session, modules)
    done = _outcomes_in(previous)
    trials = [(NONE, ""), (ALL, ""), *((way, path) for way in _WAYS[which] for path in chosen)]
    left = [trial for trial in trials if trial not in done]
    if left:
        job = _job(session, inputs, metric)
        outcomes = _own_pool(pack(job), left) if executor is None else _given(executor, job, left)
        _collect(outcomes, len(trials), done, stop, progress)
    return _table(list(done.values()), by_metric=metric is not None)


def _checked_modules(session: Session, modules: Sequence[str] | None) -> tuple[str, ...]:
    recording = session.recording
    if recording.mode == "on_device":
        raise ValueError(
            "on-device quantization takes a method, not modules: use a dynamic session"
        )
    quantizable = quantizable_modules(recording.input, mode=recording.mode)
    if modules is None:
        qconfigs = session.qconfig_dict
        return tuple(path for path in quantizable if qconfig_of(qconfigs, path) is not None)
    for path in modules:
        recording.input.module(path)
    return tuple(dict.fromkeys(modules))


def _job(session: Session, inputs: Any, metric: Metric | None) -> Job:
    recording = session.recording
    model, saved = session.float_model(), io.BytesIO()
    torch.jit.save(model, saved)
    return Job(
        model=saved.getvalue(),
        paths=tuple(module.path for module in recording.input.modules),
        qconfig_dict=session.qconfig_dict,
        calls=session.calibration_calls(),
        inputs=checked_calls(session, inputs),
        mode=recording.mode,
        debug=recording.debug,
        preserved_attrs=recording.preserved_attrs,
        engine=recording.engine,
        metric=metric,
    )


def _collect(
    outcomes: Generator[Outcome, None, None],
    total: int,
    done: dict[Trial, Outcome],
    stop: Callable[[], bool] | None,
    progress: bool,
) -> None:
    """Take the outcomes as they come, with a progress bar, until interrupted or stopped."""
    hidden = not (progress and can_show_progress())
    before = len(done)
    bar = tqdm(total=total, initial=before, desc="sensitivity", disable=hidden, leave=False)
    try:
        with bar, closing(outcomes):
            for outcome in outcomes:
                done[outcome.way, outcome.module] = outcome
                bar.update()
                if stop is not None and stop():
                    break
    except KeyboardInterrupt:
        pass
    if len(done) < total:
        message = f"stopped after {len(done)} of {total} trials; previous=<this table> goes on"
        warnings.warn(message, UserWarning, stacklevel=levels_to_caller())


def _given(
    executor: futures.Executor, job: Job, trials: list[Trial]
) -> Generator[Outcome, None, None]:
    """Outcomes from somebody else's executor, which is left open.

    Its workers may come and go: the job travels with every trial, unless they are threads.
    """
    in_threads = isinstance(executor, futures.ThreadPoolExecutor)
    run = partial(run_here, Worker(job)) if in_threads else partial(run_packed, pack(job))
    started = {executor.submit(run, *trial): trial for trial in trials}
    try:
        for future in futures.as_completed(started):
            try:
                outcome = future.result()
            except Exception as error:  # what came back of it says which trial it was
                outcome = Outcome(*started[future], error=f"{type(error).__name__}: {error}")
            yield outcome
    finally:
        for future in started:
            future.cancel()


def _own_pool(packed: bytes, trials: list[Trial]) -> Generator[Outcome, None, None]:
    """Outcomes from new processes; if one dies, what ran at that time is tried again alone."""
    left = list(trials)
    workers = min(os.cpu_count() or 1, len(left))
    while left:
        for suspect in (yield from _until_one_dies(packed, left, workers)):
            if (yield from _until_one_dies(packed, [suspect], 1)):
                yield Outcome(*suspect, error=_DIED)


def _until_one_dies(
    packed: bytes, left: list[Trial], workers: int
) -> Generator[Outcome, None, list[Trial]]:
    """Takes trials from `left`, one a process at a time; returns those that ran at a death."""
    threads = max(1, (os.cpu_count() or 1) // workers)
    running: dict[futures.Future[Outcome], Trial] = {}
    # Forking a process whose torch has threads can hang.
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    received = (packed, threads, started)
    with futures.ProcessPoolExecutor(workers, context, receive, received) as pool:
        try:
            while left or running:
                while left and len(running) < workers:
                    future = pool.submit(run_received, *left[0])
                    running[future] = left.pop(0)
                for future in futures.wait(running, return_when=futures.FIRST_COMPLETED).done:
                    outcome = future.result()
                    del running[future]
                    yield outcome
        except BrokenProcessPool:
            if not started.is_set():
                raise RuntimeError(_NONE_STARTED) from None
            return list(running.values())
    return []


def _outcomes_in(previous: pd.DataFrame | None) -> dict[Trial, Outcome]:
    if previous is None:
        return {}
    names = [field.name for field in fields(Outcome)]
    # In a file that was written and read, empty text has become NaN.
    texts = ["module", "error"]
    frame = previous[names].astype(dict.fromkeys(texts, object)).fillna(dict.fromkeys(texts, ""))
    rows = frame.itertuples(index=False)
    return {(row[0], row[1]): Outcome(*row) for row in rows}


def _table(outcomes: list[Outcome], by_metric: bool) -> pd.DataFrame:
    """The costliest module first; what failed comes last, unranked."""
    rows = []
    for way in (NONE, ALL, ONE, ALL_BUT_ONE):
        ranked = sorted(
            (outcome for outcome in outcomes if outcome.way == way),
            key=lambda outcome: _cost(outcome, by_metric),
        )
        for rank, outcome in enumerate(ranked, 1):
            place = 0 if way in (NONE, ALL) else None if outcome.error else rank
            rows.append({**asdict(outcome), "rank": place})
    frame = pd.DataFrame(rows, columns=list(SENSITIVITY_COLUMNS))
    return frame.astype({"rank": "Int64", "sqnr": "float64", "metric": "float64"})


def _cost(outcome: Outcome, by_metric: bool) -> tuple[bool, float]:
    """Sorts the costliest first: alone it leaves the worst model, left out the best."""
    worth = outcome.metric if by_metric else outcome.sqnr
    return bool(outcome.error), -worth if outcome.way == ALL_BUT_ONE else worth
