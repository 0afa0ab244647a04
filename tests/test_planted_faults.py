"""Planted faults: found, named, cured, and the cure gains what was predicted."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

import pytest
import torch
from runs import calibrate
from six_nets import six_net
from torch import Tensor, nn
from torch.ao.quantization import (
    FixedQParamsObserver,
    HistogramObserver,
    MinMaxObserver,
    QConfig,
    default_per_channel_weight_observer,
    default_weight_observer,
)

import jitq_explore as jq

PER_CHANNEL = default_per_channel_weight_observer
MINMAX = QConfig(MinMaxObserver.with_args(reduce_range=True), PER_CHANNEL)
HISTOGRAM = QConfig(HistogramObserver.with_args(reduce_range=True), PER_CHANNEL)
PER_TENSOR = QConfig(HistogramObserver.with_args(reduce_range=True), default_weight_observer)

Batches = list[tuple[Tensor]]


class Net(nn.Module):
    """x: (N, 16) -> (N, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(16, 32)
        self.fc2 = nn.Linear(32, 32)
        self.fc3 = nn.Linear(32, 32)
        self.fc4 = nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.fc1(x))
        x = torch.relu(self.fc2(x))
        return self.fc4(torch.tanh(self.fc3(x)))


def net() -> Net:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Net().eval()


def batches(count: int = 10) -> Batches:
    generator = torch.Generator().manual_seed(1)
    return [(torch.randn(256, 16, generator=generator),) for _ in range(count)]


def session(model: nn.Module, data: Batches, qconfig: QConfig) -> jq.Session:
    scripted = torch.jit.script(model)
    return jq.Session.static(
        scripted, {"": qconfig}, calibrate, [data], histograms=True, progress=False
    )


Planted = tuple[jq.Session, Batches]
"""A session, and typical inputs."""


def large_row() -> Planted:
    """Two inputs of the layer are the same, and large weights of one row cancel out."""
    model = net()
    with torch.no_grad():
        model.fc1.weight[6], model.fc1.bias[6] = model.fc1.weight[5], model.fc1.bias[5]
        model.fc2.weight[3, 5], model.fc2.weight[3, 6] = 20.0, -20.0
    return session(model, batches(), PER_TENSOR), batches()


def rare_outliers() -> Planted:
    """In one channel of the input, which the net hardly looks at."""
    model, data = net(), batches()
    with torch.no_grad():
        model.fc1.weight[:, 5] = 1e-4
    for (x,) in data:
        x[:4, 5] = 80.0
    return session(model, data, MINMAX), data


def outlier_channel() -> Planted:
    """In every batch, and needed: the next layer undoes it."""
    model = net()
    with torch.no_grad():
        model.fc2.weight[3] *= 300
        model.fc2.bias[3] = 100
        model.fc3.weight[:, 3] /= 300
    return session(model, batches(), MINMAX), batches()


class Swish(Net):
    """With an op between the layers that has no weight and is quantized on its own."""

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.hardswish(self.fc2(torch.tanh(self.fc1(x))))
        return self.fc4(torch.tanh(self.fc3(x)))


def outlier_behind_hardswish() -> Planted:
    """The layer behind takes it as well."""
    model = Swish().eval()
    model.load_state_dict(net().state_dict())
    with torch.no_grad():
        model.fc2.weight[3] *= 300
        model.fc2.bias[3] = 100
        model.fc3.weight[:, 3] /= 300
    return session(model, batches(), MINMAX), batches()


def spoilt_batch() -> Planted:
    """In one channel, which the net hardly looks at."""
    model, data = net(), batches()
    with torch.no_grad():
        model.fc1.weight[:, 5] = 1e-4
    data[6][0][:, 5].mul_(60)
    return session(model, data, MINMAX), batches()


def saturating() -> Planted:
    narrow = FixedQParamsObserver.with_args(scale=0.0015, zero_point=0)
    return session(net(), batches(), MINMAX).with_observer("fc2", activation=narrow), batches()


def large_in_every_row() -> Planted:
    """Weights of an input that is nearly always zero; no scale, not even a row's, fits the rest."""
    model, data = net(), batches()
    with torch.no_grad():
        model.fc1.weight[:, 5] = model.fc1.weight[:, 5].sign() * 60
    for (x,) in data:
        x[:, 5] *= 1e-3
    return session(model, data, HISTOGRAM), data


@dataclass(frozen=True)
class Fault:
    """What is to be found: the op that `compare` ranks first, as (module, kind), and the cure."""

    op: tuple[str, str]
    modules: tuple[str, ...]
    reason: str
    keep_float: bool = False


FAULTS = {
    large_row: Fault(
        ("fc2", "quantized::linear_relu"), ("fc2",), "row 3 is .* times the median row.*per channel"
    ),
    rare_outliers: Fault(("", "aten::quantize_per_tensor"), ("fc1",), "of the values reach to"),
    outlier_channel: Fault(
        ("fc2", "quantized::linear_relu"), ("fc2", "fc3"), "no other observer helps", True
    ),
    outlier_behind_hardswish: Fault(
        ("fc2", "quantized::linear"), ("fc2", "", "fc3"), "no other observer helps", True
    ),
    spoilt_batch: Fault(("", "aten::quantize_per_tensor"), ("fc1",), "batch 7 of 10 alone"),
    saturating: Fault(("fc2", "quantized::linear_relu"), ("fc2",), "saturate"),
    large_in_every_row: Fault(
        ("fc1", "quantized::linear"), ("fc1",), "no other observer helps", True
    ),
}


@functools.cache
def planted(plant) -> Planted:
    run, typical = plant()
    run.run()
    jq.compare(run, typical)
    return run, typical


@pytest.mark.parametrize("plant", FAULTS)
def test_the_guilty_op_is_ranked_first(plant):
    run, _ = planted(plant)
    first, second = run.recording.numerics.rank()[:2]
    assert (first.module, first.kind) == FAULTS[plant].op
    lower = [min(row.own_sqnr, row.own_channel_sqnr) for row in (first, second)]
    assert lower[0] < lower[1] - 3
    assert (first.saturated > 0.05) == (plant is saturating)


def test_an_op_whose_inputs_have_lost_their_channels_is_not_blamed():
    """What is left of its values is small, and its rounding large beside that."""
    layers: list[nn.Module] = []
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for inputs, outputs in ((3, 8), (8, 12), (12, 16)):
            layers += nn.Conv2d(inputs, outputs, 3), nn.BatchNorm2d(outputs), nn.ReLU()
        model, data = nn.Sequential(*layers).eval(), [(torch.randn(8, 3, 16, 16),)]
    with torch.no_grad():
        layers[0].weight[3] *= 300
        layers[3].weight[:, 3] /= 300
    run = session(model, data, HISTOGRAM)
    run.run()
    assert jq.compare(run, data).rank()[0].module == "0"


def test_the_timeline_names_the_batch():
    table = jq.calibration_table(planted(spoilt_batch)[0].recording)
    spoilt = table[(table.role == "activation") & (table.moved_percent > 50)]
    assert list(spoilt.moved_by) == [7]
    assert list(spoilt.converged_at) == [7]
    assert spoilt.value.iloc[0].startswith("x")


@pytest.mark.parametrize("plant", FAULTS)
def test_the_cure_gains_what_was_predicted(plant):
    run, typical = planted(plant)
    table, fault = jq.recommend(run, typical), FAULTS[plant]
    assert not table.error.any()
    first = table.iloc[0]
    assert first.change.modules == fault.modules
    assert first.change.keep_float == fault.keep_float
    assert re.search(fault.reason, first.reason)
    assert first.gain_at_value >= 0.8 * first.predicted_gain
    assert first.gain_at_output > 3
    # The same from the outside: apply it, and compare both runs.
    cured = run.with_change(first.change)
    cured.run()
    after = jq.compare(cured, typical).at("dce")
    guilty = run.recording.numerics.rank()[0]
    (same,) = [row for row in after if row.float_value == guilty.float_value]
    gained = {
        name: getattr(same, name) - getattr(guilty, name)
        for name in ("channel_sqnr", "own_sqnr", "own_channel_sqnr")
    }
    whole = gained.pop("channel_sqnr")
    # What other ops have done stays, unless it is the module's whole error that was predicted.
    assert (whole if fault.keep_float else max(gained.values())) >= 0.8 * first.predicted_gain


@pytest.mark.parametrize("plant", FAULTS)
def test_a_recording_is_enough(plant):
    run, typical = planted(plant)
    assert list(jq.recommend(run.recording).predicted_gain) == list(
        jq.recommend(run, typical).predicted_gain
    )


def test_what_one_batch_spoils_all_along_is_mended_all_along():
    """Each range alone gains much where it is, and nothing at the output."""
    layers = (nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))
    data = batches()
    data[6][0].mul_(50)
    run = session(nn.Sequential(*layers).eval(), data, MINMAX)
    table = jq.recommend(run, batches())
    first, *others = table.itertuples()
    assert first.change.modules == ("0", "2", "4")
    assert re.search("ranges of 4 values are spoilt by one batch: here batch 7 of 10", first.reason)
    assert first.gain_at_value >= 0.8 * first.predicted_gain > 20
    assert first.gain_at_output > 20
    assert others
    assert max(other.gain_at_output for other in others) < 5


@pytest.mark.parametrize("net", ["digits", "residual", "inverted", "transformer"])
def test_nothing_is_kept_float_where_no_op_stands_out(net):
    _, model, data = six_net(net, "scripted")
    run = session(model, data, HISTOGRAM)
    run.run()
    jq.compare(run, data)
    assert not any(change.keep_float for change in jq.recommend(run.recording).change)


def test_the_only_quantized_layer_is_not_measured_by_those_left_float():
    run = jq.Session.static(torch.jit.script(net()), {"fc2": HISTOGRAM}, calibrate, [batches(2)])
    run.run()
    jq.compare(run, batches(1))
    assert not any(change.keep_float for change in jq.recommend(run.recording).change)
