"""Healthy networks: nothing above info is said of any, however they are quantized."""

from __future__ import annotations

import functools
import warnings

import pytest
import torch
import torch.nn.functional as F
from benchmarks.generated import ResNet, images
from nets import NETS, _give_statistics
from runs import calibrate, recorded
from torch import Tensor, nn
from torch.ao.quantization import default_dynamic_qconfig, get_default_qconfig

import jitq_explore as jq

WELL = (
    "conv_bn_relu", "residual", "mlp", "functional", "lstm", "embedding", "shared_submodule",
    "transformer_block", "two_inputs", "dict_input",
)  # fmt: skip
"""Of `nets.NETS` those that nothing is wrong with: the others decide by quantized values, loop, or
return a tuple that cannot be saved."""


class SettledBranch(nn.Module):
    """A setting, not data, decides on the shortcut, as in MobileNets: x (N, 3, 16, 16)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.other = nn.Conv2d(3, 3, 1)
        self.has_shortcut = True

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        if self.has_shortcut:
            return x + y
        return self.other(y)


class Mobile(nn.Module):
    """Depthwise, hardswish, squeeze and excite: x (N, 3, 16, 16) -> (N, 5)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.Hardswish())
        self.depth = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8), nn.BatchNorm2d(8), nn.ReLU())
        self.squeeze = nn.Conv2d(8, 4, 1)
        self.excite = nn.Conv2d(4, 8, 1)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.depth(self.stem(x))
        gate = F.hardsigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(x, 1)))))
        return self.fc((x * gate).mean((2, 3)))


class UNet(nn.Module):
    """Down, up by interpolation, skip by cat: x (N, 3, 16, 16) -> (N, 2, 16, 16)."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.deep = nn.Sequential(nn.Conv2d(6, 10, 3, padding=1), nn.ReLU())
        self.head = nn.Conv2d(16, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        skip = self.down(x)
        deep = F.interpolate(self.deep(F.max_pool2d(skip, 2)), scale_factor=2.0)
        return self.head(torch.cat([skip, deep], 1))


class PreActivation(nn.Module):
    """BatchNorm before convolution, as ResNet v2 and DenseNet have it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3)
        self.norm = nn.BatchNorm2d(6)
        self.conv = nn.Conv2d(6, 6, 3, padding=1)
        self.fc = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.conv(torch.relu(self.norm(x)))
        return self.fc(x.mean((2, 3)))


IMAGES = images(4, 4)
OWN = {
    "mobile": Mobile,
    "unet": UNet,
    "pre_activation": PreActivation,
    "settled_branch": SettledBranch,
}
QCONFIGS = {"fbgemm": get_default_qconfig("fbgemm"), "qnnpack": get_default_qconfig("qnnpack")}


@functools.cache
def own(name: str) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = OWN[name]() if name in OWN else ResNet(18)
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                _give_statistics(module)
    return net.eval()


def assert_healthy(recording: jq.Recording) -> None:
    found = jq.diagnose(recording).at_least("warning")
    assert not found, found.text()


@pytest.mark.parametrize("mode", ["static", "dynamic"])
@pytest.mark.parametrize(("name", "how"), [(name, how) for name in WELL for how in NETS[name].hows])
def test_small_nets(name, how, mode):
    assert_healthy(recorded(name, how, mode))


@pytest.mark.parametrize("how", ["scripted", "traced"])
@pytest.mark.parametrize("qconfig", list(QCONFIGS))
@pytest.mark.parametrize("name", [*OWN, "resnet18"])
def test_image_nets(name, qconfig, how):
    net, data = own(name), [(batch,) for batch in IMAGES]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = torch.jit.script(net) if how == "scripted" else torch.jit.trace(net, data[0])
        session = jq.Session.static(
            model, {"": QCONFIGS[qconfig]}, calibrate, [data], histograms=True, progress=False
        )
        session.run()
    assert_healthy(session.recording)


@pytest.mark.parametrize("name", [*OWN, "resnet18"])
def test_image_nets_dynamic(name):
    session = jq.Session.dynamic(torch.jit.script(own(name)), {"": default_dynamic_qconfig})
    session.run()
    found = jq.diagnose(session.recording).at_least("warning")
    # A net without a linear layer has nothing that dynamic quantization could do.
    assert {each.rule for each in found} <= (
        {"nothing_quantized"} if name in ("unet", "settled_branch") else set()
    )


def test_the_demo(demo):
    assert_healthy(demo.result.recording)
