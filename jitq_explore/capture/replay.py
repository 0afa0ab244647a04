"""The calls that a calibration function makes, kept so that they can be made again elsewhere."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.jit import ScriptModule

from jitq_explore.capture.torch_types import unoptimized


@dataclass(frozen=True)
class Call:
    """The arguments of one call of a model."""

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def of(self, model: Callable[..., object]) -> object:
        """What the model returns for them."""
        return model(*self.args, **self.kwargs)


def calls_made(
    model: ScriptModule, run_fn: Callable[..., object], run_args: Sequence[Any]
) -> tuple[Call, ...]:
    """Every call of the model that the function makes, with copies of the arguments."""
    method = model._c._get_method("forward")
    made: list[Call] = []

    def forward(*args: Any, **kwargs: Any) -> object:
        made.append(Call(copy.deepcopy(args), copy.deepcopy(kwargs)))
        return method(*args, **kwargs)

    # An attribute of the instance comes before the compiled method of that name.
    model.__dict__["forward"] = forward
    try:
        with unoptimized():
            run_fn(model, *run_args)
    finally:
        del model.__dict__["forward"]
    return tuple(made)


def replay(model: Callable[..., object], calls: Iterable[Call]) -> None:
    """Make the calls."""
    with torch.no_grad():
        for call in calls:
            call.of(model)
