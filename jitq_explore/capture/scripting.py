"""Compiling modules in one thread at a time."""

from __future__ import annotations

import threading
from typing import cast

import torch
from torch.jit._recursive import create_script_module, infer_methods_to_compile

from jitq_explore.capture.torch_types import CppModule

SCRIPTING = threading.RLock()
"""Held while something is compiled: Python's parser, which torch calls for it, counts its depth in
one place for all threads ("AST constructor recursion depth mismatch")."""


def script(module: torch.nn.Module) -> CppModule:
    """The C++ module that `torch.jit.script` makes of it, which warns that it is deprecated."""
    with SCRIPTING:
        return cast(CppModule, torch.jit.script(module)._c)


def compiled(module: torch.nn.Module) -> CppModule:
    """The same without a warning, for modules of ours: users did not ask for these."""
    with SCRIPTING:
        made = create_script_module(module, infer_methods_to_compile)
    return cast(CppModule, made._c)
