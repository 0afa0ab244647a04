"""`compare`: the same inputs through the float model and through each later stage."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from jitq_explore.capture.batches import checked_batches, count_batches
from jitq_explore.capture.error_rows import comparison_of
from jitq_explore.capture.lockstep import Lockstep
from jitq_explore.capture.session import Session
from jitq_explore.capture.turn import Turn
from jitq_explore.snapshots.numerics import Comparison
from jitq_explore.snapshots.pause import collector_paused
from jitq_explore.snapshots.recording import Recording

COMPARE = "compare"
"""What a session that is being measured is said to be doing."""

_SAME_NUMBERS = ("insert_observers", "calibrate")
"""Stages that only observe: compared when asked for."""


def compare(session: Session, inputs: Any, stages: Sequence[str] | None = None) -> Comparison:
    """Run the same inputs through the float model and the model after later stages; measure errors.

    `inputs` is a batch (a tensor, a tuple of the model's arguments, or a dict of them by name) or
    an iterable of batches (a list, a generator). `stages` are names of stages whose models can
    still be run (`session.live_stages`; default: all of these that can change numbers). The result
    is returned and kept in `session.recording.numerics`. Nothing else changes: neither model nor
    observers.

    Of each batch it takes one run of the float model and of each stage, and each float op once more
    for each stage, to tell the error that is made from the error that came with the inputs.

    ValueError where nothing has run yet, for a stage that cannot be run, and for inputs that the
    float model does not take; it names the batch. TypeError for a recording, RuntimeError while
    another thread runs the session. Stopped by `session.stop()`, the batches measured count.
    """
    if isinstance(session, Recording):
        raise TypeError("compare needs a session, which can run the models, not its recording")
    names = _checked_stages(session, stages)
    with _quietly(session) as turn:
        turn.begin(COMPARE)
        result = _compared(session, names, inputs, turn)
        session.store(result)
    return result


def errors_at_the_end(session: Session, inputs: Any) -> Comparison:
    """The same for the last stage alone; the session's recording stays as it is."""
    with _quietly(session) as turn:
        return _compared(session, session.live_stages[-1:], inputs, turn)


@contextlib.contextmanager
def _quietly(session: Session) -> Iterator[Turn]:
    """While open, the session's models may be run, and nothing of it is seen outside."""
    with (
        session.measured() as turn,
        torch.no_grad(),
        torch.random.fork_rng(devices=[]),
        np.errstate(all="ignore"),
        collector_paused(),
    ):
        yield turn


def _checked_stages(session: Session, stages: Sequence[str] | None) -> tuple[str, ...]:
    possible = session.live_stages
    recording = session.recording
    if recording.mode == "on_device":
        # Before the run on the device the quantized method has no weights yet.
        ready = ("fold_conv_bn", "quantize", "quantized_run")
        possible = tuple(name for name in possible if name in ready)
        if not possible:
            raise ValueError(
                "on-device: a quantized model computes nothing before its run on the device; "
                "give Session.on_device(..., inputs=...) and run all stages"
            )
    if recording.error is not None:
        possible = tuple(name for name in possible if name != recording.names[-1])
    default = tuple(name for name in possible if name not in _SAME_NUMBERS)
    if isinstance(stages, str):
        stages = (stages,)
    if stages is None:
        if not default:
            raise ValueError("no stage has run yet that changes numbers: session.run() first")
        return default
    unknown = [name for name in stages if name not in possible]
    if unknown or not stages:
        raise ValueError(
            f"cannot run the model after {unknown} (must be of {list(possible)}; other stages "
            "change no numbers, or their model is gone)"
        )
    return tuple(stages)


def _compared(session: Session, stages: Sequence[str], inputs: Any, turn: Turn) -> Comparison:
    lockstep = Lockstep(session, stages)
    total = count_batches(inputs)
    for number, arguments in enumerate(checked_batches(session, inputs)):
        lockstep.run_batch(number, arguments)
        turn.fed(COMPARE, number + 1, total)
        if turn.is_to_stop:
            break
    return comparison_of(session.recording, lockstep)


__all__ = ["compare"]
