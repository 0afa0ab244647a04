"""The tensors that a model returns, each with a name: "output", "output[0]", "output['scores']"."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor

from jitq_explore.snapshots.graph import Graph


def named_returns(graph: Graph, value: str, name: str) -> Iterator[tuple[str, str]]:
    """The values that a returned one is put together from, each with its name."""
    maker = graph.producers.get(value)
    if maker is not None and maker.kind == "aten::dequantize":  # of a tuple at once
        yield from named_returns(graph, maker.inputs[0], name)
    elif maker is not None and maker.kind in ("prim::TupleConstruct", "prim::ListConstruct"):
        for k, item in enumerate(maker.inputs):
            yield from named_returns(graph, item, f"{name}[{k}]")
    else:
        yield name, value


def tensors_in(value: Any, name: str = "") -> Iterable[tuple[str, Tensor]]:
    """The tensors of what a model returns, each with a name."""
    if isinstance(value, Tensor):
        yield name or "output", value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from tensors_in(item, f"{name or 'output'}[{key!r}]")
    elif isinstance(value, tuple | list):
        single = not name and len(value) == 1
        for k, item in enumerate(value):
            yield from tensors_in(item, "output" if single else f"{name or 'output'}[{k}]")
