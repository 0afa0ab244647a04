"""Nets in which every layer has a weight of a shape of its own, of any depth.

The shape of a weight then names its layer at every stage, packed weights included, and the truth
about which op is which is computed and not labelled.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Block(nn.Module):
    """A residual block: `hidden` is its own, `channels` the net's."""

    def __init__(self, inputs: int, channels: int, hidden: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, hidden, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(hidden, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut: nn.Module = nn.Identity()
        if inputs != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, channels, 1, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + self.shortcut(x))


class Residual(nn.Module):
    """x: (N, 3, 8, 8) -> (N, 5); the channels change half-way."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        made = []
        inputs = 4
        for k in range(blocks):
            channels = 4 if k < blocks // 2 else 6
            made.append(Block(inputs, channels, 8 + k))
            inputs = channels
        self.blocks = nn.Sequential(*made)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.flatten(self.pool(self.blocks(self.stem(x))), 1))


class Inverted(nn.Module):
    """An inverted-residual block: expand, depthwise, project."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(channels, hidden, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.depthwise = nn.Conv2d(hidden, hidden, 3, 1, 1, groups=hidden, bias=False)
        self.bn2 = nn.BatchNorm2d(hidden)
        self.project = nn.Conv2d(hidden, channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        self.act = nn.ReLU6()

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.bn1(self.expand(x)))
        y = self.act(self.bn2(self.depthwise(y)))
        return x + self.bn3(self.project(y))


class InvertedResidual(nn.Module):
    """x: (N, 3, 8, 8) -> (N, 5)."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.blocks = nn.Sequential(*(Inverted(4, 6 + k) for k in range(blocks)))
        self.fc = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.blocks(self.stem(x)).mean([2, 3]))


class Switched(nn.Module):
    """As an inverted-residual block that a setting decides on, as in torchvision's MobileNet."""

    def __init__(self, channels: int, hidden: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(),
            nn.Conv2d(hidden, channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.stride = stride
        self.has_skip = hidden % 2 == 0

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 1 and self.has_skip:
            return x + self.body(x)
        return self.body(x)


class SettingDecides(nn.Module):
    """x: (N, 3, 8, 8) -> (N, 5)."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.blocks = nn.Sequential(*(Switched(4, 6 + k, 1 + k // 2) for k in range(blocks)))
        self.fc = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.blocks(self.stem(x)).mean([2, 3]))


class Layer(nn.Module):
    """A transformer layer; keys and queries meet in `inner` channels."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.query = nn.Linear(channels, inner)
        self.key = nn.Linear(channels, inner + 1)
        self.mix = nn.Linear(inner + 1, inner)
        self.value = nn.Linear(channels, inner + 2)
        self.out = nn.Linear(inner + 2, channels)
        self.norm1 = nn.LayerNorm(channels)
        self.up = nn.Linear(channels, inner + 3)
        self.down = nn.Linear(inner + 3, channels)
        self.norm2 = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        keys = self.mix(self.key(x)).transpose(-1, -2)
        scores = torch.softmax(self.query(x) @ keys, -1)
        x = self.norm1(x + self.out(scores @ self.value(x)))
        return self.norm2(x + self.down(torch.relu(self.up(x))))


class Transformer(nn.Module):
    """x: (N, L, 8) -> (N, L, 5)."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(Layer(8, 10 + 4 * k) for k in range(layers)))
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x))


SHAPES = {
    "residual": (2, 3, 8, 8),
    "inverted": (2, 3, 8, 8),
    "setting decides": (2, 3, 8, 8),
    "transformer": (2, 5, 8),
}
_MAKERS = {
    "residual": Residual,
    "inverted": InvertedResidual,
    "setting decides": SettingDecides,
    "transformer": Transformer,
}


def distinct_net(name: str, size: int, how: str) -> tuple[torch.jit.ScriptModule, Tensor]:
    """The net of that many blocks, scripted or traced, in eval mode; and one batch for it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = _MAKERS[name](size).eval()
        x = torch.randn(SHAPES[name])
    return (torch.jit.script(net) if how == "scripted" else torch.jit.trace(net, x)), x
