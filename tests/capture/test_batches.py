"""Inputs are the same thing wherever they are asked for."""

from __future__ import annotations

import functools

import pytest
import torch
from nets import NETS
from runs import session

import jitq_explore as jq
from jitq_explore.capture.batches import checked_calls, count_batches
from jitq_explore.capture.replay import Call

X, Y = NETS["two_inputs"].inputs(1)[0]
FORMS = {
    "tuple": (X, Y),
    "dict": {"y": Y, "x": X},
    "call": Call((X,), {"y": Y}),
    "list of tuples": [(X, Y)],
    "list of lists, as DataLoaders make them": [[X, Y]],
    "generator": lambda: ({"x": X, "y": Y} for _ in range(1)),
}


@functools.cache
def run() -> jq.Session:
    made = session("two_inputs")
    made.run()
    return made


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_batch(form):
    inputs = FORMS[form]() if callable(FORMS[form]) else FORMS[form]
    (call,) = checked_calls(run(), inputs)
    assert call.args == (X, Y)
    assert not call.kwargs


@pytest.mark.parametrize(
    "use",
    [
        jq.compare,
        functools.partial(jq.cost_table, seconds=0.01),
        jq.recommend,
        functools.partial(jq.sensitivity, progress=False),
    ],
)
def test_errors_are_the_same_wherever_inputs_are_given(use):
    with pytest.raises(ValueError, match=r"batch 1 has 1 arguments, the model takes 2: forward\("):
        use(run(), [(X, Y), X])


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        (None, TypeError, "must be one batch .*got NoneType"),
        ("x", TypeError, "got str"),
        ([3], TypeError, "batch 0 is a int"),
        ([], ValueError, "no inputs"),
        ((X, Y, X), ValueError, "are the further ones labels"),
        ({"x": X, "z": Y}, ValueError, "an argument 'z' that the model does not take"),
        ((X, 1), TypeError, "argument 'y' must be a tensor, got int"),
    ],
)
def test_what_does_not_fit_is_said(inputs, error, message):
    with pytest.raises(error, match=message):
        checked_calls(run(), inputs)


def test_a_dict_that_is_the_argument_goes_into_a_tuple():
    made, given = session("dict_input"), {"x": torch.zeros(1, 6), "y": torch.zeros(1, 5)}
    with pytest.raises(ValueError, match=r"goes into a tuple"):
        checked_calls(made, given)
    assert checked_calls(made, (given,)) == (Call((given,)),)


@pytest.mark.parametrize(("inputs", "count"), [(X, 1), ([X, X], 2), ((X for _ in "ab"), None)])
def test_the_number_of_batches(inputs, count):
    assert count_batches(inputs) == count
