"""The rules, on what an observer of made-up batches would have recorded."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from nets import NETS
from runs import session
from torch.ao.quantization import MinMaxObserver, QConfig, default_weight_observer

import jitq_explore as jq
from jitq_explore.diagnostics.recommend import FEW, MIN_GAIN, recommendations
from jitq_explore.snapshots.observations import observations
from jitq_explore.snapshots.observers import Histogram, ObserverReading
from jitq_explore.snapshots.qparams import affine_qparams

RANDOM = np.random.default_rng(0)


@functools.cache
def calibrated() -> jq.Recording:
    qconfig = QConfig(MinMaxObserver.with_args(reduce_range=True), default_weight_observer)
    return session("mlp", qconfig=qconfig).run(until="calibrate")


def seen_by(reading: ObserverReading, batches, low: float, high: float) -> ObserverReading:
    """As if the observer had been shown the batches and had settled on that range."""
    counts, edges = np.histogram(np.concatenate(batches), 2048)
    scale, point = affine_qparams(low, high, 0, 127)
    return replace(
        reading,
        minimum=(low,),
        maximum=(high,),
        scale=(scale,),
        zero_point=(point,),
        collected=Histogram(tuple(counts.astype(float)), float(edges[0]), float(edges[-1])),
        batch_minimum=tuple(float(batch.min()) for batch in batches),
        batch_maximum=tuple(float(batch.max()) for batch in batches),
    )


def recorded(batches, low=None, high=None) -> jq.Recording:
    """A recording in which the network's input had those batches."""
    recording = calibrated()
    whole = np.concatenate(batches)
    low, high = whole.min() if low is None else low, whole.max() if high is None else high
    first = next(s.reading for s in observations(recording) if s.role == "activation")
    changed = tuple(
        seen_by(reading, batches, low, high) if reading is first else reading
        for reading in recording.last.observers
    )
    last = recording.stages[-1]
    made = replace(last, after=last.after.with_observers(changed))
    return replace(recording, stages=(*recording.stages[:-1], made))


def normal(count: int = 10, size: int = 5000) -> list[np.ndarray]:
    return [RANDOM.normal(size=size) for _ in range(count)]


def spoilt() -> list[np.ndarray]:
    return [batch * (50 if number == 4 else 1) for number, batch in enumerate(normal(), 1)]


def with_outliers() -> list[np.ndarray]:
    return [np.append(batch, [40.0, -30.0]) for batch in normal()]


@pytest.mark.parametrize(
    ("batches", "ends", "reason", "cure"),
    [
        (spoilt(), (None, None), r"batch 4 of 10 alone reaches to", "MovingAverage|Histogram"),
        (with_outliers(), (None, None), r"0\.\d+% of the values reach to -30 … 40", "Fixed|Hist"),
        (normal(), (-0.5, 0.5), r"3\d\.\d+% of the values saturate at -0\.5", "Histogram|MinMax"),
        (normal(), (-40.0, 40.0), "its range fits its values badly", "MinMax|Histogram"),
    ],
)
def test_what_spoils_an_activations_range_is_said_and_cured(batches, ends, reason, cure):
    found = recommendations(recorded(batches, *ends))[0]
    assert found.gain > 10
    assert found.change.modules == ("fc1",)
    assert re.search(reason, found.reason)
    assert re.search(cure, found.change.activation.class_name)


@pytest.mark.parametrize(
    "batches",
    [
        normal(),
        [np.maximum(batch, 0) for batch in normal()],
        [RANDOM.random(500)] * 4,
        [np.zeros(9)],
    ],
)
def test_nothing_is_recommended_for_a_range_that_fits(batches):
    assert recommendations(recorded(batches)) == ()


def test_few_and_best_first():
    found = recommendations(recorded(spoilt()))
    assert len(found) <= FEW
    gains = [each.gain for each in found]
    assert gains == sorted(gains, reverse=True)
    assert min(gains) >= MIN_GAIN


def test_without_histograms_a_warning_says_what_was_not_judged():
    with pytest.warns(UserWarning, match=r"3 activations have no histogram .* histograms=True"):
        table = jq.recommend(calibrated())
    assert "activation" not in set(table.role)


def test_a_dynamic_run_is_tried_without_calibration_data():
    run = session("mlp", mode="dynamic")
    table = jq.recommend(run, NETS["mlp"].inputs())
    assert not table.error.any()
    assert list(table.predicted_gain) == list(jq.recommend(run.run()).predicted_gain)


def test_a_saved_recording_is_judged_without_torch(tmp_path):
    path = tmp_path / "run.jitq"
    jq.save(recorded(spoilt()), path)
    code = (
        "import sys, jitq_explore as jq; "
        f"table = jq.recommend(jq.load({str(path)!r})); "
        "print(table.change[0].modules, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "('fc1',) False"
