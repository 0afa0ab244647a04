"""The tour in a real JupyterLab, in a real browser, as a user sees it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from browser.lab import CHROMIUM, open_in_lab
from playwright.sync_api import expect

TOUR = Path(__file__).parents[2] / "notebooks" / "tour.ipynb"

pytestmark = pytest.mark.skipif(
    CHROMIUM is None and os.environ.get("CI") != "true", reason="there is no chromium"
)


@pytest.fixture(scope="module")
def tour(tmp_path_factory):
    """The tour, open, all its cells run."""
    assert CHROMIUM, "CI is to have a chromium on the PATH"
    work = tmp_path_factory.mktemp("tour")
    with open_in_lab(TOUR, work) as opened:
        opened.run_all()
        opened.screenshot(work / "tour.png")
        assert not opened.errors
        yield opened


@pytest.fixture
def explorer(tour):
    found = tour.page.locator(".jitq").first
    found.scroll_into_view_if_needed()
    return found


def card(explorer, stage):
    """The button of a stage."""
    return explorer.get_by_label("Stages").locator("button", has_text=stage)


def test_it_runs_and_nothing_is_red(tour):
    assert not tour.red
    assert not tour.console_errors


def test_a_difference_is_drawn(tour):
    drawn = tour.page.locator(".jp-Cell:has-text('jq.diff(') svg .node", has_text="observer")
    expect(drawn.first).to_be_visible()


def test_the_explorer_draws_the_graph(explorer):
    expect(explorer.locator(".jitq-graph svg .node").first).to_be_visible()


def test_the_arrow_keys_go_through_the_stages(tour, explorer):
    card(explorer, "insert_observers").click()
    for key, stage in (
        ("ArrowRight", "calibrate"),
        ("ArrowRight", "insert_quant_dequant"),
        ("ArrowLeft", "calibrate"),
    ):
        tour.page.keyboard.press(key)
        expect(card(explorer, stage)).to_have_attribute("aria-current", "step")
    assert not tour.console_errors


def test_a_stage_can_be_chosen(tour, explorer):
    card(explorer, "quant_finalize").click()
    kernel = explorer.locator(".jitq-graph svg .node", has_text="conv2d_relu")
    expect(kernel.first).to_be_visible()
    assert not tour.console_errors
