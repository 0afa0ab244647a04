"""Adds stages to a `Recording`, one watched action at a time."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import torch
from torch.jit import ScriptModule

from jitq_explore.capture.fusion_rules import fusion_rules_of_torch
from jitq_explore.capture.hush import Heard, hushed, kept_warnings
from jitq_explore.capture.inner_steps import inner_steps
from jitq_explore.capture.inner_steps.context import Context
from jitq_explore.capture.jit_log import Listener, Said, listening
from jitq_explore.capture.qconfigs import describe_qconfig
from jitq_explore.capture.take import SnapshotTaker
from jitq_explore.snapshots.recording import Recording, Snapshot, StageError, StageRecord
from jitq_explore.snapshots.rules import FusionRule
from jitq_explore.snapshots.steps import Step
from jitq_explore.snapshots.timeline import CalibrationTimeline

T = TypeVar("T")


@dataclass
class Watched:
    """How a watched action went: filled in while it runs."""

    seconds: float = 0.0
    batches: int | None = None
    messages: list[str] = field(default_factory=list)
    timeline: CalibrationTimeline | None = None
    interrupted: bool = False
    said: Said = field(default_factory=Said)


class RunLog:
    """The recording of one run while it grows. Each record is added whole or not at all.

    With a listener the passes' own log is heard as well, and told as inner steps.
    """

    def __init__(
        self, recording: Recording, taker: SnapshotTaker, listener: Listener | None = None
    ) -> None:
        self.recording = recording
        self.taker = taker
        self.listener = listener
        if listener is not None and not recording.rules:
            self.recording = replace(recording, rules=fusion_rules_of_torch())

    def watch(
        self,
        name: str,
        action: Callable[[Watched], T],
        read: Callable[[T, Snapshot], Snapshot],
        *,
        read_failed: Callable[[Snapshot], Snapshot] = lambda before: before,
        keep_warnings: bool = True,
        watched: Watched | None = None,
    ) -> T:
        """Run the action as one stage and return its result.

        `read` takes the result and the snapshot before it and gives the snapshot after it. Whatever
        the action raises becomes the last record's error, with the snapshot that `read_failed`
        gives, and is raised again. Python's warnings are kept as messages if `keep_warnings`.
        `watched` is how an action went that is gone on with.
        """
        before = self.recording.last
        watched = watched or Watched()
        options = self._log_options(name, before, watched)
        try:
            result = _run(action, watched, keep_warnings, self.listener, options)
        except BaseException as error:
            self.add(name, before, read_failed(before), watched, describe_error(error))
            raise
        self.add(name, before, read(result, before), watched, None)
        return result

    def add(
        self,
        name: str,
        before: Snapshot,
        after: Snapshot,
        watched: Watched,
        error: StageError | None,
    ) -> None:
        """Add a record; a stage that has run before gets a number ("dce#2")."""
        steps = self._steps(name, before, after, watched)
        record = StageRecord(
            name=free_name(name, self.recording.names),
            before=before,
            after=after,
            seconds=watched.seconds,
            error=error,
            batches=watched.batches,
            messages=tuple(dict.fromkeys(watched.messages)),
            timeline=watched.timeline,
            interrupted=watched.interrupted,
            steps=steps,
        )
        self.recording = replace(self.recording, stages=(*self.recording.stages, record))

    def _log_options(self, stage: str, before: Snapshot, watched: Watched) -> str:
        """What is to be logged during that stage: "" for nothing."""
        if self.listener is None:
            return ""
        options, left_out = self.listener.options_for(stage, before)
        watched.messages += filter(None, [left_out])
        return options

    def _steps(
        self, stage: str, before: Snapshot, after: Snapshot, watched: Watched
    ) -> tuple[Step, ...]:
        """What was said, as inner steps. A log of another form than known gives none."""
        if self.listener is None or not watched.said.entries:
            return ()
        reader, said = self.listener.reader, watched.said
        left = reader.graph_of(said.left) if said.left else None
        context = Context(before, after, reader, self._own_rules(), left)
        try:
            return inner_steps(stage, said.entries, context)
        except Exception as error:
            # The run is worth more than what torch says of it.
            watched.messages.append(f"what the pass said could not be read: {error!r}")
            return ()

    def _own_rules(self) -> tuple[FusionRule, ...]:
        """The rules of this mode; on-device quantization is dynamic."""
        mode = "static" if self.recording.mode == "static" else "dynamic"
        return tuple(rule for rule in self.recording.rules if rule.mode == mode)

    def reopen(self) -> Watched:
        """Take the last record back, to go on with its action: how that went until then."""
        *earlier, last = self.recording.stages
        self.recording = replace(self.recording, stages=tuple(earlier))
        return Watched(last.seconds, last.batches, list(last.messages), last.timeline)

    def settle(self, message: str) -> None:
        """Let the last record stand as it is: its error gives way to a message."""
        *earlier, last = self.recording.stages
        settled = replace(last, error=None, messages=(*last.messages, message))
        self.recording = replace(self.recording, stages=(*earlier, settled))


def _run(
    action: Callable[[Watched], T],
    watched: Watched,
    keep_warnings: bool,
    listener: Listener | None = None,
    options: str = "",
) -> T:
    heard = Heard()
    to_log = listening(listener, options, watched.said) if listener and options else None
    start = time.perf_counter()
    try:
        with (
            hushed(heard),
            kept_warnings(watched.messages) if keep_warnings else contextlib.nullcontext(),
            to_log or contextlib.nullcontext(),
        ):
            return action(watched)
    finally:
        watched.seconds += time.perf_counter() - start
        watched.messages += [*heard.messages, *filter(None, [watched.said.problem])]


def free_name(name: str, taken: Sequence[str]) -> str:
    """The name, or "name#2", "name#3", … where a stage of that name has run before."""
    again = sum(other.partition("#")[0] == name for other in taken)
    return f"{name}#{again + 1}" if again else name


def describe_error(error: BaseException) -> StageError:
    """An exception as text, with the printed traceback."""
    printed = "".join(traceback.format_exception(error))
    return StageError(type(error).__name__, str(error), printed)


def new_recording(
    mode: str,
    model: ScriptModule,
    taker: SnapshotTaker,
    qconfig_dict: dict[str, object],
    planned: Sequence[str],
    **details: object,
) -> Recording:
    """A recording of no stages yet: the model as it is, and what the run was asked to do."""
    return Recording(
        mode=mode,
        input=taker.take(model),
        stages=(),
        planned=tuple(planned),
        qconfig={str(key): describe_qconfig(value) for key, value in qconfig_dict.items()},
        torch_version=torch.__version__,
        engine=torch.backends.quantized.engine,
        seed=torch.initial_seed(),
        method_name=taker.method_name,
        vnni=torch.cpu._is_vnni_supported(),
        **details,  # type: ignore[arg-type]
    )
