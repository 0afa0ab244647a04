"""How the observers' ranges grew, batch after batch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

TOLERANCE = 0.01
"""A range has converged when no later batch moves its ends by more than this part of its width."""


@dataclass(frozen=True, slots=True)
class Move:
    """How far one batch moved a range: both ends together, as a part of the last range's width."""

    batch: int
    share: float


@dataclass(frozen=True, slots=True)
class RangeTrack:
    """The range of one observer after each batch since it first saw something.

    `batches` are numbers from 1: every batch, or of a long calibration every second, fourth, …, and
    the last; a move is then that of all batches since the one before. Of a per-channel observer
    `minimum` is that of all channels, and `maximum` too. `counts` are the numbers of values in the
    observer's histogram, empty where it keeps none.
    """

    observer: str
    batches: tuple[int, ...]
    minimum: tuple[float, ...]
    maximum: tuple[float, ...]
    counts: tuple[float, ...] = ()

    @property
    def moves(self) -> tuple[Move, ...]:
        """One for each batch but the first, which made the range."""
        width = self.maximum[-1] - self.minimum[-1]
        return tuple(
            Move(
                batch,
                _share(
                    abs(self.minimum[k] - self.minimum[k - 1])
                    + abs(self.maximum[k] - self.maximum[k - 1]),
                    width,
                ),
            )
            for k, batch in enumerate(self.batches)
            if k
        )

    @property
    def largest_move(self) -> Move | None:
        """That of the batch that moved the range most; None where none did."""
        largest = max(self.moves, key=lambda move: move.share, default=None)
        return largest if largest is not None and largest.share > 0 else None

    def converged_at(self, tolerance: float = TOLERANCE) -> int:
        """The last batch that moved the range by more than the tolerance, or that made it.

        Where this is the last batch of all, the range was still moving.
        """
        moving = (move.batch for move in reversed(self.moves) if not move.share <= tolerance)
        return next(moving, self.batches[0])


@dataclass(frozen=True)
class CalibrationTimeline:
    """The ranges of all observers during one calibration; those that saw nothing are left out."""

    tracks: tuple[RangeTrack, ...]

    @cached_property
    def by_observer(self) -> Mapping[str, RangeTrack]:
        """Observer's module path -> its track."""
        return {track.observer: track for track in self.tracks}


def _share(distance: float, width: float) -> float:
    if distance == 0:
        return 0.0
    return distance / width if width > 0 else math.inf
