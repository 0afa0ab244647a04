"""The demo: a real network, trained, quantized and measured."""

from __future__ import annotations

import re
import sys

import pytest
import torch

from jitq_explore.demo import MissingScikitLearnError, accuracy, digits, train
from jitq_explore.snapshots.archive import load


def test_int8_is_as_good_as_float(demo):
    float_model, int8_model = demo.result.float_model, demo.result.int8_model
    assert float_model.accuracy > 0.97
    assert abs(float_model.accuracy - int8_model.accuracy) < 0.02
    assert int8_model.nbytes < float_model.nbytes / 2


def test_the_stages_are_run_in_order_and_each_says_what_it_did(demo):
    assert demo.result.recording.names == (
        "fold_conv_bn",
        "insert_observers",
        "calibrate",
        "insert_quant_dequant",
        "quant_finalize",
        "constant_propagation",
        "dce",
    )
    assert not demo.result.recording["calibrate"].error
    for name in demo.result.recording.names:
        assert any(
            re.match(rf"  {name} +\d+ +\+\d+ +-\d+ +~\d+ +\d+\.\d+", line) for line in demo.said
        )


def test_it_names_every_file_it_wrote_and_keeps_to_80_columns(demo):
    written = {path.name for path in demo.folder.iterdir()}
    assert written == {path.name for path in demo.result.files}
    assert {"digits.jitq", "1-fold_conv_bn.svg", "7-dce.svg"} <= written
    assert all(any(name in line for line in demo.said) for name in written)
    assert max(len(line) for line in "\n".join(demo.said).splitlines()) < 80


def test_the_recording_it_wrote_can_be_read(demo):
    assert load(demo.folder / "digits.jitq").names == demo.result.recording.names


def test_the_drawings_are_svg(demo):
    for drawing in demo.folder.glob("*.svg"):
        assert "<svg" in drawing.read_text(encoding="utf-8")


def test_training_is_reproducible_and_leaves_torch_as_it_was():
    data = digits()
    torch.manual_seed(5)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    first, second = train(data.train, epochs=1), train(data.train, epochs=1)
    assert torch.equal(first.fc.weight, second.fc.weight)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert accuracy(first, data.test) == accuracy(second, data.test)


def test_the_three_parts_of_the_data_share_no_image():
    data = digits()
    parts = [
        torch.cat([images for images, _ in part])
        for part in (data.train, data.calibration, data.test)
    ]
    assert [len(part) for part in parts] == [1197, 200, 400]
    assert len(torch.cat(parts).unique(dim=0)) == 1797


def test_without_scikit_learn_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingScikitLearnError, match=r'pip install "jitq-explore\[demo\]"'):
        digits()
