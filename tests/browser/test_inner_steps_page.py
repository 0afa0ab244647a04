"""Inner steps on the page: found in the strip, chosen, and shown with what they did."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser.lab import CHROMIUM, CHROMIUM_FLAGS
from browser.test_page import Opened
from playwright.sync_api import expect, sync_playwright
from runs import session

import jitq_explore as jq

pytestmark = pytest.mark.skipif(
    CHROMIUM is None and os.environ.get("CI") != "true", reason="there is no chromium"
)


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    recording = session("residual", deep=True).run()
    return jq.to_html(recording, tmp_path_factory.mktemp("pages") / "deep.html")


@pytest.fixture
def page(file) -> Iterator[Opened]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(CHROMIUM_FLAGS))
        opened = Opened(browser.new_page(viewport={"width": 1200, "height": 1200}), file)
        yield opened
        browser.close()
        assert opened.said == []


def test_a_phase_in_the_strip_leads_to_its_first_step(page):
    stage = page.tab.locator(".jitq-cards > li", has_text="quant_finalize")
    stage.get_by_text("9 inner steps").click()
    stage.get_by_role("button", name="fuse ×5").click()
    expect(page.stage).to_have_text("quant_finalize")
    expect(page.tab.get_by_role("tab", name="Inside")).to_have_attribute("aria-selected", "true")
    chosen = page.tab.locator('.jitq-step[aria-pressed="true"]')
    expect(chosen).to_have_text(re.compile("conv2d → quantized::conv2d"))
    shown = page.tab.locator(".jitq-step-shown")
    expect(shown.locator("tbody tr")).to_have_count(3)
    expect(shown.locator(".jitq-line-added", has_text="quantized::conv2d(")).to_have_count(3)


def test_steps_are_chosen_with_the_keyboard_and_follow_the_stage(page):
    page.tab.get_by_role("tab", name="Inside").click()
    expect(page.tab.locator(".jitq-step").first).to_be_visible()
    page.tab.locator('.jitq-card[data-stage="insert_observers"]').click()
    expect(page.tab.locator(".jitq-step")).to_have_count(3)
    page.tab.locator(".jitq-step").first.focus()
    page.tab.keyboard.press("ArrowDown")
    page.tab.keyboard.press("Enter")
    expect(page.tab.locator(".jitq-step-shown b").first).to_have_text(
        "decide: 20 values to be observed"
    )
    page.tab.locator('.jitq-card[data-stage="calibrate"]').click()
    expect(page.tab.get_by_text("no inner steps")).to_be_visible()
