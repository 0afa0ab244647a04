"""Models and calibrations that are legal and unusual: found by a review, kept from coming back."""

from __future__ import annotations

import logging
import runpy
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from nets import NETS, torchscript
from runs import FBGEMM, calibrate, session
from torch import Tensor, nn
from torch.ao.quantization import (
    MinMaxObserver,
    QConfig,
    RecordingObserver,
    default_dynamic_qconfig,
    default_weight_observer,
    get_default_qat_qconfig,
)

import jitq_explore as jq
from jitq_explore.snapshots.archive import load, save
from jitq_explore.snapshots.calls import reached_methods
from jitq_explore.views.tables import observer_table, quant_node_table

DYNAMIC = {"": default_dynamic_qconfig}


def doubled_plus_one(y: Tensor) -> Tensor:
    z = y * 2
    return z + 1


class SameNameInFunction(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        z = self.fc(x)
        return doubled_plus_one(z) + z


def test_a_functions_local_does_not_take_the_place_of_a_value_of_that_name(tmp_path):
    recording = jq.Session.dynamic(torch.jit.script(SameNameInFunction().eval()), DYNAMIC).run()
    graph = recording.input.graph()
    last = graph.producers[graph.outputs[0]]
    assert [graph.producers[name].kind for name in last.inputs[:2]] == ["aten::add", "aten::linear"]
    assert load(save(recording, tmp_path / "run.jitq")) == recording


class GivenFunction(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def function_in_a_file(path: Path, op: str) -> Callable[[Tensor], Tensor]:
    path.write_text(
        f"import torch\ndef act(x: torch.Tensor) -> torch.Tensor: return torch.{op}(x)\n"
    )
    return runpy.run_path(str(path), run_name=path.stem)["act"]


def test_functions_of_one_name_are_told_apart(tmp_path):
    """The printed graphs of those that call them are equal."""
    functions = [function_in_a_file(tmp_path / f"{op}.py", op) for op in ("relu", "sigmoid")]
    model = torch.jit.script(nn.Sequential(*map(GivenFunction, functions)).eval())
    given = jq.Session.dynamic(model, DYNAMIC).recording.input
    assert [n.kind for n in given.graph().nodes if n.kind.startswith("aten")] == [
        "aten::relu", "aten::sigmoid",
    ]  # fmt: skip


class OddTensors(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 6)
        self.register_buffer("sparse", torch.eye(3).to_sparse())
        self.register_buffer("csr", torch.eye(3).to_sparse_csr())
        self.register_buffer("float8", torch.ones(3).to(torch.float8_e4m3fn))
        self.register_buffer("complex", torch.ones(2, dtype=torch.complex64))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x) + torch.full_like(x, float("nan"))


def test_tensors_that_numpy_does_not_know_are_read(tmp_path):
    model = torch.jit.trace(OddTensors().eval(), torch.ones(2, 6), check_trace=False)
    run = jq.Session.dynamic(model, DYNAMIC)
    attributes = run.recording.input.modules[0].attributes
    assert {attributes[n].tensor.abs_max for n in ("sparse", "csr", "float8", "complex")} == {1.0}
    recording = run.run()
    again = load(save(recording, tmp_path / "run.jitq"))
    assert jq.stage_table(again).equals(jq.stage_table(recording))


def test_a_model_optimized_for_inference_is_read():
    optimized = torch.jit.optimize_for_inference(torchscript(NETS["conv_bn_relu"], "scripted"))
    assert jq.Session.dynamic(optimized, DYNAMIC).run().error is None


class LooksLikeAnObserver(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.my_observer_1 = nn.ReLU()
        self._observer_2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self._observer_2(self.my_observer_1(x))


def test_a_users_module_is_no_observer_whatever_it_is_called():
    model = torch.jit.script(LooksLikeAnObserver().eval())
    graph = jq.Session.dynamic(model, {"": None}).recording.input.graph()
    assert not any(node.is_observer for node in graph.nodes)


class Forked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(6, 6)
        self.b = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        future = torch.jit.fork(self.a, x)
        return torch.relu(self.b(x)) + torch.jit.wait(future)


def test_what_is_forked_is_part_of_the_graph():
    """In the float model, that is: torch's own passes inline a fork, and by a class of the past."""
    model = torch.jit.script(Forked().eval())
    run = jq.Session.static(model, {"": FBGEMM}, calibrate, [[(torch.ones(2, 6),)]])
    linears = [node.module_path for node in run.recording.input.graph().find("aten::linear")]
    assert linears == ["a", "b"]
    called = [path for path, _ in reached_methods(run.recording.input)]
    assert called == ["", "a", "b"]
    assert run.run().error is None


class CountingObserver(MinMaxObserver):
    """Counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__(dtype=torch.quint8)
        self.asked = 0

    @torch.jit.export
    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        self.asked += 1
        return self._calculate_qparams(self.min_val, self.max_val)


def static(qconfig: QConfig, batches: int = 2) -> jq.Session:
    spec = NETS["mlp"]
    model = torchscript(spec, "scripted")
    return jq.Session.static(model, {"": qconfig}, calibrate, [spec.inputs(batches)])


def test_a_users_observer_is_asked_on_a_copy():
    run = static(QConfig(CountingObserver, default_weight_observer))
    run.run(until="calibrate")
    asked = [m.asked for m in run.module.modules() if m.original_name == "CountingObserver"]
    assert asked
    assert set(asked) == {0}
    assert observer_table(run.recording).scale.notna().all()


@pytest.mark.parametrize(
    "qconfig",
    [get_default_qat_qconfig("fbgemm"), QConfig(RecordingObserver, default_weight_observer)],
)
def test_observers_that_keep_their_ranges_elsewhere(qconfig):
    run = static(qconfig)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = observer_table(run.run(until="insert_observers"))
        after = observer_table(run.run(until="calibrate"))
    assert not before.calibrated.any()
    assert after.calibrated.all()


def test_a_calibration_that_calls_nothing_is_warned_of():
    spec = NETS["mlp"]
    used_once = jq.Session.static(
        torchscript(spec, "scripted"), {"": FBGEMM}, calibrate, [iter(spec.inputs())]
    )
    used_once.run()
    with pytest.warns(UserWarning, match="never called the model"):
        recording = used_once.back("calibrate")
    assert recording["calibrate"].batches == 0
    assert "never called" in recording["calibrate"].messages[0]


def test_a_logging_handler_made_while_calibrating_goes_on_working(capfd):
    logger = logging.getLogger("made while calibrating")

    def with_logging(model, batches):
        logger.addHandler(logging.StreamHandler())
        calibrate(model, batches)

    spec = NETS["mlp"]
    model = torchscript(spec, "scripted")
    jq.Session.static(model, {"": FBGEMM}, with_logging, [spec.inputs()]).run()
    logger.warning("still here")
    assert "Logging error" not in capfd.readouterr().err


def test_sessions_in_several_threads(capfd):
    failures: list[BaseException] = []

    def run() -> None:
        try:
            static(FBGEMM).run()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert capfd.readouterr().err == ""


def test_qparams_after_ops_that_keep_them_are_known():
    spec = NETS["residual"]
    model = torchscript(spec, "scripted")
    recording = jq.Session.static(model, {"": FBGEMM}, calibrate, [spec.inputs()]).run()
    table = quant_node_table(recording)
    inserted = table[(table.inserted_by == "insert_quant_dequant") & (table.kind != "prepack")]
    assert inserted.scale.notna().all()


def test_the_module_before_the_first_stage_is_a_copy():
    run = static(FBGEMM)
    run.module.fc1.weight.data.zero_()
    assert run.run().input is run.recording.input
    assert (run.back("input").input.module("fc1").attributes["weight"].tensor.abs_max) > 0


def test_on_device_inputs_by_name_are_refused_at_once():
    with pytest.raises(TypeError, match="in order; got a dict"):
        jq.Session.on_device(torchscript(NETS["mlp"], "scripted"), DYNAMIC, inputs={"x": 1})


@pytest.mark.parametrize("deep", [False, True])
def test_a_graph_that_torch_cannot_print(deep):
    net = torch.jit.script(nn.Sequential(nn.Conv2d(1, 1, 1), nn.Conv2d(1, 4, 3)).eval())
    batches = [(torch.randn(2, 1, 8, 8),)]
    recording = jq.Session.static(net, {"": FBGEMM}, calibrate, [batches], deep=deep).run()
    assert "torch cannot print all of it" in recording["quant_finalize"].after.text()
    kernels = [node.kind for node in recording.last.graph().nodes if "quantized::" in node.kind]
    assert kernels == ["quantized::conv2d"] * 2
    assert deep == any(
        "torch cannot print" in text for text in recording["quant_finalize"].messages
    )


def test_comparing_a_recording_asks_for_the_session():
    with pytest.raises(TypeError, match="a session"):
        jq.compare(session("mlp").run(), [])
