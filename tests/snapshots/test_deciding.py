"""Whose qconfig decides on an observed value: held against torch, each module with its own."""

from __future__ import annotations

import pytest
import torch
from nets import NETS
from runs import session
from torch.ao.quantization import MovingAverageMinMaxObserver, QConfig

from jitq_explore.snapshots.deciding import deciding_modules, quantizable_modules
from jitq_explore.snapshots.observations import observations

# The transformer's q, k and v share an input, for which torch refuses different observers.
RUNS = [(net, how) for net in NETS for how in NETS[net].hows if net not in ("transformer_block",)]


def marked(mark: int) -> QConfig:
    observer = MovingAverageMinMaxObserver.with_args(averaging_constant=float(mark))
    return QConfig(observer, observer.with_args(dtype=torch.qint8))


@pytest.mark.parametrize(("net", "how"), RUNS)
def test_the_deciding_module_is_the_one_whose_qconfig_the_observer_comes_from(net, how):
    run = session(net, how)
    paths = [module.path for module in run.recording.input.modules]
    run = run.with_qconfig({path: marked(mark) for mark, path in enumerate(paths)})
    recording = run.run(until="insert_observers")
    for seen in observations(recording):
        mark = seen.reading.settings["averaging_constant"]
        assert paths[int(mark)] in deciding_modules(recording, seen)


@pytest.mark.parametrize(
    ("net", "modules"),
    [
        ("residual", ["stem", "block1.conv1", "block1.conv2", "block1", "block2.conv1",
                      "block2.conv2", "block2", "fc"]),
        ("functional", [""]),
        ("branch", ["fc1", "positive", "negative"]),
    ],
)  # fmt: skip
def test_modules_with_ops_that_can_be_quantized(net, modules):
    assert list(quantizable_modules(session(net).recording.input)) == modules
