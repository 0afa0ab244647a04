"""Which methods a method calls."""

from __future__ import annotations

import pytest
from runs import recorded

from jitq_explore.snapshots.calls import reached_methods


def test_callers_come_first_and_methods_that_nobody_calls_are_left_out():
    given = recorded("conv_bn_relu").input
    assert reached_methods(given)[:3] == (
        ("", "forward"), ("conv1", "forward"), ("conv1", "_conv_forward"),
    )  # fmt: skip
    folded = recorded("conv_bn_relu")["fold_conv_bn"].after
    assert {path for path, _ in reached_methods(given)} >= {"bn1", "bn2"}
    assert "bn1" in folded.by_path
    assert "bn1" not in {path for path, _ in reached_methods(folded)}


def test_observers_are_left_out():
    prepared = recorded("conv_bn_relu")["insert_observers"].after
    assert prepared.readings.keys().isdisjoint(path for path, _ in reached_methods(prepared))


@pytest.mark.parametrize("method", [None, "forward", "scores"])
def test_the_calls_of_one_method_are_told(method):
    called = reached_methods(recorded("mlp").input, method)
    assert called[0] == ("", method or "forward")
    assert (("fc2", "forward") in called) == (method != "scores")


def test_modules_are_called_by_the_names_that_are_used_in_the_order_of_the_calls():
    called = [path for path, _ in reached_methods(recorded("shared_submodule").input)]
    assert called == ["", "shared", "alias", "head"]
