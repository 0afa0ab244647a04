"""A printed graph, read as plain data, is the graph that was printed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from nets import HOWS, NETS, torchscript
from runs import recorded

import jitq_explore as jq
from jitq_explore.snapshots.consistency import graph_problems
from jitq_explore.snapshots.graph import Graph, Node, TensorSummary, Value
from jitq_explore.snapshots.ir_text import IrTextError, parse_ir_text

UNTOLD_TYPES = ("__torch__.torch.nn.functional.", "__torch__.torch.nn.modules.rnn.")
"""Of functions: a graph prints them all as "Function"."""


class Forms(torch.nn.Module):
    """Whatever the printer writes in a form of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(3, 3)

    def forward(self, x, y: dict[str, int], z: list[tuple[int, float]] | None = None):
        future = torch.jit.fork(self.inner, x)
        text = 'a"b\n%q : [x] = prim::X(), scope: # f.py:1:2\t\\'
        empty: list[int] = []
        total = 0
        for k in range(3):
            if bool(x.sum() > 0):
                total += k
        while total < 10:
            total += 1
        print(text, empty, [1.5, float("inf"), -2.0], torch.tensor([1.0, 2.0]), 1e-5, -3)
        return torch.jit.wait(future), y, z, total, (1, "x", None, 2.5e-20)


def told(graph: Graph) -> Graph:
    """The graph without what no text tells."""
    return replace(
        graph,
        nodes=tuple(map(_told_of_node, graph.nodes)),
        values={name: _told_of_value(value) for name, value in graph.values.items()},
        lines={},
    )


def _told_of_node(node: Node) -> Node:
    attributes = {name: _told_of_attribute(value) for name, value in node.attributes.items()}
    return replace(node, attributes=attributes, module_path="", source="", frames=())


def _told_of_attribute(value: Any) -> Any:
    if isinstance(value, TensorSummary):
        return value.shape
    if isinstance(value, tuple):
        # A list of large tensors is printed as one word.
        return "tensors" if _is_of_tensors(value) else tuple(map(_told_of_attribute, value))
    return value


def _is_of_tensors(value: tuple[Any, ...]) -> bool:
    return value == ("<Tensors>",) or (bool(value) and isinstance(value[0], TensorSummary))


def _told_of_value(value: Value) -> Value:
    untold = value.type.startswith(UNTOLD_TYPES) or value.type == "Function"
    is_tuple = "NamedTuple(" in value.type or ".PackedSequence" in value.type
    return replace(value, type="?" if untold or is_tuple else value.type)


def agree(graph: torch._C.Graph) -> None:
    read = parse_ir_text(str(graph))
    assert told(read) == told(jq.read_graph(graph))
    assert not list(graph_problems(read))


@pytest.mark.parametrize(
    ("net", "how"), [(name, how) for name, spec in NETS.items() for how in spec.hows]
)
def test_every_method_of_every_net(net, how):
    model = torchscript(NETS[net], how)
    for module in model.modules():
        for name in module._c._method_names():
            agree(module._c._get_method(name).graph)
    agree(model.inlined_graph)
    constants = model.inlined_graph.copy()
    torch._C._jit_pass_constant_propagation(constants)
    agree(constants)
    agree(torch.jit.freeze(model.eval()).graph)


@pytest.mark.parametrize("how", HOWS)
def test_every_stage_of_a_run(how):
    for stage in recorded("residual", how):
        for (group, method), text in stage.after.texts.items():
            if (group, method) in stage.after.bodies and "prim::CallFunction" not in text:
                assert len(parse_ir_text(text)) == len(stage.after.bodies[group, method])


def test_the_printers_own_forms():
    model = torch.jit.script(Forms())
    agree(model.graph)
    inlined = model.inlined_graph.copy()
    torch._C._jit_pass_constant_propagation(inlined)
    agree(inlined)


def test_a_traced_node_has_its_module_and_its_line():
    net = NETS["conv_bn_relu"]
    graph = parse_ir_text(str(torchscript(net, "traced").inlined_graph))
    conv = next(graph.find("aten::_convolution"))
    assert conv.module_path == "conv1"
    assert conv.source.endswith(":0")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "ends within a graph"),
        ("hello", "begins with 'graph\\('"),
        ("graph(%x : Tensor):\n", "ends within a graph"),
        ("graph(%x : Tensor):\n  nonsense\n  return (%x)\n", "cannot read 'nonsense'"),
        ("graph(%x : Tensor):\n  %y : int = a::b[(%x)\n  return (%x)\n", "cannot read"),
        ("graph(%x : Tensor):\n  return (%x)\nmore", "cannot read 'more'"),
    ],
)
def test_what_is_no_graph_is_refused(text, complaint):
    with pytest.raises(IrTextError, match=complaint):
        parse_ir_text(text)
