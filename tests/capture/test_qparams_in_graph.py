"""Scales and zero points in recordings and tables are those that torch put into the graph."""

from __future__ import annotations

import pytest
import torch
from distinct_nets import distinct_net
from nets import NETS, torchscript
from runs import FBGEMM, calibrate
from six_nets import CASES, six_net
from torch.ao.quantization import (
    MinMaxObserver,
    QConfig,
    default_qconfig,
    default_weight_observer,
)

import jitq_explore as jq
from jitq_explore.demo import DigitsNet
from jitq_explore.snapshots.quant_nodes import quant_nodes

SMALL = [(name, how) for name, spec in NETS.items() for how in spec.hows]
LARGE = [(name, how) for name in ("digits", "inverted") for how in ("scripted", "traced")]
QCONFIGS = {
    "histogram, per channel": FBGEMM,
    "minmax": default_qconfig,
    "symmetric": QConfig(
        activation=MinMaxObserver.with_args(qscheme=torch.per_tensor_symmetric),
        weight=default_weight_observer,
    ),
}


def net_and_batches(name, how):
    if name in NETS:
        return torchscript(NETS[name], how), NETS[name].inputs()
    torch.manual_seed(0)
    if name == "digits":
        x, net = torch.rand(8, 1, 8, 8), DigitsNet().eval()
        made = torch.jit.script(net) if how == "scripted" else torch.jit.trace(net, x)
        return made, [(x,), (x / 2,)]
    model, x = distinct_net(name, 2, how)
    return model, [(x,), (x / 2,)]


ASKED = {"aten::q_scale": 1, "aten::q_zero_point": 2}
"""Kind of a node that asks a quantized value -> which input of its quantize node it gets."""


def numbers(module, value):
    """What torch's own graph says a scale or zero point is: a constant, or an attribute."""
    node = value.node()
    if node.kind() in ASKED:
        place = ASKED[node.kind()]
        while not node.kind().startswith("aten::quantize_per"):  # ops that keep the qparams
            node = node.inputsAt(0).node()
        return numbers(module, node.inputsAt(place))
    if node.kind() == "prim::Constant":
        held = value.toIValue()
    else:
        owner, path = node.inputsAt(0), []
        while owner.node().kind() == "prim::GetAttr":
            path.append(owner.node().s("name"))
            owner = owner.node().inputsAt(0)
        for child in reversed(path):
            module = module.getattr(child)
        held = module.getattr(node.s("name"))
    return tuple(torch.as_tensor(held, dtype=torch.float64).reshape(-1).tolist())


def quantizers(block):
    for node in block.nodes():
        if node.kind().startswith("aten::quantize_per"):
            yield node
        for inner in node.blocks():
            yield from quantizers(inner)


def in_graph(module):
    """Scale and zero point of every quantize node, in the graph's order."""
    for node in quantizers(module._c._get_method("forward").graph):
        yield tuple(numbers(module._c, value) for value in list(node.inputs())[1:3])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("qconfig", QCONFIGS)
@pytest.mark.parametrize(("net", "how"), SMALL + LARGE)
def test_qparams_are_exactly_those_in_the_graph(net, how, qconfig):
    model, batches = net_and_batches(net, how)
    run = jq.Session.static(model, {"": QCONFIGS[qconfig]}, calibrate, [batches])
    recording = run.run(until="insert_quant_dequant")
    expected = list(in_graph(run.module))
    nodes = [node for node in quant_nodes(recording) if node.role == "quantize"]
    assert [(node.scale, node.zero_point) for node in nodes] == expected
    readings = recording["calibrate"].after.readings
    decided = [node for node in nodes if node.observer]
    assert bool(decided) == (net != "loop")  # torch quantizes nothing in loops
    for node in decided:
        reading = readings[node.observer]
        assert (reading.scale, reading.zero_point) == (node.scale, node.zero_point)
    observers = jq.observer_table(recording).set_index("observer")
    table = jq.quant_node_table(recording)
    for row in table[
        (table.kind.str.contains("quantize_per")) & (table.observer != "")
    ].itertuples():
        assert row.scale == observers.scale[row.observer]


def test_a_dequantize_behind_a_pooling_has_the_scale_of_what_was_pooled():
    model, batches = net_and_batches("digits", "scripted")
    run = jq.Session.static(model, {"": FBGEMM}, calibrate, [batches])
    table = jq.quant_node_table(run.run())
    taken = table[(table.kind == "aten::dequantize") & (table.feeds == "aten::linear")]
    pooled = table[table.feeds == "aten::max_pool2d"]
    assert taken[taken.scheme == "per tensor"].scale.item() == pooled.scale.item()


def requantizers(block):
    """Scale and zero point of every op of the final graph that makes a quantized value."""
    for node in block.nodes():
        *_, scale, point = (None, None, *node.inputs())
        if node.kind() == "aten::quantize_per_tensor":
            scale, point = list(node.inputs())[1:3]
        elif not node.kind().startswith("quantized::") or str(scale.type()) != "float":
            scale = None
        if scale is not None:
            yield scale.toIValue(), point.toIValue()
        for inner in node.blocks():
            yield from requantizers(inner)


def packed_weights(block, module):
    """Scales and zero points of the weights that the final graph fetches, as the kernels have
    them."""
    for node in block.nodes():
        if node.kind() == "prim::GetAttr" and "packed_weight" in node.s("name"):
            weight, _ = module.getattr(node.s("name")).unpack()
            yield (
                tuple(weight.q_per_channel_scales().tolist()),
                tuple(weight.q_per_channel_zero_points().tolist()),
            )
        for inner in node.blocks():
            yield from packed_weights(inner, module)


@pytest.mark.parametrize(("net", "how"), CASES)
def test_qparams_are_exactly_those_of_the_final_kernels(net, how):
    _, model, batches = six_net(net, how)
    run = jq.Session.static(model, {"": FBGEMM}, calibrate, [batches])
    nodes = quant_nodes(run.run())
    graph = run.module._c._get_method("forward").graph
    told = {
        (*node.scale, *node.zero_point)
        for node in nodes
        if node.role == "quantize" and node.fate.startswith(("kept", "fused into quantized::"))
    }
    assert told == set(requantizers(graph))
    assert told
    packed = [(node.scale, node.zero_point) for node in nodes if node.role == "prepack"]
    assert packed == list(packed_weights(graph, run.module._c))
    assert packed
