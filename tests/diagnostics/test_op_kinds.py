"""The tables of op kinds agree with what torch does."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from runs import FBGEMM
from torch import Tensor, nn

import jitq_explore as jq
from jitq_explore.diagnostics.causes import float_ops
from jitq_explore.diagnostics.op_kinds import INSTEAD, has_rule, in_place_of

Op = Callable[[Tensor], Tensor]

OPS: dict[str, Op] = {
    "relu": F.relu, "hardtanh": F.hardtanh, "leaky_relu": F.leaky_relu, "elu": F.elu,
    "sigmoid": torch.sigmoid, "tanh": torch.tanh, "hardsigmoid": F.hardsigmoid,
    "hardswish": F.hardswish, "clamp": lambda y: y.clamp(-1.0, 1.0), "add": lambda y: y + 1,
    "mul": lambda y: y * 2, "cat": lambda y: torch.cat([y, y]), "mean": lambda y: y.mean((2, 3)),
    "max_pool2d": lambda y: F.max_pool2d(y, 2), "avg_pool2d": lambda y: F.avg_pool2d(y, 2),
    "adaptive_avg_pool2d": lambda y: F.adaptive_avg_pool2d(y, 2),
    "upsample_nearest2d": lambda y: F.interpolate(y, scale_factor=2.0),
    "layer_norm": lambda y: F.layer_norm(y, [6]), "group_norm": lambda y: F.group_norm(y, 2),
    "instance_norm": F.instance_norm,
    "gelu": F.gelu, "silu": F.silu, "mish": F.mish, "relu6": F.relu6, "softmax": lambda y: y.softmax(1),
    "sub": lambda y: y - 1, "div": lambda y: y / 2, "matmul": lambda y: y @ y,
    "sum": lambda y: y.sum(1), "exp": torch.exp, "abs": torch.abs, "softplus": F.softplus,
    "adaptive_max_pool2d": lambda y: F.adaptive_max_pool2d(y, 2), "pow": lambda y: y.pow(2),
    "prelu": lambda y: F.prelu(y, torch.tensor([0.2])),
}  # fmt: skip


class Applied(nn.Module):
    def __init__(self, op: Op) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.op = op

    def forward(self, x: Tensor) -> Tensor:
        return self.op(self.conv(x))


@pytest.mark.parametrize("name", OPS)
def test_an_op_stays_float_where_the_tables_have_no_rule_for_it(name):
    x = torch.randn(1, 3, 6, 6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = torch.jit.trace(Applied(OPS[name]).eval(), x)
        run = jq.Session.static(model, {"": FBGEMM}, lambda model, x: model(x), [x], progress=False)
        left = {node.kind.rstrip("_") for node in float_ops(run.run())}
    assert (f"aten::{name}" in left) is not has_rule(f"aten::{name}", "static")


def test_nothing_is_offered_in_place_of_what_has_a_rule():
    assert [kind for kind in INSTEAD if has_rule(kind, "static")] == []


def test_what_only_static_quantization_has_a_kernel_for_is_not_offered_in_dynamic():
    assert "mul" in in_place_of("aten::div_")
    assert in_place_of("aten::div_", "dynamic") == ""
    assert "quantize_dynamic" in in_place_of("aten::lstm", "dynamic")
