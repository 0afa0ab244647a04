"""What a change of the qconfig gains, measured: at one value and at the model's output."""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from jitq_explore.capture.engines import engine_in_force
from jitq_explore.capture.numerics import errors_at_the_end
from jitq_explore.capture.replay import Call
from jitq_explore.capture.session import Session
from jitq_explore.capture.torch_types import CppModule
from jitq_explore.capture.trials import first_line, model_outputs, sqnr
from jitq_explore.snapshots.changes import Change, ObserverChoice
from jitq_explore.snapshots.deciding import agreeing_modules, deciding_modules
from jitq_explore.snapshots.graph import attribute_path
from jitq_explore.snapshots.observations import Observation, observations, observing_stage
from jitq_explore.snapshots.what_if import present_grids

RECORDING = ObserverChoice("RecordingObserver", {"dtype": "quint8"})
"""Keeps the tensors that it is shown."""


@dataclass(frozen=True)
class Gain:
    """dB gained at the value and at the model's output; NaN where it cannot be measured."""

    value: float
    output: float


class Proposal(Protocol):
    """A change, and the value that it is about."""

    @property
    def change(self) -> Change:
        """What is to be tried."""

    @property
    def seen(self) -> Observation:
        """The observed value."""

    @property
    def low(self) -> float:
        """What lies below does not count."""

    @property
    def high(self) -> float:
        """What lies above does not count."""

    @property
    def float_value(self) -> str:
        """For a module that is to be kept float: the value of the model as given."""


class Measurer:
    """Measures changes of one session one by one.

    `calls` are what the models are given; `session` itself is not touched.
    """

    def __init__(self, session: Session, calls: Sequence[Call]) -> None:
        self.session = session
        self.calls = tuple(calls)
        self._expected = list(model_outputs(session.float_model(), self.calls))
        self._again = session.with_qconfig(session.qconfig_dict)
        self._present = self._output_sqnr(self._again)

    def gain(self, proposal: Proposal) -> Gain:
        """Run a session with the change.

        At the value only what lies from `low` to `high` counts, where a module is kept float the
        mean over channels; at the output it is the median over the calls, which a single spoilt
        batch does not decide.
        """
        changed = self.session.with_change(proposal.change)
        output = self._output_sqnr(changed) - self._present
        if proposal.change.keep_float:
            return Gain(self._at_float_value(changed, proposal.float_value), output)
        seen, low, high = proposal.seen, proposal.low, proposal.high
        return Gain(self._at_value(changed, seen, low, high), output)

    def _output_sqnr(self, session: Session) -> float:
        session.run()
        with engine_in_force(session.recording.engine):
            got = list(model_outputs(session.module, self.calls))
        return statistics.median(
            sqnr([wanted], iter([given])) for wanted, given in zip(self._expected, got, strict=True)
        )

    def _at_value(self, changed: Session, seen: Observation, low: float, high: float) -> float:
        after = _same_place(self.session, changed, seen)
        if after is None:
            return math.nan
        values = values_at(self.session, seen)
        present, better = (_noise(values, each, low, high) for each in (seen, after))
        return 10 * math.log10(present / better) if present and better else math.nan

    def _at_float_value(self, changed: Session, value: str) -> float:
        now, after = self._errors_now.get(value), self._errors(changed).get(value)
        return after - now if now is not None and after is not None else math.nan

    @functools.cached_property
    def _errors_now(self) -> dict[str, float]:
        return self._errors(self._again)

    def _errors(self, session: Session) -> dict[str, float]:
        """Value of the model as given -> its SQNR after the last stage, the mean over channels."""
        rows = errors_at_the_end(session, list(self.calls)).rows
        return {row.float_value: row.channel_sqnr for row in rows}


def values_at(session: Session, seen: Observation) -> list[torch.Tensor]:
    """The float values of an observed value in the calibration, or the observed weight.

    For an activation a run of the session is repeated with an observer that keeps them.
    """
    recording = session.recording
    if seen.role == "weight":
        stage = observing_stage(recording)
        assert stage is not None
        path = attribute_path(stage.after.graph(), seen.node.inputs[0])
        assert path is not None
        again = session.with_qconfig(session.qconfig_dict)
        again.run(until=stage.name)
        return [_attribute(again.module._c, path).detach()]
    modules = agreeing_modules(recording, deciding_modules(recording, seen))
    keeping = session.with_change(Change(modules, activation=RECORDING))
    keeping.run(until="calibrate")
    here = _same_place(session, keeping, seen)
    assert here is not None
    return list(_attribute(keeping.module._c, here.reading.path).getattr("tensor_val"))


def _same_place(session: Session, other: Session, seen: Observation) -> Observation | None:
    """The observation of the same value in another session; None where it is not observed there.

    Observers, and many values, are named anew in each run: what stays is the order.
    """
    here, there = ([_kind(each) for each in observations(s.recording)] for s in (session, other))
    if here != there:
        return None
    place = observations(session.recording).index(seen)
    return observations(other.recording)[place]


def _kind(seen: Observation) -> tuple[str, str, str]:
    return seen.role, seen.op, seen.reading.module


def _attribute(module: CppModule, path: str) -> Any:
    for name in path.split("."):
        module = module.getattr(name)
    return module


def _noise(values: Sequence[torch.Tensor], seen: Observation, low: float, high: float) -> float:
    """The sum of squared errors of what lies from `low` to `high`."""
    grids = present_grids(seen.reading)
    first, last = grids[0].quant_min, grids[0].quant_max
    scales = torch.tensor([grid.scale for grid in grids])
    zeros = torch.tensor([grid.zero_point for grid in grids], dtype=torch.int32)
    noise = 0.0
    for value in (each.detach() for each in values):
        if len(grids) == 1:
            rounded = torch.fake_quantize_per_tensor_affine(
                value, grids[0].scale, grids[0].zero_point, first, last
            )
        else:
            rounded = torch.fake_quantize_per_channel_affine(
                value, scales, zeros, seen.reading.axis or 0, first, last
            )
        typical = (value >= low) & (value <= high)
        noise += float(((value - rounded)[typical].double() ** 2).sum())
    return noise


Tried = tuple[Gain, str]
"""What a change gained, and the error with which it could not be tried."""


def try_all(session: Session, proposals: Sequence[Proposal], calls: Sequence[Call]) -> list[Tried]:
    """Each change alone."""
    if not proposals:
        return []
    measurer = Measurer(session, calls)
    return [_tried(measurer, proposal) for proposal in proposals]


def _tried(measurer: Measurer, proposal: Proposal) -> Tried:
    try:
        return measurer.gain(proposal), ""
    except Exception as error:  # a change that torch refuses must not cost the others
        return Gain(math.nan, math.nan), first_line(error)
