"""One calibration: the user's function run on the observed model, watched batch by batch."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch.jit import ScriptModule

from jitq_explore.capture.calls import counted_calls
from jitq_explore.capture.collect import Collector
from jitq_explore.capture.qconfigs import levels_to_caller
from jitq_explore.capture.range_log import RangeLog
from jitq_explore.capture.run_log import Watched
from jitq_explore.capture.take import SnapshotTaker
from jitq_explore.capture.torch_types import unoptimized
from jitq_explore.capture.turn import Stopped, Turn
from jitq_explore.snapshots.recording import Snapshot, StageRecord

NEVER_CALLED = (
    "the calibration function never called the model: no observer has seen anything "
    "(data given as an iterator is used up after the first time)"
)
WAYS_ON = (
    "session.accept_calibration() takes what was seen, session.step() goes on with it, "
    "session.back() takes it back"
)
GOES_ON = (
    "the calibration goes on after {batches}: the observers keep what they saw, and the "
    "calibration function is called once more (data in a list begins anew); "
    "session.accept_calibration() would have gone on without more data"
)


@dataclass
class Calibration:
    """What one calibration is made of; `feed` may be called again when it was interrupted.

    `collector` is None where no histograms are asked for. `told` is called after every batch with
    how many there were, and how many are expected.
    """

    module: ScriptModule
    run_fn: Callable[..., object]
    run_args: Sequence[Any]
    progress: bool
    collector: Collector | None
    turn: Turn
    told: Callable[[int, int | None], None]

    def __post_init__(self) -> None:
        self._ranges = RangeLog()
        self._stopped: list[Stopped] = []

    def feed(self, watched: Watched) -> None:
        """Call the function; an interruption and the timeline are noted in `watched`."""
        try:
            with self._observed() as observed:
                self._ranges.follow(observed)
                self._run(observed, watched)
        except KeyboardInterrupt:
            watched.interrupted = True
            raise
        finally:
            watched.timeline = self._ranges.timeline
            if self.collector is not None:
                watched.messages += self.collector.failures

    def read(self, taker: SnapshotTaker, before: Snapshot) -> Snapshot:
        """The model now, with what was collected beside its observers."""
        after = taker.retake_observers(self.module, before)
        if self.collector is None:
            return after
        return after.with_observers(self.collector.added_to(after.observers))

    def _observed(self) -> contextlib.AbstractContextManager[ScriptModule]:
        """What is fed: the model itself, or a twin that shows what its observers see."""
        if self.collector is None:
            return contextlib.nullcontext(self.module)
        return self.collector.beside(self.module)

    def _run(self, observed: ScriptModule, watched: Watched) -> None:
        earlier = watched.batches or 0
        self._stopped.clear()
        # The optimising executor would recompile for every new shape and profile; over a few
        # batches that costs far more than it saves. The results are the same.
        counted = counted_calls(
            observed,
            self.run_args,
            watched,
            progress=self.progress,
            before_call=self._check,
            after_call=self._fed,
        )
        with unoptimized(), counted:
            self.run_fn(observed, *self.run_args)
        # The loop may have taken the exception for a bad batch.
        if self._stopped:
            raise self._stopped[0]
        if watched.batches == earlier:
            watched.messages.append(NEVER_CALLED)
            warnings.warn(NEVER_CALLED, UserWarning, stacklevel=levels_to_caller())

    def _check(self) -> None:
        if self.turn.is_to_stop:
            self._stopped.append(Stopped(f"the calibration was stopped; {WAYS_ON}"))
            raise self._stopped[0]

    def _fed(self, done: int, total: int | None) -> None:
        self._ranges.note(done)
        if self.collector is not None:
            self.collector.raise_interruption()
        self.told(done, total)


def batches_seen(record: StageRecord) -> str:
    """How many, in words."""
    return "1 batch" if record.batches == 1 else f"{record.batches or 0} batches"
