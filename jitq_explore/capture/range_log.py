"""Notes the ranges of a model's observers after every batch of a calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.jit import ScriptModule

from jitq_explore.capture.read_modules import attribute_types, is_observer, type_name, walk
from jitq_explore.capture.torch_types import CppModule
from jitq_explore.snapshots.timeline import CalibrationTimeline, RangeTrack

MAX_NOTES = 1024
"""Of a longer calibration every second batch is noted, then every fourth, and so on."""

_INNER = "activation_post_process"
_RANGE = frozenset({"min_val", "max_val"})

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class _Note:
    """What there was after one batch: an entry for each observer, NaN where it had seen nothing."""

    batch: int
    minimum: Doubles
    maximum: Doubles
    counts: Doubles


class RangeLog:
    """Of observers that keep a range under torch's names, their own or that of an inner one.

    Reads a few numbers of each, so that it can be done after every batch.
    """

    def __init__(self) -> None:
        self._paths: list[str] = []
        self._keepers: list[CppModule] = []
        self._with_histogram: list[int] = []
        self._notes: list[_Note] = []
        self._last: _Note | None = None
        self._stride = 1

    def follow(self, module: ScriptModule) -> None:
        """From now on note the observers of that model, which has those of the one before."""
        names: dict[str, frozenset[str]] = {}
        self._paths, self._keepers, self._with_histogram = [], [], []
        for path, observer in walk(module._c):
            keeper = _keeper(observer) if is_observer(path, observer) else None
            if keeper is None:
                continue
            group = type_name(keeper)
            if group not in names:
                names[group] = frozenset(attribute_types(keeper))
            if names[group] >= _RANGE:
                if "histogram" in names[group]:
                    self._with_histogram.append(len(self._keepers))
                self._paths.append(path)
                self._keepers.append(keeper)

    def note(self, batch: int) -> None:
        """Read the ranges after that batch (numbers from 1)."""
        with torch.no_grad():
            self._last = self._read(batch)
        if batch % self._stride:
            return
        self._notes.append(self._last)
        if len(self._notes) > MAX_NOTES:
            self._stride *= 2
            self._notes = [note for note in self._notes if note.batch % self._stride == 0]

    @property
    def timeline(self) -> CalibrationTimeline:
        """All that was noted."""
        notes = list(self._notes)
        if self._last is not None and (not notes or notes[-1] is not self._last):
            notes.append(self._last)
        return CalibrationTimeline(
            tuple(
                _track(path, k, notes)
                for k, path in enumerate(self._paths)
                if notes and not np.isnan(notes[-1].minimum[k])
            )
        )

    def _read(self, batch: int) -> _Note:
        minimum = _reduced([keeper.getattr("min_val") for keeper in self._keepers], np.minimum)
        maximum = _reduced([keeper.getattr("max_val") for keeper in self._keepers], np.maximum)
        unseen = (minimum == np.inf) | (maximum == -np.inf)
        minimum[unseen] = maximum[unseen] = np.nan
        counts = np.full(len(minimum), np.nan)
        if self._with_histogram:
            keepers = [self._keepers[k] for k in self._with_histogram]
            totals = [_total(keeper.getattr("histogram")) for keeper in keepers]
            counts[self._with_histogram] = torch.stack(totals).numpy()
        return _Note(batch, minimum, maximum, counts)


def _keeper(observer: CppModule) -> CppModule:
    """The module with the range: a FakeQuantize keeps it in an observer of its own."""
    return dict(torch._C.ModuleDict(observer).items()).get(_INNER, observer)


def _reduced(ends: list[object], reduce: np.ufunc) -> Doubles:
    """One number for each: the smallest, or the largest, of its channels."""
    if not ends:
        return np.empty(0)
    unseen = torch.tensor([np.inf if reduce is np.minimum else -np.inf])
    flat = [_flat(end, unseen) for end in ends]
    starts = np.cumsum([0, *(len(end) for end in flat[:-1])])
    reduced: Doubles = reduce.reduceat(torch.cat(flat).double().numpy(), starts)
    return reduced


def _flat(end: object, unseen: torch.Tensor) -> torch.Tensor:
    if isinstance(end, int | float):
        return torch.tensor([end])
    if not isinstance(end, torch.Tensor) or not end.numel():
        return unseen
    flat = end.reshape(-1)
    return flat if flat.is_cpu else flat.cpu()


def _total(histogram: object) -> torch.Tensor:
    if not isinstance(histogram, torch.Tensor):
        return torch.tensor(np.nan, dtype=torch.float64)
    return histogram.sum().double().cpu()


def _track(path: str, place: int, notes: list[_Note]) -> RangeTrack:
    first = next(k for k, note in enumerate(notes) if not np.isnan(note.minimum[place]))
    seen = notes[first:]
    counts = tuple(float(note.counts[place]) for note in seen)
    return RangeTrack(
        observer=path,
        batches=tuple(note.batch for note in seen),
        minimum=tuple(float(note.minimum[place]) for note in seen),
        maximum=tuple(float(note.maximum[place]) for note in seen),
        counts=() if np.isnan(counts[-1]) else counts,
    )
