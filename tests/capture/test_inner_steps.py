"""A deep recording: each pass in its inner steps, and the same model as without."""

from __future__ import annotations

import functools
import itertools

import pytest
import torch
from fingerprints import fingerprint
from nets import NETS, torchscript
from runs import FBGEMM, calibrate, session
from torch.ao.quantization import default_dynamic_qconfig

import jitq_explore as jq
from jitq_explore.capture import run_log
from jitq_explore.snapshots.recording import Recording
from jitq_explore.snapshots.step_changes import lines_made

MODES = ("static", "dynamic", "on_device")
RUNS = [
    (net, how, mode)
    for net in ("conv_bn_relu", "residual", "lstm", "branch", "transformer_block")
    for how in NETS[net].hows
    for mode in MODES
]


def seeded_session(net: str, how: str, mode: str, deep: bool) -> jq.Session:
    torch.manual_seed(0)
    return session(net, how, mode, deep=deep)


@functools.cache
def deep(net: str = "residual", how: str = "scripted", mode: str = "static") -> Recording:
    return seeded_session(net, how, mode, deep=True).run()


@pytest.mark.parametrize(("net", "how", "mode"), RUNS)
def test_the_model_is_the_same_to_the_bit(net, how, mode):
    with_log, without = (seeded_session(net, how, mode, deep=on) for on in (True, False))
    with_log.run()
    without.run()
    assert fingerprint(with_log.module) == fingerprint(without.module)


@pytest.mark.parametrize(("net", "how", "mode"), RUNS)
def test_every_graph_of_every_step_can_be_read(net, how, mode):
    graphs = [
        graph
        for stage in deep(net, how, mode)
        for step in stage.steps
        for graph in (step.before, step.after)
        if graph is not None
    ]
    assert graphs
    for graph in {id(graph): graph for graph in graphs}.values():
        assert len(graph.graph) > 0 or graph.lines[-1].strip().startswith("return")


def phases(stage: str, **run: str) -> list[str]:
    return list(dict.fromkeys(step.name for step in deep(**run)[stage].steps))


def test_the_phases_of_each_pass():
    assert phases("fold_conv_bn") == ["fold"]
    assert phases("insert_observers") == ["qconfig", "decide", "insert"]
    assert phases("calibrate") == []
    assert phases("insert_quant_dequant") == ["quantize", "remove observers", "propagate"]
    assert phases("quant_finalize") == ["prepack", "fuse", "freeze", "fold prepack"]
    assert phases("quant_finalize_method", mode="on_device") == ["prepack", "fuse"]


def test_a_fold_names_its_batch_norm():
    first, second = deep()["fold_conv_bn"].steps
    folded = [event.module for step in (first, second) for event in step.events]
    assert sorted(folded) == ["block1.bn1", "block1.bn2", "block2.bn1", "block2.bn2"]
    for step in (first, second):
        assert len(step.before.graph) - len(step.after.graph) == 4


def test_each_module_says_by_which_key_it_goes():
    qconfig = {"": FBGEMM, "block1": None, "block1.conv2": FBGEMM}
    spec = NETS["residual"]
    model = torchscript(spec, "scripted")
    run = jq.Session.static(model, qconfig, calibrate, [spec.inputs()], deep=True)
    record = run.run(until="insert_observers")["insert_observers"]
    causes = {event.module: event.cause for event in record.steps[0].events}
    assert causes["block1"] == "the key 'block1' names it"
    assert "inherited: the key 'block1'" in causes["block1.conv1"]
    assert causes["block1.conv2"] == "the key 'block1.conv2' names it"
    assert "inherited: the key ''" in causes["fc"]


def test_values_of_a_fused_pattern_are_delayed_and_the_rest_is_recorded():
    decided = deep("conv_bn_relu")["insert_observers"].steps[1].events
    delayed = [event.values for event in decided if event.kind == "delayed"]
    assert delayed == [("7", "x.5"), ("10", "x.9")]
    recorded = {(e.module, e.values[0]): e.cause for e in decided if e.kind == "recorded"}
    assert "taken by aten::conv2d" in recorded["conv1", "weight.1"]


def test_an_op_that_keeps_values_shares_its_inputs_observer():
    inserted = deep("conv_bn_relu")["insert_observers"].steps[2].events
    (shared,) = (event for event in inserted if event.kind == "shared")
    assert "aten::mean" in shared.cause
    count = sum(event.kind == "inserted" for event in inserted)
    assert count == len(deep("conv_bn_relu")["insert_observers"].after.observers)


@pytest.mark.parametrize("mode", ["static", "dynamic"])
def test_each_rule_that_matched_is_a_step_between_two_graphs(mode):
    steps = [step for step in deep(mode=mode)["quant_finalize"].steps if step.rule]
    names = {rule.name for rule in deep(mode=mode).rules if rule.mode == mode}
    assert {step.rule for step in steps} <= names
    for one, other in itertools.pairwise(steps):
        assert one.after is other.before or one.name != other.name
    for step in steps:
        made = [name for event in step.events for name in event.values]
        assert made
        assert set(made) <= set(step.after.graph.values)
        assert lines_made(step.before, step.after)


def test_a_fusion_is_told_place_by_place():
    (step,) = (s for s in deep()["quant_finalize"].steps if s.rule.startswith("add + relu"))
    assert len(step.events) == 2
    for event in step.events:
        (made, *taken) = event.text.splitlines()
        assert made.startswith("made ")
        assert "quantized::add_relu" in made
        kinds = ["dequantize", "dequantize", "add", "relu", "quantize_per_tensor"]
        assert [line.partition("aten::")[2].partition("(")[0] for line in taken] == kinds


def test_a_failed_pass_keeps_what_it_said():
    model = torchscript(NETS["mlp"], "scripted")
    run = jq.Session.static(
        model, {"": default_dynamic_qconfig}, calibrate, [NETS["mlp"].inputs()], deep=True
    )
    with pytest.raises(RuntimeError):
        run.run()
    assert run.recording.error is not None
    assert run.recording["insert_observers"].steps[0].name == "qconfig"


def test_a_log_that_would_be_too_large_is_left_out_and_that_is_said():
    recording = session("mlp", deep=True, log_bytes=2000).run()
    (said,) = (m for m in recording["insert_observers"].messages if "log_bytes" in m)
    assert "inner steps are left out" in said
    assert recording["insert_observers"].steps == ()


def test_a_log_of_another_form_costs_its_steps_and_nothing_else(monkeypatch):
    def fail(*_: object) -> None:
        raise KeyError("odd")

    monkeypatch.setattr(run_log, "inner_steps", fail)
    recording = session("mlp", deep=True).run()
    assert recording.error is None
    assert any("could not be read" in said for said in recording["quant_finalize"].messages)


def test_recordings_that_are_not_deep_have_no_steps():
    recording = session("mlp").run()
    assert recording.rules == ()
    assert all(stage.steps == () for stage in recording)


def test_a_deep_recording_comes_back_from_its_file(tmp_path):
    path = jq.save(deep(), tmp_path / "run.jitq")
    loaded = jq.load(path)
    assert loaded == deep()
    first, second = (s for s in loaded["quant_finalize"].steps if s.name == "prepack")
    assert first.after is second.before
    assert len(first.after.graph) == len(deep()["quant_finalize"].steps[0].after.graph)
