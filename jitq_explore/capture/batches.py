"""The inputs that a user gives -> one call after the other.

Wherever inputs are asked for they are one batch, or an iterable of batches: a list, a generator, a
DataLoader. A batch is a tensor (the model's only argument), a tuple of its arguments, or a dict of
them by name; a `Call` has both. In an iterable the arguments may also come as a list, as
DataLoaders make them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from typing import Any

import torch

from jitq_explore.capture.replay import Call
from jitq_explore.capture.session import Session
from jitq_explore.snapshots.recording import INPUT

_ONE_BATCH = (torch.Tensor, tuple, Mapping, Call)

_WANTED = "a tensor, a tuple of arguments or a dict of them by name"


def checked_batches(session: Session, inputs: Any) -> Iterator[tuple[Any, ...]]:
    """Each batch as the positional arguments of one call, defaults filled in.

    ValueError or TypeError says which batch the session's model does not take, and why; ValueError
    where there is none.
    """
    live = session.live(INPUT)
    schema = live.module._get_method(live.snapshot.main_method).schema
    binder = _Binder(schema.name, list(schema.arguments)[1:])
    number = -1
    for number, batch in enumerate(_batches(inputs)):
        yield binder.arguments(batch, f"batch {number}")
    if number < 0:
        raise ValueError("no inputs: give a batch, or an iterable of some that is not used up")


def checked_calls(session: Session, inputs: Any) -> tuple[Call, ...]:
    """The same as calls, all at once."""
    return tuple(Call(arguments) for arguments in checked_batches(session, inputs))


def count_batches(inputs: Any) -> int | None:
    """How many batches these inputs are; None where nobody knows before the end."""
    batches = _batches(inputs)
    return len(batches) if isinstance(batches, Sized) else None


def _batches(inputs: Any) -> Iterable[Any]:
    if isinstance(inputs, _ONE_BATCH):
        return [inputs]
    if isinstance(inputs, str | bytes) or not isinstance(inputs, Iterable):
        raise TypeError(
            f"inputs must be one batch ({_WANTED}) or an iterable of batches; "
            f"got {type(inputs).__name__}"
        )
    return inputs


class _Binder:
    """Puts a batch in the order of a method's parameters."""

    def __init__(self, method: str, parameters: Sequence[Any]) -> None:
        self.parameters = parameters
        self.signature = f"{method}({', '.join(f'{p.name}: {p.type}' for p in parameters)})"

    def arguments(self, batch: Any, called: str) -> tuple[Any, ...]:
        """`called` is what errors call the batch."""
        call = self._as_call(batch, called)
        self._check_names(call, called)
        self._check_count(call, called)
        rest = self.parameters[len(call.args) :]
        bound = (*call.args, *(call.kwargs.get(p.name, p.default_value) for p in rest))
        for given, parameter in zip(bound, self.parameters, strict=True):
            if str(parameter.type) == "Tensor" and not isinstance(given, torch.Tensor):
                raise TypeError(
                    f"{called}: argument {parameter.name!r} must be a tensor, got "
                    f"{type(given).__name__}: {self.signature}"
                )
        return bound

    def _as_call(self, batch: Any, called: str) -> Call:
        if isinstance(batch, Call):
            return batch
        if isinstance(batch, torch.Tensor):
            return Call((batch,))
        if isinstance(batch, tuple | list):
            return Call(tuple(batch))
        if isinstance(batch, Mapping):
            return Call((), batch)
        raise TypeError(
            f"{called} is a {type(batch).__name__}; it must be {_WANTED}: {self.signature}"
        )

    def _check_count(self, call: Call, called: str) -> None:
        missing = [
            parameter
            for parameter in self.parameters[len(call.args) :]
            if parameter.name not in call.kwargs and not parameter.has_default_value()
        ]
        too_many = len(call.args) > len(self.parameters)
        if too_many or missing:
            given = len(call.args) + len(call.kwargs)
            hint = "; are the further ones labels? Leave them out" if too_many else ""
            raise ValueError(
                f"{called} has {given} arguments, the model takes {len(self.parameters)}: "
                f"{self.signature}{hint}"
            )

    def _check_names(self, call: Call, called: str) -> None:
        free = {parameter.name for parameter in self.parameters[len(call.args) :]}
        unknown = [name for name in call.kwargs if name not in free]
        if unknown:
            raise ValueError(
                f"{called} has an argument {unknown[0]!r} that the model does not take: "
                f"{self.signature}. A dict is arguments by name; one that is itself an argument "
                "goes into a tuple: ({…},)"
            )
