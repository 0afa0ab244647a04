"""Planted faults: what is recommended cures them, and gains what was predicted."""

from __future__ import annotations

import re

import pytest
import torch
from runs import calibrate
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


class Net(nn.Module):
    """x: (N, 16) -> (N, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(16, 32)
        self.fc2 = nn.Linear(32, 32)
        self.fc3 = nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc3(torch.tanh(self.fc2(torch.tanh(self.fc1(x)))))


def net() -> Net:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Net().eval()


def batches(count: int = 10) -> list[tuple[Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [(torch.randn(256, 16, generator=generator),) for _ in range(count)]


def session(model: nn.Module, data: list[tuple[Tensor]], qconfig: QConfig) -> jq.Session:
    return jq.Session.static(
        torch.jit.script(model), {"": qconfig}, calibrate, [data], histograms=True, progress=False
    )


def one_large_row() -> jq.Session:
    model = net()
    with torch.no_grad():
        model.fc2.weight[3] *= 40
    weight = QConfig(HistogramObserver.with_args(reduce_range=True), default_weight_observer)
    return session(model, batches(), weight)


def outlier_channel() -> jq.Session:
    """Rare large values in one channel of the input that the net hardly looks at."""
    model, data = net(), batches()
    with torch.no_grad():
        model.fc1.weight[:, 5] = 1e-4
    for (x,) in data:
        x[:4, 5] = 80.0
    return session(model, data, QConfig(MinMaxObserver.with_args(reduce_range=True), PER_CHANNEL))


def spoilt_batch() -> jq.Session:
    data = batches()
    data[6][0].mul_(60)
    return session(net(), data, QConfig(MinMaxObserver.with_args(reduce_range=True), PER_CHANNEL))


def saturating() -> jq.Session:
    narrow = FixedQParamsObserver.with_args(scale=0.004, zero_point=64, quant_max=127)
    run = session(
        net(), batches(), QConfig(MinMaxObserver.with_args(reduce_range=True), PER_CHANNEL)
    )
    return run.with_observer("fc2", activation=narrow)


@pytest.mark.parametrize(
    ("planted", "modules", "reason"),
    [
        (one_large_row, ("fc2",), "row 3 is .* times the median row.*per channel"),
        (outlier_channel, ("fc1",), "of the values reach to"),
        (spoilt_batch, ("fc1",), "batch 7"),
        (saturating, ("fc2",), "saturate"),
    ],
)
def test_a_planted_fault_is_named_and_its_cure_gains_what_was_predicted(planted, modules, reason):
    run = planted()
    run.run()
    table = jq.recommend(run)
    assert not table.error.any()
    first = table.iloc[0]
    assert first.change.modules == modules
    assert re.search(reason, first.reason)
    assert first.gain_at_value >= 0.8 * first.predicted_gain
    assert first.gain_at_output > 0
    assert list(jq.recommend(run.recording).predicted_gain) == list(table.predicted_gain)
