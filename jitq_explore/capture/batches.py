"""The inputs that a user gives -> one tuple of arguments after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from typing import Any

import torch

from jitq_explore.capture.replay import Call


def checked_batches(inputs: Any, schema: Any) -> Iterator[tuple[Any, ...]]:
    """Each batch as the arguments of one call, defaults filled in, the model itself left out.

    `inputs` is a tensor or a tuple of arguments (one batch), or an iterable of these or of `Call`s,
    which may have arguments by name. ValueError
    or TypeError says which batch does not fit the method's `schema`, and why.
    """
    wanted = list(schema.arguments)[1:]
    signature = f"{schema.name}({', '.join(f'{a.name}: {a.type}' for a in wanted)})"
    for number, batch in enumerate(_batches(inputs)):
        arguments = (batch,) if isinstance(batch, torch.Tensor) else batch
        if isinstance(batch, Call):
            arguments = _positional(batch, wanted)
        if not isinstance(arguments, tuple | list):
            raise TypeError(
                f"batch {number} is a {type(batch).__name__}; it must be a tensor, or the tuple of "
                f"the arguments of {signature}"
            )
        yield _bound(tuple(arguments), wanted, f"batch {number}", signature)


def count_batches(inputs: Any) -> int | None:
    """How many batches these inputs are; None where nobody knows before the end."""
    batches = _batches(inputs)
    return len(batches) if isinstance(batches, Sized) else None


def _batches(inputs: Any) -> Iterable[Any]:
    if isinstance(inputs, torch.Tensor | tuple):
        return [inputs]
    if isinstance(inputs, Mapping | str | bytes) or not isinstance(inputs, Iterable):
        raise TypeError(
            "inputs must be a tensor or a tuple of arguments (one batch), or an iterable of these; "
            f"got {type(inputs).__name__}"
        )
    return inputs


def _positional(call: Call, wanted: Sequence[Any]) -> tuple[Any, ...]:
    """The arguments of a call in the order of the schema."""
    rest = wanted[len(call.args) :]
    return (*call.args, *(call.kwargs.get(a.name, a.default_value) for a in rest))


def _bound(
    arguments: tuple[Any, ...], wanted: Sequence[Any], batch: str, signature: str
) -> tuple[Any, ...]:
    missing = wanted[len(arguments) :]
    if len(arguments) > len(wanted) or not all(a.has_default_value() for a in missing):
        hint = (
            "; are the further ones labels? Leave them out" if len(arguments) > len(wanted) else ""
        )
        raise ValueError(
            f"{batch} has {len(arguments)} arguments, the model takes {len(wanted)}: "
            f"{signature}{hint}"
        )
    for given, argument in zip(arguments, wanted, strict=False):
        if str(argument.type) == "Tensor" and not isinstance(given, torch.Tensor):
            raise TypeError(
                f"{batch}: argument {argument.name!r} must be a tensor, got "
                f"{type(given).__name__}: {signature}"
            )
    return (*arguments, *(argument.default_value for argument in missing))
