"""Quantizing one module at a time, and all but one: here, in a pool, on a cluster."""

from __future__ import annotations

import concurrent.futures as futures
import math
import os
import subprocess
import sys
import threading

import pandas as pd
import pytest
import torch
from nets import NETS, torchscript
from runs import FBGEMM, session

import jitq_explore as jq
from jitq_explore.capture import trials
from jitq_explore.capture.trials import CannotPackError

IN_THREAD = futures.ThreadPoolExecutor(1)


def sensitivity(run: jq.Session, net: str, **more) -> pd.DataFrame:
    more.setdefault("executor", IN_THREAD)
    return jq.sensitivity(run, NETS[net].inputs(), progress=False, **more)


def plain_sqnr(run: jq.Session, net: str, qconfig_dict) -> float:
    """The same number from torch's own functions and nothing of ours."""
    given, quantized = run.float_model(), run.with_qconfig(qconfig_dict)
    quantized.run()
    with torch.no_grad():
        expected = torch.cat([given(*batch) for batch in NETS[net].inputs()])
        got = torch.cat([quantized.module(*batch) for batch in NETS[net].inputs()])
    return 20 * math.log10(expected.norm() / (expected - got).norm())


def test_each_module_alone_and_each_left_out_is_rated_by_the_models_output():
    run = session("mlp")
    table = sensitivity(run, "mlp", which="both")
    found = {(row.way, row.module): row.sqnr for row in table.itertuples()}
    expected = {
        ("all", ""): {"": FBGEMM},
        ("one", "fc1"): {"": None, "fc1": FBGEMM},
        ("one", "fc2"): {"": None, "fc2": FBGEMM},
        ("all_but_one", "fc1"): {"": FBGEMM, "fc1": None},
        ("all_but_one", "fc2"): {"": FBGEMM, "fc2": None},
    }
    for key, qconfig_dict in expected.items():
        assert found[key] == pytest.approx(plain_sqnr(run, "mlp", qconfig_dict), abs=1e-3)
    assert found["none", ""] == math.inf
    assert len(found) == 6
    alone, left_out = (table[table.way == way] for way in ("one", "all_but_one"))
    assert alone.sqnr.is_monotonic_increasing
    assert left_out.sqnr.is_monotonic_decreasing
    assert list(alone["rank"]) == [1, 2]


def test_a_module_keeps_its_children_out_of_what_is_tried():
    table = sensitivity(session("residual"), "residual", which="both")
    quantized = table.set_index(["way", "module"]).quantized
    # A residual sum alone has nothing quantized to add; left out, the sum alone is lost.
    assert quantized["one", "block1"] == 0
    assert quantized["all_but_one", "block1"] >= quantized["all", ""] - 1


def is_quantized(model: torch.jit.ScriptModule) -> float:
    """A metric that shows which model it was given."""
    return float("quantized::linear" in str(model.inlined_graph))


def test_a_metric_ranks_instead_and_runs_in_new_processes():
    table = sensitivity(session("mlp"), "mlp", metric=is_quantized, executor=None)
    assert list(table.metric) == [0, 1, 1, 1]
    assert not table.error.any()


def dies_where_quantized(model: torch.jit.ScriptModule) -> float:
    if "quantized::" in str(model.inlined_graph):
        os._exit(1)
    return 1.0


def raises_where_quantized(model: torch.jit.ScriptModule) -> float:
    if "quantized::" in str(model.inlined_graph):
        raise OSError("disk on fire\nand more")
    return 1.0


@pytest.mark.parametrize(
    ("metric", "executor", "error"),
    [
        (raises_where_quantized, IN_THREAD, "OSError: disk on fire"),
        (dies_where_quantized, None, "process that ran it died"),
    ],
)
def test_what_fails_is_a_row_and_the_others_go_on(metric, executor, error):
    table = sensitivity(session("mlp"), "mlp", metric=metric, executor=executor)
    errors = table.set_index(["way", "module"]).error
    assert error in errors["one", "fc1"]
    assert errors["none", ""] == ""
    assert len(table) == 4


@pytest.mark.parametrize("way", ["stop", "interrupt"])
def test_a_table_cut_short_is_gone_on_with(way, monkeypatch):
    run = session("mlp")
    whole = sensitivity(run, "mlp")
    asked = []

    def stop() -> bool:
        asked.append(1)
        if len(asked) == 2 and way == "interrupt":
            raise KeyboardInterrupt
        return len(asked) == 2

    with pytest.warns(UserWarning, match="stopped after 2 of 4"):
        begun = sensitivity(run, "mlp", stop=stop)
    assert len(begun) == 2
    done = []
    monkeypatch.setattr(
        "jitq_explore.capture.sensitivity.run_here",
        lambda worker, *trial: done.append(trial) or trials.run_here(worker, *trial),
    )
    rest = sensitivity(run, "mlp", previous=begun)
    assert len(done) == 2
    pd.testing.assert_frame_equal(rest.drop(columns="seconds"), whole.drop(columns="seconds"))


def test_a_table_that_was_written_to_a_file_is_gone_on_with(tmp_path):
    run = session("mlp")
    whole = sensitivity(run, "mlp")
    whole.head(3).to_csv(tmp_path / "begun.csv")
    rest = sensitivity(run, "mlp", previous=pd.read_csv(tmp_path / "begun.csv"))
    pd.testing.assert_frame_equal(rest.drop(columns="seconds"), whole.drop(columns="seconds"))


def test_a_script_without_a_guard_is_told_what_is_missing(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import torch, jitq_explore as jq\n"
        "from torch.ao.quantization import default_qconfig\n"
        "model = torch.jit.script(torch.nn.Sequential(torch.nn.Linear(4, 2)).eval())\n"
        "x = torch.randn(3, 4)\n"
        "run = jq.Session.static(model, {'': default_qconfig}, lambda m, x: m(x), [x])\n"
        "jq.sensitivity(run, x, modules=['0'])\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode
    assert (
        done.stderr.strip()
        .splitlines()[-1]
        .startswith(
            "RuntimeError: no new process could be started. Each of them imports the script again"
        )
    )


def test_what_cannot_be_sent_is_said():
    lock = threading.Lock()

    def unlocked(model: torch.jit.ScriptModule) -> float:
        return float(not lock.locked())

    with pytest.raises(CannotPackError, match=r"the metric cannot be sent .*ThreadPoolExecutor"):
        sensitivity(session("mlp"), "mlp", metric=unlocked, executor=None)
    assert set(sensitivity(session("mlp"), "mlp", metric=unlocked).metric) == {1.0}


def test_a_closure_may_calibrate_since_only_its_calls_are_sent():
    spec, lock = NETS["dict_input"], threading.Lock()

    def calibrate(model, batches) -> None:
        with lock:
            for named, *_ in batches:
                model(named=named)

    model = torchscript(spec, "scripted")
    run = jq.Session.static(model, {"": FBGEMM}, calibrate, [spec.inputs()])
    table = sensitivity(run, "dict_input", executor=None, modules=["left"])
    assert not table.error.any()
    assert table.quantized.iloc[-1] > 0


def test_dynamic_runs_need_no_calibration():
    table = sensitivity(session("lstm", mode="dynamic"), "lstm")
    assert list(table.module) == ["", "", "fc"]
    assert table.quantized.iloc[-1] == 1


@pytest.mark.parametrize(
    ("mode", "more", "error"),
    [
        ("static", {"which": "two"}, "unknown way 'two'"),
        ("static", {"modules": ["fc7"]}, "unknown module 'fc7'"),
        ("on_device", {}, "use a dynamic session"),
    ],
)
def test_bad_input(mode, more, error):
    with pytest.raises((ValueError, KeyError), match=error):
        sensitivity(session("mlp", mode=mode), "mlp", **more)


def test_a_cluster_runs_the_trials_unchanged():
    distributed = pytest.importorskip("distributed")
    expected = sensitivity(session("mlp"), "mlp")
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        table = sensitivity(session("mlp"), "mlp", executor=client.get_executor())
    pd.testing.assert_frame_equal(table.drop(columns="seconds"), expected.drop(columns="seconds"))
