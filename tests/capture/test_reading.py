"""torch's graphs, modules and observers, read into plain data."""

from __future__ import annotations

import gc
import math
import weakref
from collections import Counter

import pytest
import torch
from nets import NETS, torchscript
from runs import recorded, session
from torch import nn

import jitq_explore as jq
from jitq_explore.capture.read_modules import ModuleReader
from jitq_explore.capture.read_tensors import TensorReader
from jitq_explore.capture.source_ranges import source_of
from jitq_explore.snapshots.graph import OBSERVE


def kinds(block: torch._C.Block) -> Counter[str]:
    found: Counter[str] = Counter()
    for node in block.nodes():
        found[node.kind()] += 1
        for inner in node.blocks():
            found += kinds(inner)
    return found


# Nets of which torch's own inliner, which tidies callees as it goes, removes nothing.
@pytest.mark.parametrize(
    ("net", "how"),
    [
        (net, how)
        for net in ("mlp", "branch", "loop", "shared_submodule", "dict_input")
        for how in NETS[net].hows
    ],
)
def test_the_flattened_float_graph_is_the_one_torch_inlines(net, how):
    model = torchscript(NETS[net], how)
    inlined = model.graph.copy()
    torch._C._jit_pass_inline(inlined)
    flattened = session(net, how).recording.input.graph()
    assert Counter(node.kind for node in flattened.nodes) == kinds(inlined)
    assert flattened.structure == jq.read_graph(inlined).structure


def test_a_flattened_graph_has_observers_as_single_nodes_and_blocks_kept():
    graph = recorded("branch")["insert_observers"].after.graph("forward")
    observers = [node for node in graph.nodes if node.kind == OBSERVE]
    assert len(observers) == len(recorded("branch")["insert_observers"].after.observers)
    branching = next(graph.find("prim::If"))
    inside = [node for node in graph.nodes if node.block in branching.blocks]
    assert {"aten::linear", OBSERVE} <= {node.kind for node in inside}
    assert len({node.id for node in graph.nodes}) == len(graph.nodes)


def test_module_paths_and_source_lines_are_the_users_own():
    for how in ("scripted", "traced"):
        graph = recorded("residual", how).input.graph()
        conv = next(node for node in graph.nodes if node.module_path == "block2.conv1")
        assert conv.module_path == "block2.conv1"
        kind = "aten::conv2d" if how == "scripted" else "aten::_convolution"
        conv = next(n for n in graph.find(kind) if n.module_path == "block2.conv1")
        assert "nets.py" in conv.source
        assert "self.conv1(x)" in graph.line_of(conv.source)
        assert "conv.py" in conv.frames[0]


def test_functions_are_inlined_with_the_line_that_called_them():
    graph = recorded("functional").input.graph()
    relu = next(graph.find("aten::relu"))
    assert "functional.py" in relu.frames[0]
    assert "F.relu(" in graph.line_of(relu.source)


def test_reading_is_not_spoilt_by_a_run_before():
    """torch caches callees when a model runs; its own inliner then stops at the first level."""
    model = torchscript(NETS["residual"], "scripted")
    fresh = session("residual").recording.input.graph().structure
    with torch.jit.optimized_execution(False):
        model(*NETS["residual"].inputs()[0])
    after = jq.Session.dynamic(model, {"": None}).recording.input.graph().structure
    assert after == fresh


def test_read_graph_reads_calls_as_they_are_and_refuses_the_rest():
    model = torchscript(NETS["residual"], "scripted")
    assert "prim::CallMethod" in {node.kind for node in jq.read_graph(model.graph).nodes}
    with pytest.raises(TypeError, match=r"scripted_module\.graph"):
        jq.read_graph(model)


class Odd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        weight = torch.tensor([[1.0, -3.0], [0.0, 0.0], [math.nan, math.inf]])
        self.weight = nn.Parameter(weight)
        self.brief = nn.Parameter(torch.tensor([2.0], dtype=torch.bfloat16))
        self.register_buffer("flags", torch.tensor([True, False]))
        self.empty = nn.Parameter(torch.zeros(0, 4))
        self.names = ["a", "b"]
        self.rate = 0.5

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def test_module_states_hold_numbers_for_tensors_and_values_for_the_rest():
    module = torch.jit.script(Odd().eval())
    state = ModuleReader(TensorReader()).read("", module._c)
    weight = state.attributes["weight"].tensor
    assert (weight.abs_max, weight.non_finite, weight.channel_abs_max) == (3.0, 2, (3.0, 0.0, 0.0))
    assert (weight.shape, weight.dtype, weight.nbytes) == ((3, 2), "float32", 24)
    assert state.attributes["brief"].tensor.abs_max == 2.0
    assert state.attributes["flags"].kind == "buffer"
    assert state.attributes["empty"].tensor.abs_max == 0.0
    assert state.attributes["names"].value == ("a", "b")
    assert state.attributes["rate"].value == 0.5
    assert (state.class_name.rpartition(".")[2], state.training) == ("Odd", False)


def test_a_tensor_that_was_read_can_still_be_resized():
    tensor = torch.zeros(3, 4)
    TensorReader().read(tensor)
    tensor.resize_(5, 4)
    assert tensor.shape == (5, 4)


def test_packed_weights_are_read_with_their_qparams():
    final = recorded("conv_bn_relu").last.modules[0]
    packed = [state for state in final.attributes.values() if state.kind == "packed"]
    assert {state.tensor.shape[0] for state in packed} == {4, 6, 5}
    assert all(len(state.scale) == state.tensor.shape[0] and state.axis == 0 for state in packed)


@pytest.mark.parametrize(("net", "how"), [("residual", "scripted"), ("residual", "traced")])
def test_every_scale_equals_the_one_torch_put_into_the_graph(net, how):
    recording = recorded(net, how)
    nodes = jq.quant_node_table(recording)
    observers = jq.observer_table(recording).set_index("observer")
    inserted = nodes[(nodes.inserted_by == "insert_quant_dequant") & (nodes.observer != "")]
    assert set(inserted.observer) == set(observers.index)
    for row in inserted.itertuples():
        assert row.scale == observers.scale[row.observer]
        assert row.dtype == observers.dtype[row.observer]


def test_dynamic_weights_are_read_though_the_pass_shows_and_removes_them_in_one_go():
    table = jq.observer_table(recorded("mlp", mode="dynamic"))
    weights = table[table.role == "weight"]
    assert weights["min"].notna().all()
    nodes = jq.quant_node_table(recorded("mlp", mode="dynamic")).set_index("observer")
    for row in weights.itertuples():
        assert set(nodes.loc[[row.observer]].scale) == {row.scale}


class Complex(torch.nn.Module):
    def forward(self, x):
        print(2 + 3j)
        return x


def test_a_complex_constant_is_read_as_text():
    graph = jq.read_graph(torch.jit.script(Complex()).graph)
    (constant,) = graph.find("prim::Constant")
    assert constant.attributes == {"value": "(2+3j)"}


def test_asking_for_its_source_keeps_no_node_of_torch_alive():
    """Another node may live at its address later, and would be taken for it."""
    graph = torch.jit.script(nn.Linear(2, 2)).graph
    node = next(iter(graph.nodes()))
    alive = weakref.ref(node)
    source_of(node)
    del node
    gc.collect()
    assert alive() is None
