from __future__ import annotations

import pytest

from jitq_explore.widgets.selection import Selection

STAGES = ("input", "fold_conv_bn", "dce")


def test_it_begins_with_the_first_stage():
    assert Selection(STAGES).stage == "input"
    assert Selection(STAGES).is_first


def test_next_and_previous_go_one_stage():
    second = Selection(STAGES).next()
    assert second.stage == "fold_conv_bn"
    assert second.previous() == Selection(STAGES)


def test_next_and_previous_stop_at_the_ends():
    first, last = Selection(STAGES), Selection(STAGES).last()
    assert first.previous() == first
    assert last.is_last
    assert last.next() == last


def test_a_stage_is_chosen_by_name():
    assert Selection(STAGES).choose("dce").index == 2


def test_an_unknown_stage_is_answered_with_those_there_are():
    with pytest.raises(ValueError, match=r"unknown stage 'calibrate' .*'input', 'fold_conv_bn'"):
        Selection(STAGES).choose("calibrate")


def test_the_filter_stays_when_the_stage_changes():
    assert Selection(STAGES).filtered("  conv ").next().node_filter == "conv"


def test_the_chosen_stage_stays_chosen_when_the_run_goes_on():
    grown = Selection(STAGES[:2]).next().with_stages(STAGES)
    assert grown.stage == "fold_conv_bn"
    assert not grown.is_last


def test_a_stage_that_was_taken_back_gives_way_to_the_last_one():
    assert Selection(STAGES).last().with_stages(STAGES[:2]).stage == "fold_conv_bn"


@pytest.mark.parametrize(("stages", "index"), [((), 0), (STAGES, 3), (STAGES, -1)])
def test_nothing_is_chosen_that_is_not_there(stages, index):
    with pytest.raises(ValueError, match="no stage number"):
        Selection(stages, index)
