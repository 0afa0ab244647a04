"""Calls of scripted functions that torch's observer pass dies of, and how to be rid of them.

The pass takes the first input of every function that it comes to for the module: in a function
without arguments there is none to take. `nn.MultiheadAttention` calls two such functions.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable
from typing import Any

import torch

from jitq_explore.capture.read_modules import walk
from jitq_explore.capture.torch_types import CppGraph, CppModule, CppNode

_WITHOUT_ARGUMENTS = re.compile(r"^def \w+\(\) ->", re.MULTILINE)
"""A function without arguments, as torch writes it into a file."""


def function_name(call: CppNode) -> str:
    """The qualified name of the function that is called."""
    return str(call.inputsAt(0).type()).removeprefix("__torch__.")


def ends_the_process(call: CppNode) -> bool:
    """Whether the function has no arguments, or calls one that has none."""
    return call.inputsSize() == 1 or bool(_WITHOUT_ARGUMENTS.search(_code(call)))


def inline_deadly_calls(module: CppModule) -> None:
    """Put the bodies of those functions in place of their calls; changes the module's graphs.

    It computes what it did before.
    """
    for graph in _graphs(module):
        deadly = {}
        for call in graph.findAllNodes("prim::CallFunction", True):
            name = function_name(call)
            if name not in deadly:
                deadly[name] = ends_the_process(call)
            if deadly[name]:
                _inline(graph, call)


def _graphs(module: CppModule) -> Iterable[CppGraph]:
    """Those of all methods; modules that share a class share them."""
    found = {
        (str(submodule._type()), name): submodule._get_method(name).graph
        for _, submodule in walk(module)
        for name in submodule._method_names()
    }
    return found.values()


def _inline(graph: CppGraph, call: CppNode) -> None:
    body = _alone(call)
    torch._C._jit_pass_inline(body)
    graph.setInsertPoint(call)
    made = graph.insertGraph(body, [call.inputsAt(k) for k in range(1, call.inputsSize())])
    results = list(made) if isinstance(made, list | tuple) else [made]
    for old, new in zip(list(call.outputs()), results, strict=True):
        old.replaceAllUsesWith(new)
    call.destroy()


def _alone(call: CppNode) -> CppGraph:
    """A graph that makes that call of its own inputs, and nothing else."""
    graph: CppGraph = torch._C.Graph()
    function = call.inputsAt(0)
    constant = graph.insertNode(graph.createClone(function.node(), lambda value: value)).output()

    def input_for(value: CppNode) -> CppNode:
        if value.debugName() == function.debugName():
            return constant
        added = graph.addInput()
        added.setType(value.type())
        return added

    copy = graph.insertNode(graph.createClone(call, input_for))
    for value in copy.outputs():
        graph.registerOutput(value)
    return graph


def _code(call: CppNode) -> str:
    """The code of the function and of all that it calls.

    As a file would have it: of functions in a loaded model torch tells nothing else.
    """
    function: Any = torch._C.CompilationUnit().create_function("alone", _alone(call))
    with zipfile.ZipFile(io.BytesIO(function.save_to_buffer())) as archive:
        names = [name for name in archive.namelist() if name.endswith(".py")]
        return "\n".join(archive.read(name).decode() for name in names)
