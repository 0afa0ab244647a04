"""How the observers' ranges grew, as a pandas frame."""

from __future__ import annotations

import pandas as pd

from jitq_explore.snapshots.observations import Observation, calibrated_stage, observations
from jitq_explore.snapshots.recording import Recording
from jitq_explore.snapshots.timeline import RangeTrack

CALIBRATION_COLUMNS = (
    "observer", "module", "value", "role", "batches", "first_min", "first_max", "min", "max",
    "moved_by", "moved_percent", "converged_at",
)  # fmt: skip


def calibration_table(recording: Recording) -> pd.DataFrame:
    """A row an observer that saw something while calibrating, in the order of the graph.

    `first_min` and `first_max` are the range after the first batch it saw (of a per-channel
    observer over all channels), `min` and `max` the last one. `moved_by` is the number of the batch
    that moved the range most (both ends together), `moved_percent` by how much in percent of the
    last range; NA and NaN where none did. `converged_at` is the last batch that moved it by more
    than 1 % (`snapshots.timeline.TOLERANCE`): equal to `batches`, it was still moving. `batches`
    counts those of the calibration. Of more than 1,024 batches only some are noted: a number is
    then that of the next one noted.
    """
    stage = calibrated_stage(recording)
    tracks = stage.timeline.by_observer if stage is not None and stage.timeline else {}
    observed = {seen.reading.path: seen for seen in reversed(observations(recording))}
    batches = stage.batches if stage is not None else None
    rows = [
        _row(seen, tracks[path], batches)
        for path, seen in reversed(observed.items())
        if path in tracks
    ]
    frame = pd.DataFrame(rows, columns=list(CALIBRATION_COLUMNS))
    whole = dict.fromkeys(("batches", "moved_by", "converged_at"), "Int64")
    real = dict.fromkeys(("first_min", "first_max", "min", "max", "moved_percent"), "float64")
    return frame.astype({**whole, **real})


def _row(seen: Observation, track: RangeTrack, batches: int | None) -> tuple[object, ...]:
    largest = track.largest_move
    return (
        track.observer,
        seen.reading.module,
        seen.value,
        seen.role,
        batches,
        track.minimum[0],
        track.maximum[0],
        track.minimum[-1],
        track.maximum[-1],
        largest.batch if largest is not None else None,
        100 * largest.share if largest is not None else None,
        track.converged_at(),
    )
