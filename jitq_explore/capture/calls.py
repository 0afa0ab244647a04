"""Counts a model's calls while somebody else's code runs it."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.jit import ScriptModule
from tqdm.auto import tqdm

from jitq_explore.capture.run_log import Watched
from jitq_explore.capture.stages import CALIBRATE


@contextlib.contextmanager
def counted_calls(
    module: ScriptModule,
    run_args: Sequence[Any],
    watched: Watched,
    *,
    progress: bool,
    before_call: Callable[[], None],
    after_call: Callable[[int, int | None], None],
) -> Iterator[None]:
    """While open, count the module's calls that succeed, and show them as a progress bar.

    `run_args` are the arguments of the function that calls it: they tell how many calls to expect.
    `before_call` is called ahead of each and may raise; `after_call` takes how many there were, and
    how many are expected.
    """
    method = module._c._get_method("forward")
    total = _batches_expected(run_args)
    watched.batches = 0

    def forward(*args: object, **kwargs: object) -> object:
        before_call()
        result = method(*args, **kwargs)
        watched.batches = (watched.batches or 0) + 1
        bar.update()
        after_call(watched.batches, total)
        return result

    with tqdm(
        total=total,
        desc=CALIBRATE,
        unit="batch",
        leave=False,
        disable=not (progress and _can_show_progress()),
    ) as bar:
        # An attribute of the instance comes before the compiled method of that name.
        module.__dict__["forward"] = forward
        try:
            yield
        finally:
            del module.__dict__["forward"]


def _batches_expected(run_args: Sequence[Any]) -> int | None:
    """The length of the first argument that has one and is no tensor: usually the batches."""
    for argument in run_args:
        if hasattr(argument, "__len__") and not isinstance(argument, torch.Tensor):
            return len(argument)
    return None


def _can_show_progress() -> bool:
    """In a notebook as a widget, in a terminal as text; a log file is spared.

    So is whatever cell may be running while another thread calibrates.
    """
    if threading.current_thread() is not threading.main_thread():
        return False
    in_notebook = any(base.__name__ == "tqdm_notebook" for base in tqdm.__mro__)
    return in_notebook or sys.stderr.isatty()
