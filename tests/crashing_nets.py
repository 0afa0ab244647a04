"""Small nets that torch's passes die of when scripted, and some that look like it and are healthy.

Each net takes x: (2, 3) but for those of attention, (4, 2, 8).
"""

from __future__ import annotations

import warnings

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Head(nn.Module):
    """`other` is compiled too."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 3)
        self.out = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)

    @torch.jit.export
    def other(self, x: Tensor) -> Tensor:
        return self.out(torch.relu(self.out(x)))


class Net(nn.Module):
    """The layers of most of the nets; what `forward` calls differs."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 3)
        self.aux = nn.Linear(3, 3)


class NeverCalled(Net):
    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.fc(x))


class CalledByAnotherMethod(NeverCalled):
    @torch.jit.export
    def auxiliary(self, x: Tensor) -> Tensor:
        return self.aux(x)


class WeightAlone(Net):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(self.fc(x), self.aux.weight)


class InALoop(Net):
    def forward(self, x: Tensor) -> Tensor:
        for _ in range(3):
            x = self.aux(x)
        return self.fc(x)


class BeforeARaise(Net):
    def forward(self, x: Tensor) -> Tensor:
        if x.dim() == 4:
            raise ValueError(str(self.aux(x)))
        return self.fc(x)


class TwoNames(nn.Module):
    """One module, which is called by one of its names."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 3)
        self.aux = self.fc

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)


class DeepInAHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 4)
        self.heads = nn.ModuleList([nn.Sequential(nn.Linear(3, 4), nn.ReLU()), nn.Linear(4, 5)])

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)


class HeadInALoop(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.looped = Head()
        self.head = Head()

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(3):
            x = self.looped(x)
        return self.head(x)


class DifferentMethods(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = Head()
        self.two = Head()

    def forward(self, x: Tensor) -> Tensor:
        return self.one(x) + self.two.other(x)


def is_on() -> bool:
    return True


def plus_one(x: Tensor) -> Tensor:
    return x + 1 if is_on() else x


class CallsFunction(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x) if is_on() else x


class CallsFunctionThatDoes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(plus_one(x))


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2)
        self.fc = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.attention(x, x, x)[0])


class Encoder(nn.Module):
    """`fc` comes first: dynamically, torch can quantize no linear layer that an If feeds."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16)
        self.fc = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.fc(x))


class Relus(nn.Module):
    """Healthy: the class that is shared gets no observers."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 3)
        self.relu = nn.ReLU()
        self.unused = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.fc(x))


class OtherShape(nn.Module):
    """Healthy: layers of different sizes have different classes."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 3)
        self.aux = nn.Linear(3, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)


class UnusedAttention(nn.Module):
    """Healthy: the pass does not come to it."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2)
        self.fc = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)


class FunctionInALoop(nn.Module):
    """Healthy: nor to that."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(2):
            if is_on():
                x = x + 1
        return self.fc(x)


class ComputedWeight(nn.Module):
    """Dies on-device alone."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 3))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * 2.0)


SHARING: dict[type[nn.Module], tuple[str, ...]] = {
    NeverCalled: ("aux",),
    CalledByAnotherMethod: ("aux",),
    WeightAlone: ("aux",),
    InALoop: ("aux",),
    BeforeARaise: ("aux",),
    TwoNames: ("aux",),
    DeepInAHead: ("heads.0.0",),
    HeadInALoop: ("looped.fc", "looped.out", "head.out"),
    DifferentMethods: ("one", "one.out", "two.fc"),
}
"""Nets with modules that share a class -> the modules that the guard is to name."""

CALLING: dict[type[nn.Module], tuple[str, ...]] = {
    CallsFunction: ("",),
    CallsFunctionThatDoes: ("",),
    Attention: ("attention",),
    Encoder: ("layer", "layer.self_attn"),
}
"""Nets that call functions without arguments -> the same."""

CRASHING = {**SHARING, **CALLING}

HEALTHY = (Relus, OtherShape, UnusedAttention, FunctionInALoop)


def make(net: type[nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return net().eval()


def scripted(net: type[nn.Module]) -> torch.jit.ScriptModule:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(make(net))


def without_sharing(net: type[nn.Module]) -> torch.jit.ScriptModule:
    """Scripted so that every submodule has a class of its own: only eager models can be."""
    recursive = torch.jit._recursive
    return recursive.create_script_module(
        make(net), recursive.infer_methods_to_compile, share_types=False
    )


def batch(net: type[nn.Module]) -> Tensor:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return torch.randn((4, 2, 8) if net in (Attention, Encoder) else (2, 3))
