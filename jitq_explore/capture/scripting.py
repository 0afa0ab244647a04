"""Compiling modules of ours, in one thread at a time."""

from __future__ import annotations

import threading
from typing import cast

import torch

from jitq_explore.capture.torch_types import CppModule

SCRIPTING = threading.RLock()
"""Held while something is compiled: Python's parser, which torch calls for it, counts its depth in
one place for all threads ("AST constructor recursion depth mismatch")."""


def script(module: torch.nn.Module) -> CppModule:
    """The module compiled: the C++ module alone."""
    with SCRIPTING:
        return cast(CppModule, torch.jit.script(module)._c)
