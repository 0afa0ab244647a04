"""What is decided before a model runs: by hand, and by a model's own settings."""

from __future__ import annotations

from dataclasses import replace

import torch
from test_diff import graph
from torch import Tensor, nn
from torch.ao.quantization import default_dynamic_qconfig

import jitq_explore as jq
from jitq_explore.snapshots.settled import decided_value


def test_a_comparison_of_what_the_model_holds_is_decided():
    of_settings = graph(
        "s = prim::GetAttr(m)",
        "k = prim::Constant=2",
        "a = aten::eq(s, k)",
        "b = aten::__not__(a)",
        "t = aten::len(x)",
        "c = aten::gt(t, k)",
        inputs="m x",
    )
    assert decided_value(of_settings, "b") is None
    held = replace(of_settings, held={"s": 2})
    assert decided_value(held, "a") == (True,)
    assert decided_value(held, "b") == (False,)
    assert decided_value(held, "c") is None


class Settings(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stride = 2
        self.name = "net"
        self.calls = 0
        self.bias = torch.jit.Attribute(None, Tensor | None)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        if self.stride == 2 and self.bias is None and self.name == "net":
            x = x + 1
        if self.calls > 3:
            x = x + 2
        return x


def test_settings_are_held_but_not_what_a_method_changes():
    session = jq.Session.dynamic(torch.jit.script(Settings().eval()), {})
    held = session.recording.input.graph().held.values()
    assert sorted(map(str, held)) == ["2", "None", "net"]


class Normed(nn.Module):
    """With this `if`, torch's dynamic pass quantizes a value before it is made."""

    def __init__(self, is_first: bool) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        self.is_first = is_first

    def forward(self, x: Tensor) -> Tensor:
        if self.is_first:
            y = self.norm(x)
            return x + self.second(y) + self.first(y)
        return self.norm(x + self.second(x) + self.first(x))


def test_a_graph_that_torch_left_broken_is_shown_and_saved(tmp_path):
    net = nn.Sequential(Normed(True), Normed(True), Normed(True)).eval()
    session = jq.Session.dynamic(torch.jit.script(net), {"": default_dynamic_qconfig})
    record = session.run(until="insert_quant_dequant")["insert_quant_dequant"]
    made: set[str] = set(record.after.graph().inputs)
    early = set()
    for node in record.after.graph().nodes:
        early.update(set(node.inputs) - made)
        made.update(node.outputs, *(record.after.graph().blocks[b].inputs for b in node.blocks))
    assert early
    assert early <= made
    assert record.changed
    assert jq.diff(session.recording, "insert_observers", "insert_quant_dequant").added
    path = jq.save(session.recording, tmp_path / "run.jitq")
    assert jq.load(path) == session.recording
