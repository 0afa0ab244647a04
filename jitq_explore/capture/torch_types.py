"""Names for what torch's own stubs leave out, so that the rest of the room can be typed."""

from __future__ import annotations

import contextlib
from typing import Any, TypeAlias, cast

import torch
from torch.jit import ScriptModule
from torch.jit._recursive import wrap_cpp_module

CppModule: TypeAlias = Any
"""A `torch._C.ScriptModule`: the C++ module that a ScriptModule wraps."""

CppGraph: TypeAlias = Any
"""A `torch._C.Graph`."""

CppMethod: TypeAlias = Any
"""A `torch._C.ScriptMethod`."""

CppNode: TypeAlias = Any
"""A `torch._C.Node`; a handle to it is stale once a pass has deleted the node."""


def wrap(module: CppModule) -> ScriptModule:
    """A new ScriptModule around the C++ module."""
    wrapped: ScriptModule = wrap_cpp_module(module)
    return wrapped


class Unwrapped:
    """A C++ module where only `_c` will be asked for: wrapping a deep net takes as long as a pass.

    Typed as the ScriptModule that it stands for.
    """

    def __init__(self, module: CppModule) -> None:
        self._c = module


def unwrapped(module: CppModule) -> ScriptModule:
    """Something that passes take for a ScriptModule around the C++ module."""
    return cast(ScriptModule, Unwrapped(module))


def unoptimized() -> contextlib.AbstractContextManager[None]:
    """While open, TorchScript runs as written: nothing is profiled, fused or compiled anew."""
    manager: contextlib.AbstractContextManager[None] = torch.jit.optimized_execution(False)  # type: ignore[attr-defined]
    return manager
