"""`recommend`: the changes that would help; the place where capture meets the rules."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jitq_explore.diagnostics.recommend import count_unjudged, recommendations
from jitq_explore.snapshots.recording import Recording
from jitq_explore.views.recommendation_table import recommendation_table

if TYPE_CHECKING:
    import pandas as pd

    from jitq_explore.capture.session import Session


def recommend(session_or_recording: Session | Recording, inputs: Any = None) -> pd.DataFrame:
    """The few changes of the qconfig that would gain most, a row each, best first.

    Where one batch has spoilt the ranges of several values, what mends all of them comes before.
    `predicted_gain` is in dB of SQNR at the value, `reason` says what is wrong and what helps,
    `write` is the Python that makes the qconfig dict, `change` is for `session.with_change`. With a
    session each change is tried, one by one, in a new session: `gain_at_value` for the same values
    as the prediction, `gain_at_output` at the model's output, the median over `inputs` (a batch or
    an iterable of batches, as for `compare`; without them the calibration data); `error` says why a
    change could not be tried.

    Whether a module is best kept float is judged by the errors that `compare` has measured; where
    none were, a session is measured here. Its gain at the value is the mean over channels.

    A session that has not calibrated is run in a copy. Activations can be judged where histograms
    of them were kept (a warning says so): by HistogramObserver, or `histograms=True`.
    """
    if isinstance(session_or_recording, Recording):
        recording = session_or_recording
        _warn_without_histograms(recording)
        return recommendation_table(recording, recommendations(recording))
    from jitq_explore.capture.batches import checked_calls
    from jitq_explore.capture.gains import try_all
    from jitq_explore.capture.numerics import errors_at_the_end

    session = session_or_recording
    if session.recording.mode == "on_device":
        raise ValueError(
            "on-device quantization takes a method, not modules: use a dynamic session"
        )
    if session.stages:
        session = session.with_qconfig(session.qconfig_dict)
        session.run()
    calls = session.calibration_calls() if inputs is None else checked_calls(session, inputs)
    recording = session.recording
    if recording.numerics is None and calls:
        recording = replace(recording, numerics=errors_at_the_end(session, list(calls)))
    _warn_without_histograms(recording)
    found = recommendations(recording)
    return recommendation_table(recording, found, try_all(session, found, calls))


def _warn_without_histograms(recording: Recording) -> None:
    blind = count_unjudged(recording)
    if blind:
        warnings.warn(
            f"{blind} activations have no histogram and were not judged: "
            "Session.static(…, histograms=True) collects them",
            UserWarning,
            stacklevel=3,
        )
