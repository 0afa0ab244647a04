"""Which node of one graph is which of another, on graphs made by hand and on real runs."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from runs import FBGEMM, calibrate, recorded
from torch import Tensor, nn

import jitq_explore as jq
from jitq_explore.snapshots.graph import Graph, Node, Value


def graph(*lines: str, inputs: str = "x", outputs: str = "") -> Graph:
    """A graph from lines such as "y = aten::conv2d(x, w) @block.conv"."""
    nodes = []
    for index, line in enumerate(lines):
        made, _, rest = line.partition(" = ")
        call, _, path = rest.partition(" @")
        kind, _, taken = call.rstrip(")").partition("(")
        taken_names = tuple(taken.split(", ")) if taken else ()
        kind, _, value = kind.partition("=")
        attributes = {"value": int(value)} if value else {}
        nodes.append(Node(f"n{index}", kind, taken_names, (made,), attributes, path))
    names = [*inputs.split(), *(name for node in nodes for name in node.outputs)]
    return Graph(
        tuple(inputs.split()),
        tuple((outputs or names[-1]).split()),
        tuple(nodes),
        {name: Value(name, name, "Tensor") for name in names},
    )


FLOAT = graph(
    "one = prim::Constant=1",
    "c = aten::conv2d(x, one) @conv",
    "r = aten::relu(c)",
    "d = aten::conv2d(r, one) @last",
)


def kinds(nodes) -> list[str]:
    return [node.kind for node in nodes]


def test_a_graph_against_itself_renamed_has_no_difference():
    renamed = graph(
        "k = prim::Constant=1",
        "p = aten::conv2d(i, k) @conv",
        "q = aten::relu(p)",
        "s = aten::conv2d(q, k) @last",
        inputs="i",
    )
    assert jq.diff_graphs(FLOAT, renamed).is_empty
    assert FLOAT.structure == renamed.structure


def test_observers_are_added_and_their_neighbours_are_the_same():
    observed = graph(
        "o = jitq::observe(x)",
        "one = prim::Constant=1",
        "c = aten::conv2d(o, one) @conv",
        "r = aten::relu(c)",
        "p = jitq::observe(r)",
        "d = aten::conv2d(p, one) @last",
    )
    diff = jq.diff_graphs(FLOAT, observed)
    assert kinds(diff.added) == ["jitq::observe"] * 2
    assert not diff.removed
    assert not diff.changed
    assert diff.summary() == "+2 added, -0 removed, ~0 changed, 4 the same"


def test_a_kernel_takes_the_ops_it_computes():
    final = graph(
        "q = aten::quantize_per_tensor(x)",
        "k = quantized::conv2d_relu(q)",
        "l = quantized::conv2d(k)",
        "f = aten::dequantize(l)",
    )
    diff = jq.diff_graphs(FLOAT, final)
    fused = {match.after[0].kind: match for match in diff.matched}
    relu = fused["quantized::conv2d_relu"]
    assert kinds(relu.before) == ["aten::conv2d", "aten::relu"]
    assert relu.reason == "computes aten::conv2d + aten::relu"
    assert [node.module_path for node in fused["quantized::conv2d"].before] == ["last"]
    assert kinds(diff.removed) == ["prim::Constant"]


def test_what_only_a_kernel_takes_is_no_partner_of_what_the_op_took():
    """Two runs: `bias` and `reduce_range` stand at one place; packed weights are numbered."""
    diff = jq.diff(recorded("conv_bn_relu", mode="dynamic"), "insert_quant_dequant", "dce")
    kernel = next(diff.after.find("quantized::linear_dynamic"))
    reduced = diff.after.producers[kernel.inputs[2]]
    assert reduced.kind == "prim::Constant"
    assert diff.match_after.get(reduced.id) is None
    static = recorded("conv_bn_relu")["dce"].after.graph()
    across = jq.diff_graphs(static, diff.after)
    weight = next(static.find("quantized::conv2d_relu")).inputs[1]
    assert across.match_before.get(static.producers[weight].id) is None


@pytest.mark.parametrize(
    ("lines", "changes"),
    [
        (("t = aten::sub(x, y)",), [("inputs", "%x, %y", "%y, %x")]),
        (("c = prim::Constant=1", "t = aten::sub(x, y)"), []),
    ],
)
def test_what_changed(lines, changes):
    before = graph("t = aten::sub(x, y)", inputs="x y")
    swapped = "t = aten::sub(y, x)" if changes else lines[-1]
    after = graph(*lines[:-1], swapped, inputs="x y")
    diff = jq.diff_graphs(before, after)
    assert [change for match in diff.changed for change in match.changes] == changes


def test_a_changed_attribute():
    before = graph("a = aten::relu(x)", "b = custom::op=1(a)")
    after = graph("a = aten::relu(x)", "b = custom::op=2(a)")
    diff = jq.diff_graphs(before, after)
    assert [change for match in diff.changed for change in match.changes] == [
        ("attributes", "value=1", "value=2")
    ]


@given(st.permutations(range(4)), st.integers(1, 5))
def test_independent_nodes_may_stand_in_any_order(order, repeats):
    branches = [f"b{k} = aten::conv2d(x) @branch{k}" for k in range(4)]
    tail = [f"t{k} = aten::relu(b{k % 4})" for k in range(repeats)]
    before = graph(*branches, *tail)
    after = graph(*(branches[k] for k in order), *tail)
    diff = jq.diff_graphs(before, after)
    assert diff.is_empty
    assert all(match.before[0].outputs == match.after[0].outputs for match in diff.matched)


@pytest.mark.parametrize("how", ["scripted", "traced"])
@pytest.mark.parametrize(
    "net", ["conv_bn_relu", "residual", "transformer_block", "shared_submodule"]
)
def test_on_a_real_run_every_kernel_has_its_float_ops(net, how):
    """The truth is computed: a kernel's packed weight has the shape of its layer's weight."""
    recording = recorded(net, how)
    diff = jq.diff(recording, "insert_quant_dequant", "quant_finalize")
    packed = recording["quant_finalize"].after.modules[0].attributes
    kernels = [node for node in diff.after.nodes if node.kind.startswith("quantized::")]
    assert kernels
    for kernel in kernels:
        ops = diff.match_after[kernel.id].before
        fetch = diff.after.producers.get(kernel.inputs[1])
        state = packed.get(str(fetch.attributes.get("name"))) if fetch is not None else None
        if state is not None and state.kind == "packed":
            layer = recording.input.module(ops[0].module_path)
            weights = [a.tensor.shape for n, a in layer.attributes.items() if n == "weight"]
            assert weights in ([state.tensor.shape], [])


def test_a_real_run_adds_what_it_should():
    recording = recorded("residual")
    added = Counter(kinds(jq.diff(recording, "fold_conv_bn", "insert_observers").added))
    assert added["jitq::observe"] == len(recording["insert_observers"].after.observers)
    assert jq.diff(recording, "insert_observers", "calibrate").is_empty
    removed = kinds(jq.diff(recording, "insert_observers", "insert_quant_dequant").removed)
    assert removed.count("jitq::observe") == added["jitq::observe"]


def test_diff_names_what_there_is():
    with pytest.raises(KeyError, match=r"unknown stage 'prepare' .*'input', 'fold_conv_bn'"):
        jq.diff(recorded("mlp"), "input", "prepare")
    with pytest.raises(KeyError, match=r"unknown method 'backward' \(must be one of \['forward'"):
        jq.diff(recorded("mlp"), "input", "dce", method="backward")


class DecidedByAnAttribute(nn.Module):
    """Scripted, the If stays until the module is frozen: nothing in the graph tells how it goes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(4, 4, 1)
        self.conv2 = nn.Conv2d(4, 5, 1)
        self.adds = True

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(x)
        if self.adds:
            y = x + y
        return self.conv2(y)


def test_kernels_behind_an_if_that_freezing_decides_have_their_ops():
    model = torch.jit.script(DecidedByAnAttribute().eval())
    batches = [(torch.randn(2, 4, 3, 3),)]
    run = jq.Session.static(model, {"": FBGEMM}, calibrate, [batches], progress=False)
    diff = jq.diff(run.run(), "insert_quant_dequant", "quant_finalize")
    kernels = [node for node in diff.after.nodes if node.kind.startswith("quantized::")]
    ops = [kinds(diff.match_after[kernel.id].before) for kernel in kernels]
    assert ops == [["aten::conv2d"], ["aten::add"], ["aten::conv2d"]]


def test_a_graph_names_itself_shortly_and_prints_its_nodes():
    one = graph("a = aten::sum(x)", "b = aten::mean(a)")
    assert repr(one) == "<Graph of 2 nodes>"
    assert "%b = aten::mean(%a)" in str(one)
