"""Every quantized op of the finished model names the rule that made it."""

from __future__ import annotations

import functools

import pytest
import torch
from benchmarks.generated import images, scripted_resnet
from nets import NETS
from runs import FBGEMM, session

import jitq_explore as jq
from jitq_explore import demo
from jitq_explore.snapshots.made_by import _places
from jitq_explore.snapshots.recording import Recording

NETS_AND_MODES = [
    (net, how, mode)
    for net in ("conv_bn_relu", "residual", "mlp", "branch", "lstm", "transformer_block")
    for how in NETS[net].hows
    for mode in ("static", "dynamic", "on_device")
]


@functools.cache
def small(net: str, how: str, mode: str) -> Recording:
    return session(net, how, mode, deep=True).run()


def feed(model, batches):
    for batch in batches:
        model(batch)


def static(model: torch.jit.ScriptModule, batch: torch.Tensor) -> Recording:
    qconfig = {"": FBGEMM}
    return jq.Session.static(model, qconfig, feed, [[batch]], progress=False, deep=True).run()


def unnamed(recording: Recording) -> list[str]:
    graph = recording.last.graph()
    quantized = [node for node in graph.nodes if node.kind.startswith("quantized::")]
    assert quantized
    return [node.kind for node in quantized if jq.rule_of(recording, node.id) is None]


@pytest.mark.parametrize(("net", "how", "mode"), NETS_AND_MODES)
def test_in_the_small_nets(net, how, mode):
    assert unnamed(small(net, how, mode)) == []


def test_in_the_digits_net():
    model = torch.jit.script(demo.DigitsNet().eval())
    assert unnamed(static(model, torch.randn(4, 1, 8, 8))) == []


def test_in_the_18_layer_residual_net():
    assert unnamed(static(scripted_resnet(18), images(1)[0])) == []


class Settled(torch.nn.Module):
    """A setting decides on the branch: freezing drops the kernels of the other one."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = torch.nn.Conv2d(3, 3, 1), torch.nn.Conv2d(3, 3, 1)
        self.last = torch.nn.Conv2d(3, 2, 1)
        self.plain = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.left(x)) if self.plain else self.right(x) + self.left(x)
        return self.last(x)


def test_where_a_branch_is_dropped():
    model = torch.jit.script(Settled().eval())
    assert unnamed(static(model, images(1)[0])) == []


def test_what_is_left_takes_the_rule_that_all_its_possible_places_share():
    made = [("conv", "a"), ("add", "b"), ("conv", "c"), ("conv", "c"), ("add", "d")]
    assert list(_places(["conv", "add", "conv"], made)) == [{"a"}, {"b"}, {"c"}]
    assert list(_places(["conv", "add"], made)) == [{"a", "c"}, {"b", "d"}]
    assert list(_places(["mul"], made)) == []


def test_the_rule_fits_the_op():
    recording = small("residual", "scripted", "static")
    made = {
        (node.kind, rule.name)
        for node in recording.last.graph().nodes
        if (rule := jq.rule_of(recording, node.id)) is not None
    }
    assert made == {
        ("quantized::conv2d", "conv2d → quantized::conv2d"),
        ("quantized::conv2d_relu", "conv2d + relu → quantized::conv2d_relu"),
        ("quantized::add_relu", "add + relu → quantized::add_relu"),
        ("quantized::linear", "linear → quantized::linear"),
        ("aten::mean", "mean → aten::mean (dim, keepdim, out)"),
    }


def test_other_nodes_have_no_rule_and_unknown_ones_are_an_error():
    recording = small("residual", "scripted", "static")
    (quantize,) = recording.last.graph().find("aten::quantize_per_tensor")
    assert jq.rule_of(recording, quantize.id) is None
    with pytest.raises(KeyError, match="unknown node 'nope'"):
        jq.rule_of(recording, "nope")
