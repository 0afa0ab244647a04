"""`jq.compare`: its numbers against hooks on the eager model and torch's own runs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from distinct_nets import distinct_net
from nets import HOWS, NETS
from runs import FBGEMM, calibrate, session
from six_nets import CASES, SIX, Batches, six_net
from torch import Tensor, nn
from torch.ao.quantization import default_dynamic_qconfig

import jitq_explore as jq
from jitq_explore.capture import held_values
from jitq_explore.capture.error_sums import ChannelSums, Squares, mean_decibels
from jitq_explore.capture.program import Program
from jitq_explore.capture.replay import Call
from jitq_explore.snapshots.source import short_source


def sums(*batches: list[float]) -> ChannelSums:
    found = ChannelSums()
    for batch in batches:
        found.add(Squares.of(np.array(batch, dtype=np.float64)))
    return found


@pytest.mark.parametrize(
    ("signal", "noise", "mean"),
    [
        (sums([1, 1]), sums([0.1, 0.001]), 20),
        (sums([1, 0]), sums([0.1, 5]), 10),  # a channel that is always zero does not count
        (sums([1, 1], [1, 1]), sums([0.1, 0], [0.1, 0]), 55),  # one without any error is 100
        (sums([1, 1], [1, 1, 1]), sums([0.1, 0.1], [10, math.nan, math.inf]), 4),
        (sums([0, 0]), sums([0, 0]), 100),
        (sums([0, 0]), sums([0, 1]), 0),
        (sums(), sums(), math.nan),
    ],
)
def test_decibels_are_the_mean_of_channels(signal, noise, mean):
    others = (sums([1] * 4), sums([0.01] * 4))
    found = mean_decibels([others, (signal, noise), others])
    assert found == pytest.approx([20, mean, 20], nan_ok=True)
    assert mean_decibels([(sums(), sums())]) == pytest.approx([math.nan], nan_ok=True)


IN_A_BRANCH = {"positive", "negative"}
HOOKED = (nn.Conv2d, nn.BatchNorm2d, nn.Linear, nn.LayerNorm, nn.LSTM)


def hooked(model: nn.Module, batches: list[tuple[Any, ...]]) -> dict[str, list[Tensor]]:
    """What each module gave in every batch."""
    found: dict[str, list[Tensor]] = {}

    def keep(path: str):
        def hook(_: nn.Module, __: object, output: Any) -> None:
            found.setdefault(path, []).append(output[0] if isinstance(output, tuple) else output)

        return hook

    hooks = [
        m.register_forward_hook(keep(p)) for p, m in model.named_modules() if isinstance(m, HOOKED)
    ]
    with torch.no_grad():
        for batch in batches:
            model(*batch)
    for hook in hooks:
        hook.remove()
    return found


def stock_values(
    run: jq.Session, stage: str, names: set[str], batches: list[tuple[Any, ...]]
) -> dict[str, list[Tensor]]:
    """The values of those names as torch's own interpreter makes them, handed out as outputs."""
    live = run.live(stage)
    graph = live.graph.copy()
    named = zip(live.snapshot.graph().nodes, live_nodes(graph), strict=True)
    found = {
        name: value
        for plain, node in named
        if not plain.block
        for name, value in zip(plain.outputs, node.outputs(), strict=True)
        if name in names
    }
    handed = graph.create("prim::TupleConstruct", list(found.values()), 1)
    handed.output().setType(torch._C.TupleType([torch._C.TensorType.get()] * len(found)))
    graph.appendNode(handed)
    graph.eraseOutput(0)
    graph.registerOutput(handed.output())
    function = torch._C._create_function_from_graph("values", graph)
    values: dict[str, list[Tensor]] = {}
    with torch.no_grad():
        for batch in batches:
            for name, tensor in zip(found, function(live.module, *batch), strict=True):
                values.setdefault(name, []).append(tensor.dequantize())
    return values


def live_nodes(graph: Any) -> list[Any]:
    nodes = []
    for node in graph.nodes():
        nodes.append(node)
        for block in node.blocks():
            nodes.extend(live_nodes(block))
    return nodes


def sqnr(x: list[Tensor], y: list[Tensor]) -> float:
    one, other = (torch.cat([t.reshape(-1) for t in side]).double() for side in (x, y))
    noise = float((one - other).norm())
    return math.inf if noise == 0 else 20 * math.log10(float(one.norm()) / noise)


def six_session(net: str, how: str, mode: str) -> tuple[nn.Module, jq.Session, Batches]:
    model, scripted, batches = six_net(net, how)
    if mode == "dynamic":
        return model, jq.Session.dynamic(scripted, {"": default_dynamic_qconfig}), batches
    return model, jq.Session.static(scripted, {"": FBGEMM}, calibrate, [batches]), batches


@pytest.mark.parametrize(
    ("net", "how", "mode"),
    [
        *((net, how, "static") for net, how in CASES),
        *(("lstm", how, "dynamic") for how in HOWS),
    ],
)
def test_every_sqnr_is_that_of_hooks_on_the_eager_model(net, how, mode):
    model, run, batches = six_session(net, how, mode)
    run.run()
    comparison = jq.compare(run, batches)
    assert run.recording.numerics is comparison
    float_values = hooked(model, batches)
    float_graph = run.recording.input.graph()
    compared = set()
    for stage in ("insert_quant_dequant", "dce"):
        rows = comparison.at(stage)
        values = stock_values(run, stage, {row.value for row in rows}, batches)
        for row in rows:
            path = float_graph.by_id[row.float_node].module_path if row.float_node else None
            if path in float_values and row.value in values and len(values[row.value]) == 3:
                if row.float_value != float_graph.by_id[row.float_node].outputs[0]:
                    continue  # the LSTM's hidden state
                want = sqnr(float_values[path], values[row.value])
                assert row.sqnr == pytest.approx(want, abs=0.1), (stage, path)
                compared.add(path)
    # What a convolution gives is gone where a batch norm was folded into it.
    there = {
        p
        for p, m in model.named_modules()
        if isinstance(m, HOOKED) and not isinstance(m, nn.Conv2d)
    }
    assert there - compared <= IN_A_BRANCH
    with torch.no_grad():
        want = sqnr([model(*b) for b in batches], [run.module(*b) for b in batches])
    assert comparison.output_sqnr() == pytest.approx(want, abs=0.1)


@pytest.mark.parametrize("mode", ["static", "dynamic"])
def test_an_lstm_stays_float_whatever_the_mode(mode):
    """TorchScript quantizes the linear layer behind it, and that is all the error."""
    _, run, batches = six_session("lstm", "scripted", mode)
    run.run()
    rows = {row.kind: row for row in jq.compare(run, batches).at("dce")}
    kernel = "quantized::linear" if mode == "static" else "quantized::linear_dynamic"
    assert rows["aten::lstm"].sqnr == math.inf
    assert 20 < rows[kernel].own_sqnr < 60


def test_another_branch_is_reported_and_not_averaged_over():
    torch.manual_seed(1)
    batches = SIX["branch"]()[1]

    class Threshold(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(6, 4)
            self.positive = nn.Linear(4, 2)
            self.negative = nn.Linear(4, 2)
            self.limit = 0.0

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            y = self.fc(x)
            z = self.positive(y) if float(y.sum()) > self.limit else self.negative(y)
            return z, y

    model = Threshold().eval()
    inputs = [(x,) for x, _ in batches]

    def quantized() -> jq.Session:
        run = jq.Session.static(torch.jit.script(model), {"": FBGEMM}, calibrate, [inputs])
        run.run()
        return run

    with torch.no_grad():
        # Between what the float model and what the quantized one compute for the batch 1.
        sums = [float(m(*inputs[1])[1].sum()) for m in (model, quantized().module)]
        model.limit = sum(sums) / 2
    run = quantized()
    comparison = jq.compare(run, inputs)
    (branch,) = [b for b in comparison.branches if b.stage == "dce"]
    assert (branch.kind, branch.batch) == ("prim::If", 1)
    assert branch.taken != branch.float_taken
    assert "test_numerics.py" in branch.source
    assert f" ({short_source(branch.source)}) took its" in str(branch)
    outputs = {o.name: o.batches for o in comparison.outputs if o.stage == "dce"}
    assert outputs == {"output[0]": 2, "output[1]": 3}
    assert all(
        r.batches + 1 <= 3 for r in comparison.at("dce") if r.module in ("positive", "negative")
    )


def test_every_kernel_is_compared_whatever_branches_are_never_taken():
    """`if inplace:` in each ReLU: the ids of what is dead there are used again in other graphs."""
    layers = [layer for _ in range(12) for layer in (nn.Conv2d(2, 2, 1), nn.ReLU6())]
    model, batch = torch.jit.script(nn.Sequential(*layers).eval()), torch.randn(1, 2, 3, 3)
    run = jq.Session.static(model, {"": FBGEMM}, calibrate, [[(batch,)]], progress=False)
    run.run()
    comparison = jq.compare(run, batch)
    for stage in ("insert_quant_dequant", "dce"):
        graph = run.recording[stage].after.graph()
        kinds = ("aten::conv2d", "aten::hardtanh", "quantized::conv2d", "quantized::relu6")
        ops = [node for node in graph.nodes if node.kind in kinds]
        assert len(ops) >= 12
        assert [node.id for node in ops if comparison.of(stage, node) is None] == []


def test_an_op_that_cannot_take_the_lanes_values_is_of_unknown_own_error(monkeypatch):
    """As where nodes were matched wrongly; all else is still compared."""
    run, compute = session("mlp"), Program.compute
    run.run()

    def refuse(program: Program, node: Any, inputs: Any) -> Any:
        if node.kind == "aten::linear" and node.module_path == "fc2":
            raise RuntimeError("Given groups=1, weight of size [24, 8, 1, 1], expected …")
        return compute(program, node, inputs)

    monkeypatch.setattr(Program, "compute", refuse)
    rows = {row.module: row for row in jq.compare(run, NETS["mlp"].inputs(2)).at("dce")}
    assert math.isnan(rows["fc2"].own_sqnr)
    assert rows["fc2"].sqnr > 10
    assert rows["fc1"].own_sqnr > 10


@pytest.mark.parametrize("net", ["residual", "lstm"])
def test_comparing_changes_nothing(net):
    run, other = session(net), session(net)
    run.run(until="calibrate")
    before = run._log.taker.retake_observers(run._module, run.recording.last).observers
    comparison = jq.compare(run, NETS[net].inputs(3), ["fold_conv_bn", "calibrate"])
    after = run._log.taker.retake_observers(run._module, run.recording.last).observers
    assert after == before
    assert comparison.output_sqnr("calibrate") > 100
    run.run()
    other.run()
    jq.compare(run, NETS[net].inputs(3))
    with torch.no_grad():
        for batch in NETS[net].inputs():
            assert torch.equal(run.module(*batch), other.module(*batch))


def test_saved_and_loaded(tmp_path):
    run = session("branch")
    run.run()
    jq.compare(run, NETS["branch"].inputs(3))
    jq.save(run.recording, tmp_path / "run.jitq")
    loaded = jq.load(tmp_path / "run.jitq").numerics
    # By repr, since NaN is not equal to itself.
    assert repr(loaded) == repr(run.recording.numerics)
    table = jq.numerics_table(jq.load(tmp_path / "run.jitq"))
    assert len(table) == len(loaded.rows) + len(loaded.outputs)


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        (None, TypeError, "must be one batch .*got NoneType"),
        ({"x": 1}, TypeError, "batch 0: argument 'x' must be a tensor"),
        ({"y": torch.zeros(3, 6)}, ValueError, "an argument 'y' that the model does not take"),
        ([], ValueError, "no inputs"),
        (
            (torch.zeros(3, 6), torch.zeros(3)),
            ValueError,
            r"2 arguments, the model takes 1: forward\(x: Tensor\)",
        ),
        ([torch.zeros(3, 6), ("a",)], TypeError, "batch 1: argument 'x' must be a tensor"),
        (
            [torch.zeros(3, 6), torch.zeros(2, 9)],
            ValueError,
            "batch 1: .*aten::linear of module 'fc1'",
        ),
    ],
)
def test_errors_say_what_is_wrong_with_the_inputs(inputs, error, message):
    run = session("mlp")
    run.run()
    with pytest.raises(error, match=message):
        jq.compare(run, inputs)
    assert run.recording.numerics is None


def test_stages_that_cannot_be_compared():
    run = session("mlp")
    with pytest.raises(ValueError, match="no stage has run yet"):
        jq.compare(run, torch.zeros(3, 6))
    run.run()
    with pytest.raises(ValueError, match="cannot run the model after \\['calibrate'\\]"):
        jq.compare(run, torch.zeros(3, 6), "calibrate")
    on_device = session("mlp", mode="on_device")
    on_device.run(until="quant_finalize_method")
    with pytest.raises(ValueError, match="cannot run"):
        jq.compare(on_device, torch.zeros(3, 6), "quant_finalize_method")


class StopAfterTwo:
    """Watches a session, and stops it."""

    def __init__(self, run: jq.Session) -> None:
        self.run, self.heard = run, []
        run.watch(self)

    def began(self, stage: str) -> None:
        self.heard.append(stage)

    def fed(self, stage: str, done: int, total: int | None) -> None:
        self.heard.append((done, total))
        if done == 2:
            self.run.stop()

    def ended(self) -> None:
        self.heard.append("ended")

    def rested(self) -> None:
        self.heard.append("rested")


def test_stopped_what_was_measured_counts():
    run = session("mlp")
    run.run()
    watcher = StopAfterTwo(run)
    found = jq.compare(run, NETS["mlp"].inputs(5))
    assert found.batches == run.recording.numerics.batches == 2
    assert watcher.heard == ["compare", (1, 5), (2, 5), "ended", "rested"]


def test_arguments_may_be_given_by_name():
    run = session("two_inputs")
    run.run()
    batches = NETS["two_inputs"].inputs(2)
    names = [arg.name for arg in run.module.forward.schema.arguments[1:]]
    named = [Call((), dict(zip(names, batch, strict=True))) for batch in batches]
    assert jq.compare(run, named) == jq.compare(run, batches)


def _is_batch(value: object) -> bool:
    return isinstance(value, Tensor) and value.dim() == 4 and value.shape[0] == 2


def test_no_more_is_held_in_a_deeper_net(monkeypatch):
    held: dict[str, int] = {}
    put = held_values.HeldValues.put

    def counted(self: Any, *args: Any) -> None:
        put(self, *args)
        batches = [v for f in self.held.values() for v in f.values() if _is_batch(v)]
        held["most"] = max(held.get("most", 0), len(batches))

    monkeypatch.setattr(held_values.HeldValues, "put", counted)
    most = []
    for depth in (2, 8):
        held.clear()
        model, x = distinct_net("inverted", depth, "scripted")
        run = jq.Session.static(model, {"": FBGEMM}, calibrate, [[(x,)]])
        run.run()
        jq.compare(run, x)
        most.append(held["most"])
    assert most[0] == most[1] < 10
