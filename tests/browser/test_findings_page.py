"""Findings and reasons on a page, in a real browser: found on the strip, in the tab, in the
details."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from browser.lab import CHROMIUM, CHROMIUM_FLAGS, drawn
from playwright.sync_api import Page, expect, sync_playwright
from runs import recorded

import jitq_explore as jq

pytestmark = pytest.mark.skipif(
    CHROMIUM is None and os.environ.get("CI") != "true", reason="there is no chromium"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Iterator[Page]:
    file = jq.to_html(recorded("branch"), tmp_path_factory.mktemp("findings") / "run.html")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(CHROMIUM_FLAGS))
        tab = browser.new_page(viewport={"width": 1400, "height": 1000})
        tab.set_default_timeout(15_000)
        tab.goto(file.as_uri())
        yield tab
        browser.close()


def test_a_finding_leads_to_its_node_and_says_why(page):
    card = page.locator("button.jitq-card", has_text="insert_quant_dequant")
    found = card.locator(".jitq-found")
    expect(found).to_have_attribute("title", "Findings: 1 warning")
    expect(found).to_have_text("▲ 1")
    page.get_by_role("tab", name="Findings").click()
    row = page.locator("tr", has_text="decides by a value that was quantized")
    expect(row).to_contain_text("warning")
    sentences = row.locator(".jitq-clamp")
    assert sentences.count() == 4
    for sentence in sentences.all():
        assert sentence.evaluate("it => it.scrollHeight <= it.clientHeight"), sentence.inner_text()
    row.click()
    details = page.locator(".jitq-details")
    expect(details.locator("h3").first).to_have_text("prim::If")
    why = details.locator(".jitq-section", has_text="Why?")
    expect(why).to_contain_text("Decide by something that is not quantized")


def test_an_op_left_in_float_says_why(page):
    page.locator("button.jitq-card", has_text="dce").click()
    drawn(page.locator(".jitq"))
    page.locator(".jitq-graph svg g.node", has_text="sum").click()
    why = page.locator(".jitq-details .jitq-section", has_text="Why?")
    expect(why).to_contain_text("no rule of torch's static quantization is for aten::sum")
