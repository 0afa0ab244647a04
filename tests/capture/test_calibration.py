"""What is collected while a model is calibrated, and a calibration that is interrupted."""

from __future__ import annotations

import contextlib
import signal
from dataclasses import replace

import pytest
import torch
from nets import NETS, torchscript
from runs import FBGEMM, calibrate, session
from test_observers import FIXED, NONE, RANGES
from torch import nn
from torch.ao.quantization import (
    HistogramObserver,
    MinMaxObserver,
    MovingAverageMinMaxObserver,
    QConfig,
    default_qconfig,
)

import jitq_explore as jq
from jitq_explore.capture import range_log
from jitq_explore.capture.collect import _LISTENERS
from jitq_explore.snapshots.qparams import ranges_of

MINMAX = QConfig(activation=MinMaxObserver, weight=FBGEMM.weight)
EVERY_NET = [(net, how) for net, spec in NETS.items() for how in spec.hows]


def static(net="mlp", how="scripted", run_fn=calibrate, batches=2, qconfig=MINMAX, **more):
    spec = NETS[net]
    model, data = torchscript(spec, how), spec.inputs(batches)
    return jq.Session.static(model, {"": qconfig}, run_fn, [data], **more)


def readings(recording, role=""):
    """In the order of the graph: torch numbers observers differently from run to run."""
    table = jq.observer_table(recording)
    paths = table[table.role == role].observer if role else table.observer
    return [recording["calibrate"].after.readings[path] for path in paths]


def activations(recording):
    return readings(recording, "activation")


def what_observers_saw(recording):
    """The readings without what was collected, and without the observers' names."""
    plain = {"collected": None, "batch_minimum": (), "batch_maximum": (), "name": ""}
    return [replace(reading, **plain) for reading in readings(recording)]


# Histograms beside observers ----------------------------------------------------------------------


@pytest.mark.parametrize(("net", "how"), EVERY_NET)
def test_collecting_changes_nothing_to_the_bit(net, how):
    plain, collecting = (static(net, how, histograms=wanted) for wanted in (False, True))
    without, with_ = plain.run(), collecting.run()
    assert what_observers_saw(without) == what_observers_saw(with_)
    assert with_.last.structure == without.last.structure
    for batch in NETS[net].inputs():
        outputs = (run.module(*batch) for run in (plain, collecting))
        torch.testing.assert_close(*outputs, rtol=0, atol=0)
    assert not _LISTENERS


@pytest.mark.parametrize(("net", "how"), [("residual", "traced"), ("loop", "scripted")])
def test_what_is_collected_is_what_a_histogram_observer_sees(net, how):
    histogram = QConfig(activation=HistogramObserver, weight=FBGEMM.weight)
    expected = activations(static(net, how, qconfig=histogram).run())
    found = activations(static(net, how, histograms=True).run())
    assert [r.collected for r in found] == [r.histogram for r in expected]
    for reading in found:
        assert ranges_of(reading.collected, "MinMaxObserver") == (
            *reading.minimum, *reading.maximum
        )  # fmt: skip


def test_the_ends_of_batches_tell_what_a_moving_average_would_see():
    average = QConfig(activation=MovingAverageMinMaxObserver, weight=FBGEMM.weight)
    expected = activations(static("residual", batches=5, qconfig=average).run())
    found = activations(static("residual", batches=5, histograms=True).run())
    for reading, other in zip(found, expected, strict=True):
        ends = {"batch_minimum": reading.batch_minimum, "batch_maximum": reading.batch_maximum}
        moving = ranges_of(reading.collected, "MovingAverageMinMaxObserver", **ends)
        assert moving == (*other.minimum, *other.maximum)


def test_a_weight_is_counted_once_and_kept_histograms_are_not_collected_again():
    recording = session("mlp", histograms=True).run()
    weights = readings(recording, "weight")
    assert [sum(reading.collected.counts) for reading in weights] == [48, 32]
    for reading in activations(recording):
        assert (reading.collected, len(reading.batch_minimum)) == (None, 2)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [*RANGES.values(), *FIXED.values(), *NONE.values()],
                         ids=[*RANGES, *FIXED, *NONE])  # fmt: skip
def test_beside_every_observer(make):
    qconfig = QConfig(activation=make, weight=FBGEMM.weight)
    try:
        plain = static(qconfig=qconfig).run(until="calibrate")
    except RuntimeError as error:
        pytest.skip(f"torch itself raises: {str(error)[-60:]}")
    collecting = static(qconfig=qconfig, histograms=True).run(until="calibrate")
    assert what_observers_saw(plain) == what_observers_saw(collecting)
    for reading in activations(collecting):
        assert len(reading.batch_minimum) == 2
        assert reading.histogram or sum(reading.collected.counts) > 0


def test_infinite_values_are_left_out():
    def feed(model, batches):
        x = batches[0][0].clone()
        x[0, 0], x[0, 1] = torch.inf, torch.nan
        model(x)

    recording = static(run_fn=feed, histograms=True).run(until="calibrate")
    assert min(sum(reading.collected.counts) for reading in activations(recording)) == 8
    assert recording["calibrate"].messages == ()


def test_what_was_collected_is_saved(tmp_path):
    recording = static(histograms=True).run()
    assert jq.load(jq.save(recording, tmp_path / "run.jitq")) == recording


# The timeline -------------------------------------------------------------------------------------


def scaled(factors):
    def feed(model, batches):
        for factor in factors:
            model(*(factor * x for x in batches[0]))

    return feed


@pytest.mark.parametrize("how", ["scripted", "traced"])
@pytest.mark.parametrize("qconfig", [MINMAX, FBGEMM, default_qconfig])
def test_the_timeline_tells_the_range_after_every_batch(how, qconfig):
    recording = static("residual", how, qconfig=qconfig, batches=3).run(until="calibrate")
    tracks = recording["calibrate"].timeline.by_observer
    shorter = static("residual", how, qconfig=qconfig, batches=1).run(until="calibrate")
    for reading, first in zip(readings(recording), readings(shorter), strict=True):
        track = tracks[reading.path]
        assert track.batches == (1, 2, 3)
        assert (track.minimum[0], track.maximum[0]) == (min(first.minimum), max(first.maximum))
        assert (track.minimum[-1], track.maximum[-1]) == (
            min(reading.minimum), max(reading.maximum)
        )  # fmt: skip
        if reading.histogram is not None:
            assert track.counts[-1] == 3 * track.counts[0] == sum(reading.histogram.counts)


def test_the_batch_that_spoilt_a_range_is_named():
    recording = static(run_fn=scaled([1, 1.1, 50, 1])).run()
    table = jq.calibration_table(recording)
    x = table.iloc[0]
    assert (x.batches, x.moved_by, x.converged_at) == (4, 3, 3)
    assert x.moved_percent == pytest.approx(100 * (1 - 1.1 / 50))
    assert x["max"] == pytest.approx(50 * x.first_max)
    weights = table[table.role == "weight"]
    assert weights.moved_by.isna().all()
    assert (weights.converged_at == 1).all()


def test_a_branch_that_was_never_taken_is_left_out():
    recording = static("branch", run_fn=scaled([1])).run(until="calibrate")
    seen = {path for path, r in recording.last.readings.items() if r.minimum}
    assert set(recording["calibrate"].timeline.by_observer) == seen
    assert len(seen) < len(recording.last.readings)
    assert set(jq.calibration_table(recording).observer) == seen


class OddRange(nn.Module):
    """Keeps its range as plain numbers, and none at first."""

    def __init__(self):
        super().__init__()
        self.dtype, self.qscheme = torch.quint8, torch.per_tensor_affine
        self.min_val = torch.jit.Attribute(None, float | None)
        self.max_val = torch.jit.Attribute(0, float)

    def forward(self, x):
        self.max_val = max(self.max_val, float(x.max()))
        if self.max_val > 2:
            self.min_val = -self.max_val
        return x

    @torch.jit.export
    def calculate_qparams(self):
        return torch.tensor([1.0]), torch.tensor([0])


def test_ranges_of_any_kind_are_followed_or_left_out():
    odd = QConfig(activation=OddRange, weight=FBGEMM.weight)
    recording = static(qconfig=odd, run_fn=scaled([1e-3, 9, 1])).run(until="calibrate")
    x = jq.calibration_table(recording).iloc[0]
    assert x["min"] == -x["max"] < -2
    assert recording["calibrate"].timeline.by_observer[x.observer].batches == (2, 3)


def test_a_long_calibration_is_thinned_out(monkeypatch):
    monkeypatch.setattr(range_log, "MAX_NOTES", 8)
    recording = static(run_fn=scaled(range(1, 32))).run(until="calibrate")
    for track in recording["calibrate"].timeline.tracks:
        assert track.batches == (4, 8, 12, 16, 20, 24, 28, 31)


def test_without_a_calibration_the_table_is_empty():
    assert jq.calibration_table(session("mlp", mode="dynamic").run()).empty


# Ctrl-C -------------------------------------------------------------------------------------------


class Interrupted:
    """A calibration function that is interrupted after a batch, the first time."""

    def __init__(self, after=2, interrupt=None):
        self.after = after
        self.interrupt = interrupt or (lambda: signal.raise_signal(signal.SIGINT))

    def __call__(self, model, batches):
        for k, batch in enumerate(batches, 1):
            model(*batch)
            if k == self.after:
                self.after = None
                self.interrupt()


def interrupted(**more):
    run = static(run_fn=Interrupted(), batches=4, **more)
    with pytest.raises(KeyboardInterrupt):
        run.run()
    return run


@pytest.mark.parametrize("histograms", [False, True])
def test_an_interrupted_calibration_can_be_accepted(histograms):
    run = interrupted(histograms=histograms)
    last = run.recording.stages[-1]
    assert (last.name, last.batches, last.interrupted) == ("calibrate", 2, True)
    assert last.error.type == "KeyboardInterrupt"
    assert last.timeline.tracks[0].batches == (1, 2)
    accepted = run.accept_calibration()
    assert (accepted.batches, accepted.interrupted, accepted.error) == (2, True, None)
    assert accepted.messages == ("interrupted after 2 batches, and accepted so",)
    expected = static(batches=2, histograms=histograms).run()
    assert what_observers_saw(run.run()) == what_observers_saw(expected)
    assert run.recording.names == expected.names


@pytest.mark.parametrize("go_on", [jq.Session.step, jq.Session.run])
@pytest.mark.parametrize("histograms", [False, True])
def test_or_gone_on_with_which_is_said(go_on, histograms):
    run = interrupted(histograms=histograms)
    assert run.stages[0] == "calibrate"
    with pytest.warns(UserWarning, match="goes on after 2 batches: the observers keep"):
        go_on(run)
    record = run.recording["calibrate"]
    assert (record.batches, record.error, record.interrupted) == (6, None, False)
    assert "goes on after 2 batches" in record.messages[0]
    assert record.timeline.tracks[0].batches == (1, 2, 3, 4, 5, 6)
    assert run.recording.names.count("calibrate") == 1
    if histograms:
        assert {len(reading.batch_minimum) for reading in activations(run.recording)} == {6}


def test_or_taken_back_or_begun_anew():
    run = interrupted()
    assert run.back().names == ("fold_conv_bn", "insert_observers")
    assert run.run()["calibrate"].batches == 4


def test_ctrl_c_while_something_is_collected_is_ctrl_c(monkeypatch):
    add, calls = HistogramObserver.forward, []

    def forward(self, x):
        calls.append(x)
        if len(calls) == 4:
            signal.raise_signal(signal.SIGINT)
        return add(self, x)

    monkeypatch.setattr(HistogramObserver, "forward", forward)
    run = static(histograms=True)
    with pytest.raises(KeyboardInterrupt):
        run.run()
    assert run.recording["calibrate"].batches == 1
    assert run.accept_calibration().error is None


def test_what_cannot_be_collected_is_said_and_harms_nothing(monkeypatch):
    monkeypatch.setattr(HistogramObserver, "forward", lambda self, x: 1 / 0)
    record = static(histograms=True).run()["calibrate"]
    assert record.error is None
    assert "ZeroDivisionError" in record.messages[0]


def test_nothing_to_accept():
    run = static(run_fn=Interrupted(after=1, interrupt=lambda: 1 / 0))
    with pytest.raises(RuntimeError, match="no calibration that was interrupted"):
        run.accept_calibration()
    with contextlib.suppress(ZeroDivisionError):
        run.run()
    with pytest.raises(RuntimeError, match="no calibration that was interrupted"):
        run.accept_calibration()
    early = static(run_fn=lambda model, batches: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        early.run()
    with pytest.raises(RuntimeError, match="before it had seen any batch"):
        early.accept_calibration()


def test_an_interrupted_run_is_saved(tmp_path):
    recording = interrupted().recording
    assert jq.load(jq.save(recording, tmp_path / "run.jitq")) == recording
