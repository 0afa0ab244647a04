"""Recordings as pandas frames."""

from __future__ import annotations

import numpy as np
import pytest
from nets import NETS, torchscript
from runs import FBGEMM, calibrate, recorded, session

import jitq_explore as jq

OBSERVER_COLUMNS = [
    "module", "observer", "class", "role", "value", "observed_op", "source_line", "dtype",
    "qscheme", "quant_min", "quant_max", "min", "max", "scale", "zero_point", "channels",
    "batches", "calibrated",
]  # fmt: skip


def test_the_observer_table_of_a_static_run():
    table = jq.observer_table(recorded("conv_bn_relu"))
    assert list(table.columns) == OBSERVER_COLUMNS
    weights = table[table.role == "weight"]
    assert list(weights.module) == ["conv1", "conv2", "fc"]
    assert list(weights.observed_op) == ["aten::conv2d", "aten::conv2d", "aten::linear"]
    assert list(weights.channels) == [4, 6, 5]
    assert table.observed_op.iloc[0] == "input"
    assert (table.batches == 2).all()
    assert table.calibrated.all()
    assert table.source_line.iloc[1:].str.startswith("nets.py:").all()
    assert np.isfinite(table[["min", "max", "scale"]].to_numpy()).all()


def test_a_per_channel_row_holds_extremes_and_the_channel_table_each_channel():
    recording = recorded("conv_bn_relu")
    row = jq.observer_table(recording).set_index("module").loc["conv2"]
    channels = jq.channel_table(recording, row.observer)
    assert list(channels.columns) == ["channel", "min", "max", "scale", "zero_point"]
    assert len(channels) == row.channels == 6
    extremes = channels["min"].min(), channels["max"].max(), channels["scale"].max()
    assert extremes == (row["min"], row["max"], row["scale"])
    with pytest.raises(KeyError, match="unknown observer 'nobody'"):
        jq.channel_table(recording, "nobody")


def test_before_calibration_nothing_has_a_range():
    run = session("mlp")
    table = jq.observer_table(run.run(until="insert_observers"))
    assert not table.calibrated.any()
    assert table[["min", "max", "scale"]].isna().all(axis=None)
    assert (table.batches == 0).all()


def test_a_branch_never_taken_is_seen_in_the_table():
    spec = NETS["branch"]
    model = torchscript(spec, "scripted")
    always = [(batch[0].abs() * 0 - 100.0,) for batch in spec.inputs()]
    recording = jq.Session.static(model, {"": FBGEMM}, calibrate, [always]).run(until="calibrate")
    table = jq.observer_table(recording).set_index("module")
    taken = {module: rows.calibrated.all() for module, rows in table.groupby(level=0)}
    assert taken["positive"] != taken["negative"]


FATES = {
    "static": {
        "aten::quantize_per_tensor": "kept",
        "aten::quantize_per_channel": "folded into the packed weight of quantized::linear",
        "quantized::linear_prepack": "folded into the attribute ",
    },
    "dynamic": {
        "aten::_choose_qparams_per_tensor": "fused into quantized::linear_dynamic",
        "aten::quantize_per_tensor": "fused into quantized::linear_dynamic",
        "quantized::linear_prepack": "folded into the attribute ",
    },
    "on_device": {
        "aten::quantize_per_tensor": "kept",
        "quantized::linear_prepack": "kept",
    },
}


@pytest.mark.parametrize("mode", FATES)
@pytest.mark.parametrize("how", ["scripted", "traced"])
def test_quantize_nodes_and_what_became_of_them(mode, how):
    table = jq.quant_node_table(recorded("mlp", how, mode))
    first = table.drop_duplicates("kind").set_index("kind")
    for kind, fate in FATES[mode].items():
        assert first.fate[kind].startswith(fate)
    assert (table.fate != "removed").all()


def test_a_run_with_nothing_to_quantize_has_empty_tables_of_the_same_columns():
    recording = recorded("loop")
    assert list(jq.observer_table(recording).columns) == OBSERVER_COLUMNS
    assert len(jq.observer_table(recording)) == len(jq.quant_node_table(recording)) == 0


def test_the_stage_table():
    table = jq.stage_table(recorded("residual")).set_index("stage")
    assert table.index[0] == "fold_conv_bn"
    assert table.batches["calibrate"] == 2
    assert table.loc["constant_propagation", ["added", "removed", "changed"]].sum() == 0
    assert (table.error == "").all()
    assert (table.seconds > 0).all()
