"""Six networks, each with what makes comparing hard: residuals, attention, a state, a branch."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from distinct_nets import InvertedResidual
from nets import HOWS, NETS, TwoInputs
from torch import Tensor, nn

from jitq_explore.demo import DigitsNet

Batches = list[tuple[Any, ...]]


class BranchOfTwo(nn.Module):
    """x: (N, 6), y: (N, 5) -> (N, 4); which layer is used depends on the data."""

    def __init__(self) -> None:
        super().__init__()
        self.sum = TwoInputs()
        self.positive = nn.Linear(4, 4)
        self.negative = nn.Linear(4, 4)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        z = self.sum(x, y)
        if float(z.sum()) > 0:
            return torch.relu(self.positive(z))
        return self.negative(z)


def of_spec(name: str) -> Callable[[], tuple[nn.Module, Batches]]:
    return lambda: (NETS[name].make(), NETS[name].inputs(3))


def made(make: Callable[[], nn.Module], *shapes: tuple[int, ...]):
    def net() -> tuple[nn.Module, Batches]:
        with torch.random.fork_rng():
            torch.manual_seed(3)
            batches = [tuple(torch.randn(shape) for shape in shapes) for _ in range(3)]
            return make().eval(), batches

    return net


SIX = {
    "digits": made(DigitsNet, (4, 1, 8, 8)),
    "residual": of_spec("residual"),
    "inverted": made(lambda: InvertedResidual(2), (2, 3, 8, 8)),
    "transformer": of_spec("transformer_block"),
    "lstm": of_spec("lstm"),
    "branch": made(BranchOfTwo, (3, 6), (3, 5)),
}
CASES = [(net, how) for net in SIX for how in HOWS if (net, how) != ("branch", "traced")]
"""What a trace sees of a branch is the one way that it took."""


def six_net(net: str, how: str) -> tuple[nn.Module, torch.jit.ScriptModule, Batches]:
    """The eager net, the same in TorchScript, and three batches."""
    model, batches = SIX[net]()
    with warnings.catch_warnings():
        # As in `nets.torchscript`.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        if how == "scripted":
            return model, torch.jit.script(model), batches
        return model, torch.jit.trace(model, batches[0]), batches
