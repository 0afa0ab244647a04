"""Networks of any depth for benchmarks: generated, not downloaded."""

from __future__ import annotations

import torch
from torch import Tensor, nn

DEPTHS = {18: (2, 2, 2, 2), 50: (3, 8, 11, 2), 152: (8, 20, 44, 3), 304: (16, 40, 88, 6)}
"""Blocks a stage; two convolutions each, so that the net has about that many layers."""


class BasicBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + self.shortcut(x))


class ResNet(nn.Module):
    """Basic-block ResNet for 32×32 images, NCHW."""

    def __init__(self, depth: int, width: int = 16, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        blocks: list[nn.Module] = []
        inputs = width
        for stage, count in enumerate(DEPTHS[depth]):
            outputs = width * 2**stage
            for k in range(count):
                blocks.append(BasicBlock(inputs, outputs, 2 if stage and not k else 1))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.flatten(self.pool(self.blocks(self.stem(x))), 1))


def scripted_resnet(depth: int) -> torch.jit.ScriptModule:
    """The net with random weights of a fixed seed, in eval mode, scripted."""
    torch.manual_seed(0)
    return torch.jit.script(ResNet(depth).eval())


def images(batches: int, size: int = 8) -> list[Tensor]:
    """Batches of random images, (size, 3, 32, 32) float32."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(size, 3, 32, 32, generator=generator) for _ in range(batches)]
