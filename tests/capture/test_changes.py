"""A changed qconfig does what was asked for, and nothing else."""

from __future__ import annotations

import pytest
import torch
from runs import session
from torch.ao.quantization import MinMaxObserver

import jitq_explore as jq
from jitq_explore.snapshots.changes import Change, ObserverChoice
from jitq_explore.snapshots.deciding import agreeing_modules
from jitq_explore.snapshots.observations import observations

MINMAX = ObserverChoice("MinMaxObserver", {"dtype": "quint8", "quant_min": 0, "quant_max": 127})
FIXED = ObserverChoice(
    "FixedQParamsObserver",
    {"scale": 0.1, "zero_point": 3, "dtype": "quint8", "quant_min": 0, "quant_max": 127},
)
WEIGHT = ObserverChoice("MinMaxObserver", {"dtype": "qint8", "qscheme": "per_tensor_symmetric"})


def observers(run: jq.Session) -> dict[tuple[str, str], str]:
    """(module, place in it) -> the observer's class."""
    recording = run.run(until="insert_observers")
    return {
        (seen.reading.module, seen.value): seen.reading.short_class
        for seen in observations(recording)
    }


@pytest.mark.parametrize(
    ("change", "differ"),
    [
        (Change(("block1.conv1",), activation=MINMAX), {("block1", "inner.2"): "MinMaxObserver"}),
        # What the block itself does is its sum: its convolutions keep their observers.
        (Change(("block1",), activation=FIXED), {("block1", "9"): "FixedQParamsObserver"}),
        (Change(("fc",), weight=WEIGHT), {("fc", "weight.1"): "MinMaxObserver"}),
    ],
)
def test_only_what_the_modules_own_ops_decide_on_is_changed(change, differ):
    run = session("residual")
    before, after = observers(run), observers(run.with_change(change))
    assert before.keys() == after.keys()
    changed = {key: after[key] for key in after if after[key] != before[key]}
    # A convolution decides on its input too where that is the model's.
    assert differ.items() <= changed.items()
    assert len(changed) == len(differ)


def test_a_module_kept_in_float():
    run = session("residual").with_change(Change(("fc",), keep_float=True))
    assert "aten::linear" in [node.kind for node in run.run().last.graph().nodes]


def test_a_fixed_range_ends_up_in_the_graph():
    run = session("residual").with_change(Change(("block1",), activation=FIXED))
    table = jq.quant_node_table(run.run())
    rows = table[(table.module == "block1") & (table.value == "13")]
    assert list(rows.zero_point.unique()) == [3]
    assert list(rows.scale) == pytest.approx([0.1] * len(rows))


def test_the_code_of_a_change_makes_it():
    run = session("residual")
    change = Change(("block1.conv1", "fc"), activation=MINMAX)
    names = {"torch": torch, "QConfig": torch.ao.quantization.QConfig,
             "MinMaxObserver": MinMaxObserver, "given": run.qconfig_dict}  # fmt: skip
    written = eval(change.code(run.qconfig_dict, "given"), names)
    assert observers(run.with_qconfig(written)) == observers(run.with_change(change))


def test_another_observer_by_the_path_of_the_one_there_is():
    run = session("residual")
    recording = run.run(until="insert_observers")
    seen = next(seen for seen in observations(recording) if seen.value == "inner.2")
    after = observers(run.with_observer(seen.reading.path, activation=MinMaxObserver))
    assert after[seen.reading.module, "inner.2"] == "MinMaxObserver"
    assert list(after.values()).count("MinMaxObserver") == 1


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (Change(("fc7",), keep_float=True), "unknown module 'fc7'"),
        (Change(("fc",), weight=ObserverChoice("Oracle")), "no observer 'Oracle'"),
    ],
)
def test_bad_input(change, error):
    with pytest.raises((KeyError, ValueError), match=error):
        session("residual").with_change(change)
    with pytest.raises(KeyError, match="'fc7' is neither"):
        session("residual").with_observer("fc7")


@pytest.mark.parametrize("how", ["scripted", "traced"])
def test_modules_that_share_an_input_change_together_and_keep_what_they_share(how):
    run = session("transformer_block", how)
    recording = run.run(until="insert_observers")
    weight = run.with_change(Change(("q",), weight=WEIGHT))
    assert weight.run().error is None
    assert agreeing_modules(recording, ["q"]) == ("q", "k", "v")
    activation = Change(agreeing_modules(recording, ["q"]), activation=MINMAX)
    assert run.with_change(activation).run().error is None
