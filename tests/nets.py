"""Small nets that the tests quantize, each with seeded weights and calibration data.

Every convolution has its own channel count, so that the packed weight of a quantized op names the
layer it came from. `nn.MultiheadAttention` is left out on purpose: scripted, torch's
`insert_observers` ends the process on it.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BATCHES = 2

HOWS = ("scripted", "traced")


class ConvBnRelu(nn.Module):
    """x: (N, 3, 8, 8) -> (N, 5)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3)
        self.bn1 = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 6, 3, bias=False)
        self.bn2 = nn.BatchNorm2d(6)
        self.fc = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.bn2(self.conv2(x)))
        return self.fc(x.mean((2, 3)))


class ResidualBlock(nn.Module):
    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, hidden, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.conv2 = nn.Conv2d(hidden, channels, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        inner = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(inner)) + x)


class Residual(nn.Module):
    """x: (N, 3, 8, 8) -> (N, 5)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.block1 = ResidualBlock(4, 6)
        self.block2 = ResidualBlock(4, 7)
        self.fc = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block2(self.block1(self.stem(x)))
        return self.fc(x.mean((2, 3)))


class Mlp(nn.Module):
    """x: (N, 6) -> (N, 4). `scores` is a second compiled method, `scale` a plain attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(6, 8)
        self.fc2 = nn.Linear(8, 4)
        self.scale = 0.5

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(torch.relu(self.fc1(x)))

    @torch.jit.export
    def scores(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.fc1(x)) * self.scale


class Functional(nn.Module):
    """x: (N, 3, 6, 6) -> (N, 5), through `F.conv2d` and `F.linear`."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(4, 3, 3, 3) / 4)
        self.kernel_bias = nn.Parameter(torch.randn(4) / 4)
        self.weight = nn.Parameter(torch.randn(5, 4) / 2)
        self.bias = nn.Parameter(torch.randn(5) / 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(F.conv2d(x, self.kernel, self.kernel_bias))
        return F.linear(x.mean((2, 3)), self.weight, self.bias)


class Lstm(nn.Module):
    """x: (T, N, 6) -> (T, N, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 8)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden, _ = self.lstm(x)
        return self.fc(hidden)


class WithEmbedding(nn.Module):
    """words: (N, L) of int64 below 20 -> (N, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 6)
        self.fc = nn.Linear(6, 3)

    def forward(self, words: Tensor) -> Tensor:
        return self.fc(self.embedding(words).mean(1))


class Branch(nn.Module):
    """x: (N, 6) -> (N, 4); which layer is used depends on the data."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(6, 5)
        self.positive = nn.Linear(5, 4)
        self.negative = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc1(x)
        if x.sum() > 0:
            return torch.relu(self.positive(x))
        return self.negative(x)


class Loop(nn.Module):
    """x: (N, 6) -> (N, 6), through one layer `rounds` times."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 6)
        self.rounds = 3

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.rounds):
            x = torch.relu(self.fc(x))
        return x


class SharedSubmodule(nn.Module):
    """x: (N, 6) -> (N, 4); `shared` is called twice and known by two names."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Linear(6, 6)
        self.alias = self.shared
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.alias(torch.relu(self.shared(x)))))


class TransformerBlock(nn.Module):
    """x: (N, L, 8) -> (N, L, 8); one attention head."""

    def __init__(self) -> None:
        super().__init__()
        self.q = nn.Linear(8, 8)
        self.k = nn.Linear(8, 8)
        self.v = nn.Linear(8, 8)
        self.out = nn.Linear(8, 8)
        self.norm1 = nn.LayerNorm(8)
        self.fc1 = nn.Linear(8, 12)
        self.fc2 = nn.Linear(12, 8)
        self.norm2 = nn.LayerNorm(8)

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.softmax(self.q(x) @ self.k(x).transpose(-1, -2), -1)
        x = self.norm1(x + self.out(weights @ self.v(x)))
        return self.norm2(x + self.fc2(torch.relu(self.fc1(x))))


class TwoInputs(nn.Module):
    """x: (N, 6), y: (N, 5) -> (N, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Linear(6, 4)
        self.right = nn.Linear(5, 4)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.left(x) + self.right(y)


class TupleInput(nn.Module):
    """(x: (N, 6), y: (N, 5)) -> ((N, 4), (N, 4))."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Linear(6, 4)
        self.right = nn.Linear(5, 4)

    def forward(self, pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        x, y = pair
        return self.left(x), torch.relu(self.right(y))


class DictInput(nn.Module):
    """{"x": (N, 6), "y": (N, 5)} -> (N, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Linear(6, 4)
        self.right = nn.Linear(5, 4)

    def forward(self, named: dict[str, Tensor]) -> Tensor:
        return self.left(named["x"]) + self.right(named["y"])


@dataclass(frozen=True)
class NetSpec:
    """A net by name, how to make it, and the arguments of one call of it."""

    name: str
    module_class: type[nn.Module]
    arguments: Callable[[], tuple[object, ...]]
    scriptable: bool = True
    traceable: bool = True

    def make(self) -> nn.Module:
        """The eager net in eval mode: the same weights every time, running statistics included."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            net = self.module_class()
            for module in net.modules():
                if isinstance(module, nn.BatchNorm2d):
                    _give_statistics(module)
        return net.eval()

    def inputs(self, batches: int = BATCHES) -> list[tuple[object, ...]]:
        """Calibration batches, each the positional arguments of one call; the same every time."""
        with torch.random.fork_rng():
            torch.manual_seed(1)
            return [self.arguments() for _ in range(batches)]

    @property
    def hows(self) -> tuple[str, ...]:
        """The ways to TorchScript that the net allows, of `HOWS`."""
        return tuple(how for how in HOWS if (self.scriptable, self.traceable)[HOWS.index(how)])

    def __str__(self) -> str:
        return self.name


def _give_statistics(norm: nn.BatchNorm2d) -> None:
    """As after a training: with those of a new BatchNorm, folding would change nothing."""
    for tensor in (norm.running_mean, norm.weight.data, norm.bias.data):
        tensor.uniform_(-0.5, 0.5)
    norm.weight.data += 1.0
    norm.running_var.uniform_(0.5, 1.5)


def randn(*shape: int) -> Callable[[], tuple[Tensor]]:
    """Arguments of a net that takes one float tensor."""
    return lambda: (torch.randn(shape),)


NETS = {
    spec.name: spec
    for spec in (
        NetSpec("conv_bn_relu", ConvBnRelu, randn(2, 3, 8, 8)),
        NetSpec("residual", Residual, randn(2, 3, 8, 8)),
        NetSpec("mlp", Mlp, randn(3, 6)),
        NetSpec("functional", Functional, randn(2, 3, 6, 6)),
        NetSpec("lstm", Lstm, randn(4, 2, 6)),
        NetSpec("embedding", WithEmbedding, lambda: (torch.randint(0, 20, (2, 5)),)),
        NetSpec("branch", Branch, randn(3, 6), traceable=False),
        NetSpec("loop", Loop, randn(3, 6), traceable=False),
        NetSpec("shared_submodule", SharedSubmodule, randn(3, 6)),
        NetSpec("transformer_block", TransformerBlock, randn(2, 5, 8)),
        NetSpec("two_inputs", TwoInputs, lambda: (torch.randn(3, 6), torch.randn(3, 5))),
        NetSpec("tuple_input", TupleInput, lambda: ((torch.randn(3, 6), torch.randn(3, 5)),)),
        NetSpec(
            "dict_input", DictInput, lambda: ({"x": torch.randn(3, 6), "y": torch.randn(3, 5)},)
        ),
    )
}


def torchscript(spec: NetSpec, how: str) -> torch.jit.ScriptModule:
    """The net scripted or traced.

    Scripted twice, a net shares its TorchScript class, and so its graphs, with the first time; use
    `independent` where a pass that rewrites its input would show.
    """
    with warnings.catch_warnings():
        # This torch calls its TorchScript entry points deprecated, at every call.
        warnings.simplefilter("ignore", DeprecationWarning)
        # nn.LSTM compares sizes in Python: right for a trace of that one size.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        if how == "scripted":
            return torch.jit.script(spec.make())
        if how == "traced":
            return torch.jit.trace(spec.make(), spec.inputs(1)[0])
    raise ValueError(f"unknown way to TorchScript {how!r} (must be one of {list(HOWS)})")


def independent(module: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    """A copy that shares neither tensors nor classes; a deepcopy shares the classes."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(module, buffer)
        buffer.seek(0)
        return torch.jit.load(buffer)
