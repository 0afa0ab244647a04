"""What a user does with the explorer in JupyterLab: keys, clicks, tables, folds, two runs."""

from __future__ import annotations

import re

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from browser.lab import CHROMIUM, drawn, open_in_lab
from browser.test_tour import card, pytestmark  # noqa: F401
from playwright.sync_api import expect

RUN = """
import sys
sys.path.insert(0, {tests!r})
import jitq_explore as jq
from runs import recorded, session
recording = recorded("residual")
explorer = jq.explore(recording, stage="insert_observers")
first = dict(explorer.state)
explorer
"""
TWO = "pair = jq.explore(recording, recorded('residual', mode='dynamic'))\npair"


@pytest.fixture(scope="module")
def lab(tmp_path_factory, request):
    """A notebook with an explorer of one run, one of two, and an empty cell."""
    assert CHROMIUM, "CI is to have a chromium on the PATH"
    work = tmp_path_factory.mktemp("explorer")
    sources = (RUN.format(tests=str(request.config.rootpath / "tests")), TWO, "")
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), work / "look.ipynb")
    with open_in_lab(work / "look.ipynb", work) as opened:
        opened.run_all()
        assert not opened.errors
        yield opened
        assert not opened.red
        assert not opened.console_errors


@pytest.fixture
def explorer(lab):
    """That of one run, as it was when it was opened."""
    found = lab.page.locator(".jitq").first
    found.scroll_into_view_if_needed()
    # What the last test chose may not be told yet. Another state takes the place of that, then this
    # one takes the place of the other: both have come to the page when the cell has run.
    lab.run_cell("explorer.state = {**first, 'stage': 'input'}\nexplorer.state = first")
    assert not lab.errors
    expect(card(found, "insert_observers")).to_have_attribute("aria-current", "step")
    drawn(found)
    found.get_by_role("button", name="Fit").click()
    drawn(found)
    return found


def boxes(explorer, words=""):
    return explorer.locator(".jitq-graph svg g.node", has_text=words)


def selected(explorer):
    """The heading of the details."""
    return explorer.locator(".jitq-details h3").first


def middle(locator):
    box = locator.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_all_stages_by_keys_and_by_clicks(lab, explorer):
    names = [name.inner_text() for name in explorer.locator(".jitq-card-name").all()]
    card(explorer, names[0]).click()
    for name in names[1:]:
        lab.page.keyboard.press("ArrowRight")
        expect(card(explorer, name)).to_have_attribute("aria-current", "step")
        drawn(explorer)
    for name in reversed(names):
        card(explorer, name).click()
        expect(card(explorer, name)).to_have_attribute("aria-current", "step")


def test_a_node_shows_its_row_and_is_followed_over_the_stages(lab, explorer):
    boxes(explorer, "HistogramObserver").first.click()
    expect(selected(explorer)).to_contain_text("HistogramObserver")
    expect(explorer.locator("tr.jitq-here").first).to_be_visible()
    lab.page.keyboard.press("ArrowRight")
    lab.page.keyboard.press("ArrowRight")
    expect(card(explorer, "insert_quant_dequant")).to_have_attribute("aria-current", "step")
    drawn(explorer)
    expect(explorer.locator("tr.jitq-here").first).to_be_visible()
    lab.page.keyboard.press("Escape")
    expect(explorer.locator("tr.jitq-here")).to_have_count(0)


def test_a_row_shows_its_node_in_the_middle(explorer):
    explorer.locator("tr.jitq-row").last.click()
    expect(selected(explorer)).to_contain_text("Observer")
    chosen = explorer.locator(".jitq-graph g.node.jitq-graph-chosen")
    expect(chosen).not_to_have_count(0)
    drawn(explorer)
    view = explorer.locator(".jitq-graph").first.bounding_box()
    x, y = middle(chosen.first)
    assert view["x"] < x < view["x"] + view["width"]
    assert view["y"] < y < view["y"] + view["height"]


def test_modules_fold_and_unfold(explorer):
    count = boxes(explorer).count()
    explorer.get_by_role("button", name="Fold all", exact=True).click()
    expect(boxes(explorer)).not_to_have_count(count)
    drawn(explorer)
    folded = boxes(explorer).count()
    explorer.get_by_role("button", name="Fit").click()
    drawn(explorer)
    boxes(explorer, re.compile("nodes")).first.dblclick()
    expect(boxes(explorer)).not_to_have_count(folded)
    explorer.get_by_role("button", name="Unfold all").click()
    expect(boxes(explorer)).to_have_count(count)


def test_nodes_are_searched_for_and_rows_filtered(lab, explorer):
    boxes(explorer).first.click()
    lab.page.keyboard.press("/")
    lab.page.keyboard.type("conv2d")
    expect(explorer.locator(".jitq-hits")).to_contain_text(re.compile(r"\d"))
    lab.page.keyboard.press("Enter")
    expect(selected(explorer)).to_contain_text("conv2d")
    rows = explorer.locator("tr.jitq-row")
    everything = rows.count()
    explorer.get_by_placeholder("filter rows").fill("weight")
    expect(rows).not_to_have_count(everything)
    explorer.get_by_label("Module", exact=True).select_option(index=1)


def test_before_and_after_stand_side_by_side(explorer):
    explorer.get_by_role("button", name="Side by side").click()
    expect(explorer.locator(".jitq-graph svg:has(g.node)")).to_have_count(2)


def test_every_tab_has_something_to_say(explorer):
    for tab in explorer.get_by_role("tab").all():
        tab.click()
        expect(explorer.get_by_role("tabpanel")).to_contain_text(re.compile(r"\w"))


def test_unchanged_boxes_stand_still(lab, explorer):
    card(explorer, "calibrate").click()
    expect(card(explorer, "calibrate")).to_have_attribute("aria-current", "step")
    drawn(explorer)

    def places():
        found = explorer.locator(".jitq-graph g.node")
        return dict(found.evaluate_all(_PLACES))

    before = places()
    lab.page.keyboard.press("ArrowRight")
    expect(card(explorer, "insert_quant_dequant")).to_have_attribute("aria-current", "step")
    drawn(explorer)
    expect(boxes(explorer, "quantize").first).to_be_visible()
    after = places()
    common = before.keys() & after.keys()
    assert len(common) > 5
    assert {name: before[name] for name in common} == {name: after[name] for name in common}


# Where a box stands in the window, in pixels, by its name.
_PLACES = """nodes => nodes.map(node => {
    const box = node.getBoundingClientRect();
    return [node.dataset.box, [box.x, box.y, box.width, box.height].map(Math.round).join()];
})"""


def test_two_runs_are_shown_aligned(lab):
    pair = lab.page.locator(".jitq").nth(1)
    pair.scroll_into_view_if_needed()
    expect(card(pair, "calibrate")).to_contain_text("only A")
    card(pair, "quant_finalize").click()
    expect(boxes(pair, "quantized::").first).to_be_visible()


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_it_is_accessible(lab, explorer, theme):
    lab.page.evaluate(
        "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme
    )
    expect(lab.page.locator("body")).to_have_attribute("data-jp-theme-name", theme)
    boxes(explorer).first.click()
    expect(explorer.locator(".jitq-graph-chosen")).not_to_have_count(0)
    drawn(explorer)
    found = Axe().run(lab.page, context=".jitq")
    assert found.response["violations"] == [], found.generate_report()
