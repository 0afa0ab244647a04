"""TorchScript's operators as Python functions, each looked up once."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, TypeAlias

import torch

from jitq_explore.capture.torch_types import CppNode

Op: TypeAlias = Callable[[Sequence[Any]], tuple[Any, ...]]
"""Takes a node's inputs and gives its outputs."""

_GENERIC = re.compile(r"\bt(\[\])?\b|\bDict\(")
"""In a schema: a type variable, or a dict, which cannot be handed over without the exact type."""


_CHANGED = re.compile(r"(\[\]|Dict\([^)]*\))\(a!\)")
"""In a schema: a list or dict that is changed in place."""


def op_of(kind: str, node: CppNode) -> Op:
    """What a node computes: an own function, a registered operator, else a graph of that node."""
    own = _OWN.get(kind)
    if own is not None:
        return own
    return _of_schema(kind, node.schema(), node.outputsSize()) or _graph_of(node)


@lru_cache(maxsize=4096)
def _of_schema(kind: str, schema: str, outputs: int) -> Op | None:
    """The same for all nodes of a schema; None where Python cannot call the operator."""
    if kind in _ON_COLLECTIONS and _CHANGED.search(schema):
        return _ON_COLLECTIONS[kind]
    if schema.startswith("(") or _GENERIC.search(schema):  # "(no schema)", or not for Python
        return None
    return _registered(schema, outputs)


def _registered(schema: str, outputs: int) -> Op:
    parsed = torch._C.parse_schema(schema)
    function = torch._C._get_operation_overload(parsed.name, parsed.overload_name)[0]
    names = [argument.name for argument in parsed.arguments]
    by_name = [argument.kwarg_only for argument in parsed.arguments]
    positional = by_name.index(True) if True in by_name else len(names)

    def call(inputs: Sequence[Any]) -> tuple[Any, ...]:
        if positional >= len(inputs):
            result = function(*inputs)
        else:
            named = dict(zip(names[positional:], inputs[positional:], strict=False))
            result = function(*inputs[:positional], **named)
        if outputs == 1:
            return (result,)
        return tuple(result) if outputs else ()

    return call


def _graph_of(node: CppNode) -> Op:
    """A function of one node, for the kinds without a schema."""
    graph: Any = torch._C.Graph()
    values: dict[str, Any] = {}
    for value in node.inputs():
        name = value.debugName()
        if name not in values:
            values[name] = graph.addInput()
            values[name].setType(value.type())
    clone = graph.createClone(node, lambda value: values[value.debugName()])
    graph.insertNode(clone)
    for value in clone.outputs():
        graph.registerOutput(value)
    function = torch._C._create_function_from_graph("one_node", graph)
    order = [value.debugName() for value in node.inputs()]
    first = [order.index(name) for name in values]
    outputs = node.outputsSize()

    def call(inputs: Sequence[Any]) -> tuple[Any, ...]:
        result = function(*[inputs[k] for k in first])
        if outputs == 1:
            return (result,)
        return tuple(result) if outputs else ()

    return call


def _dict_of(inputs: Sequence[Any]) -> tuple[Any, ...]:
    return (dict(zip(inputs[::2], inputs[1::2], strict=True)),)


def _changing(change: Callable[..., Any]) -> Op:
    """An operator that changes a list or dict: torch would be handed a copy of ours."""

    def call(inputs: Sequence[Any]) -> tuple[Any, ...]:
        result = change(*inputs)
        return (inputs[0] if result is None else result,)

    return call


def _first(inputs: Sequence[Any]) -> tuple[Any, ...]:
    return (inputs[0],)


_OWN: Mapping[str, Op] = MappingProxyType(
    {
        "prim::ListConstruct": lambda inputs: (list(inputs),),
        "prim::TupleConstruct": lambda inputs: (tuple(inputs),),
        "prim::DictConstruct": _dict_of,
        "prim::ListUnpack": lambda inputs: tuple(inputs[0]),
        "prim::TupleUnpack": lambda inputs: tuple(inputs[0]),
        "prim::TupleIndex": lambda inputs: (inputs[0][inputs[1]],),
        "aten::__getitem__": lambda inputs: (inputs[0][inputs[1]],),
        "aten::len": lambda inputs: (len(inputs[0]),),
        "prim::unchecked_cast": _first,
        "prim::unchecked_unwrap_optional": _first,
        "aten::wait": _first,
        "prim::Uninitialized": lambda inputs: (None,),
        "prim::Print": lambda inputs: (),
        "aten::warn": lambda inputs: (),
        "prim::Guard": _first,
        "aten::__is__": lambda inputs: (inputs[0] is inputs[1],),
        "aten::__isnot__": lambda inputs: (inputs[0] is not inputs[1],),
        "aten::append": _changing(lambda items, item: items.append(item)),
        "aten::extend": _changing(lambda items, more: items.extend(more)),
        "aten::insert": _changing(lambda items, place, item: items.insert(place, item)),
        "aten::reverse": _changing(lambda items: items.reverse()),
        "aten::clear": _changing(lambda items: items.clear()),
        "aten::pop": lambda inputs: (inputs[0].pop(*inputs[1:]),),
        "aten::_set_item": _changing(operator.setitem),
        "aten::Delete": _changing(operator.delitem),
    }
)
"""The kinds that torch's interpreter handles itself, or that work on a list or dict in place."""

_ON_COLLECTIONS: Mapping[str, Op] = MappingProxyType(
    {
        "aten::sort": _changing(lambda items, *reverse: items.sort(reverse=any(reverse))),
        "aten::add_": _changing(lambda items, more: items.extend(more)),
        "aten::mul_": _changing(operator.imul),
        "aten::remove": _changing(lambda items, item: items.remove(item)),
        "aten::update": _changing(lambda items, more: items.update(more)),
        "aten::popitem": lambda inputs: (inputs[0].popitem(),),
        "aten::setdefault": lambda inputs: (inputs[0].setdefault(*inputs[1:]),),
    }
)
"""The same for kinds that tensors have, too."""
