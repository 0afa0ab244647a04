"""The page of a recording, opened from the disk in a real browser, as a user sees it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from browser.lab import CHROMIUM, CHROMIUM_FLAGS, drawn
from nets import NETS, torchscript
from playwright.sync_api import Locator, expect, sync_playwright
from playwright.sync_api import Page as Tab
from runs import FBGEMM, calibrate, recorded
from views.pages import hostile_recording

import jitq_explore as jq
from jitq_explore.views.html import contents

pytestmark = pytest.mark.skipif(
    CHROMIUM is None and os.environ.get("CI") != "true", reason="there is no chromium"
)


class Opened:
    """A page, and all that it did besides being looked at."""

    def __init__(self, tab: Tab, file: Path) -> None:
        self.tab, self.file = tab, file
        self.said: list[str] = []
        tab.on("request", lambda request: self._note_request(request.url, file.as_uri()))
        tab.on("dialog", lambda dialog: self.said.append(f"said {dialog.message}"))
        tab.on("console", lambda line: self.said.append(line.text))  # where violations are told
        tab.on("pageerror", lambda error: self.said.append(str(error)))
        tab.goto(file.as_uri())
        self.stage = tab.locator(".jitq-card[aria-current] .jitq-card-name")
        self.details = tab.locator(".jitq-details h3").first
        expect(self.boxes().first).to_be_visible()

    def _note_request(self, url: str, own: str) -> None:
        if url.partition("#")[0] != own:
            self.said.append(f"asked for {url}")

    def boxes(self, words: str | re.Pattern[str] = "") -> Locator:
        return self.tab.locator(".jitq-graph svg g.node", has_text=words)

    def button(self, name: str) -> Locator:
        return self.tab.get_by_role("button", name=name, exact=True).first


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    assert CHROMIUM, "CI is to have a chromium on the PATH"
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=list(CHROMIUM_FLAGS))
        yield found
        found.close()


def only_the_end_is_quantized() -> jq.Recording:
    spec = NETS["residual"]
    qconfigs = {"": None, "fc": FBGEMM}
    return jq.Session.static(
        torchscript(spec, "scripted"), qconfigs, calibrate, [spec.inputs()]
    ).run()


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    recordings = {"residual": (recorded("residual"),), "hostile": (hostile_recording(),)}
    recordings["deep_down"] = (only_the_end_is_quantized(),)
    recordings["pair"] = (recorded("residual"), recorded("residual", mode="dynamic"))
    found = {
        name: jq.to_html(first, folder / f"{name}.html", *other)
        for name, (first, *other) in recordings.items()
    }
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(contents, "BOXES_LAID_OUT", 1)
        found["small"] = jq.to_html(recorded("residual"), folder / "small.html")
    return found


@pytest.fixture(params=["residual"])
def page(request, browser, files) -> Iterator[Opened]:
    tab = browser.new_page(viewport={"width": 1400, "height": 1000})
    tab.set_default_timeout(15_000)
    opened = Opened(tab, files[request.param])
    yield opened
    assert opened.said == []
    tab.close()


@pytest.mark.parametrize("page", ["residual", "hostile", "pair"], indirect=True)
def test_every_stage_is_shown_and_nothing_is_asked_for(page):
    cards = page.tab.locator("button.jitq-card")
    for card in cards.all():
        card.click()
        expect(page.stage).to_have_text(card.locator(".jitq-card-name").inner_text())
        expect(page.boxes().first).to_be_visible()
    for tab in page.tab.get_by_role("tab").all():
        tab.click()
        expect(tab).to_have_attribute("aria-selected", "true")
    assert page.tab.locator("img").count() == 0
    assert page.tab.locator(".jitq-alarm").count() <= 1  # the stage's own error


def test_a_stage_that_left_the_graph_alone_says_so(page):
    page.tab.locator("button.jitq-card", has_text="calibrate").click()
    expect(page.details).to_have_text("What calibrate did")
    expect(page.tab.locator(".jitq-details")).to_contain_text("fed to 15 observers")


def test_the_arrow_keys_step_through_the_stages(page):
    page.tab.locator("body").evaluate("body => document.activeElement.blur()")
    for key, stage in (
        ("Right", "insert_observers"),
        ("Right", "calibrate"),
        ("Right", "insert_quant_dequant"),
        ("Left", "calib"),
    ):
        page.tab.keyboard.press(f"Arrow{key}")
        expect(page.stage).to_contain_text(stage)


def test_a_node_selects_its_row_and_a_row_its_node(page):
    page.tab.locator("button.jitq-card", has_text="insert_observers").click()
    page.tab.get_by_role("tab", name="Observers").click()
    page.boxes("observe").first.click()
    expect(page.details).to_contain_text("Observer")
    rows = page.tab.locator("tr.jitq-row")
    expect(page.tab.locator("tr.jitq-here").first).to_be_visible()
    rows.last.click()
    expect(rows.last).to_have_class(re.compile("jitq-here"))


def test_an_observed_value_is_followed_after_its_observer_is_gone(page):
    page.tab.locator("button.jitq-card", has_text="insert_observers").click()
    page.boxes("weight: PerChannelMinMaxObserver").first.click()
    expect(page.details).to_have_text("PerChannelMinMaxObserver")
    for stage, kind in (("quant_finalize", "aten::quantize_per_channel"), ("dce", "quantized::")):
        page.tab.locator("button.jitq-card", has_text=stage).click()
        expect(page.details).to_contain_text(kind)
        expect(page.tab.locator("tr.jitq-here").first).to_be_visible()


def test_a_step_marks_no_row_by_an_id_of_the_stage_before(page):
    page.tab.locator("button.jitq-card", has_text="insert_quant_dequant").click()
    page.tab.get_by_role("tab", name="Observers").click()
    page.tab.locator(".jitq-changes .jitq-jump", has_text="weight: block1.conv1.weight").click()
    marked = page.tab.locator("tr.jitq-here")
    expect(marked).to_contain_text("block1.conv1")
    page.tab.evaluate("""() => {
      window.seen = [];
      const note = () =>
        window.seen.push(...[...document.querySelectorAll("tr.jitq-here")].map((it) => it.innerText));
      const watched = { subtree: true, childList: true, attributes: true };
      new MutationObserver(note).observe(document.querySelector(".jitq-tabs"), watched);
    }""")
    page.tab.locator("button.jitq-card", has_text="quant_finalize").click()
    expect(page.tab.locator(".jitq-details .jitq-chip").first).to_contain_text("removed")
    drawn(page.tab.locator(".jitq"))
    # There the id of the node left is that of one that the model's input is quantized by.
    assert not [row for row in page.tab.evaluate("seen") if "x.2" in row]


def test_a_mark_selects_its_node_and_a_node_its_mark(page):
    page.tab.locator("button.jitq-card", has_text="calibrate").click()
    page.tab.get_by_role("tab", name="Ranges").click()
    marks = page.tab.locator(".jitq-spot")
    marks.nth(2).focus()
    page.tab.keyboard.press("ArrowRight")
    page.tab.keyboard.press("Enter")
    expect(marks.nth(3)).to_have_attribute("aria-pressed", "true")
    expect(page.details).to_contain_text("Observer")
    expect(page.tab.get_by_role("img", name="Histogram of activation")).to_be_visible()
    page.tab.get_by_role("tab", name="Observers").click()
    page.tab.locator("tr.jitq-row").last.click()
    page.tab.get_by_role("tab", name="Ranges").click()
    expect(marks.nth(3)).to_have_attribute("aria-pressed", "false")
    expect(page.tab.locator(".jitq-spot.jitq-here").first).to_be_attached()


def test_every_line_of_what_became_one_node_has_its_sign(page):
    page.tab.locator("button.jitq-card", has_text="fold_conv_bn").click()
    page.tab.get_by_role("tab", name="IR").click()
    folded = page.tab.locator(".jitq-line-removed", has_text="batch_norm(").first
    expect(folded).to_contain_text("aten::conv2d(")
    assert folded.locator(".jitq-sign").inner_text().split("\n") == ["−", "−"]
    sign, code = (rect(folded.locator(part)) for part in (".jitq-sign", "code"))
    assert (sign[1], sign[3]) == pytest.approx((code[1], code[3]), abs=2)


def test_modules_fold_and_unfold(page):
    drawn(page.tab.locator(".jitq"))
    count = page.boxes().count()
    page.button("Fold all").click()
    expect(page.boxes()).not_to_have_count(count)
    page.button("Unfold all").click()
    expect(page.boxes()).to_have_count(count)


@pytest.mark.parametrize("page", ["small"], indirect=True)
def test_a_fold_state_that_the_file_lacks_is_said_to_be_missing(page):
    count = page.boxes().count()
    page.button("Modules ▾").click()
    page.tab.get_by_label("Folded modules").get_by_role("checkbox").first.click()
    expect(page.tab.locator(".jitq-note")).to_contain_text("drawings of 2 fold states")
    expect(page.boxes()).to_have_count(count)


def test_what_is_searched_for_is_found(page):
    page.tab.get_by_label("Search nodes").fill("conv2d")
    hits = page.tab.locator(".jitq-hits")
    expect(hits).to_have_text(re.compile(r"\d found"))
    found = hits.text_content().removesuffix(" found")
    page.tab.keyboard.press("Enter")
    expect(hits).to_have_text(f"1 of {found}")
    expect(page.details).to_contain_text("conv2d")


def test_before_and_after_stand_side_by_side(page):
    drawings = page.tab.locator(".jitq-graph svg:has(g.node)")
    page.button("Side by side").click()
    expect(drawings).to_have_count(2)
    expect(page.boxes("input").first).to_be_in_viewport(ratio=0.9)
    # What was selected in one keeps its place in both, also where modules fold in the same moment.
    page.button("Union").click()
    pane = page.tab.locator(".jitq-graph-pane").first
    box = page.boxes("mean").first
    box.click()

    def aside() -> float:
        """How far the box is from the middle of its pane, to the right."""
        own, around = box.bounding_box(), pane.bounding_box()
        return own["x"] + own["width"] / 2 - around["x"] - around["width"] / 2

    before = aside()
    page.button("Fold all").click()
    page.button("Side by side").click()
    expect(drawings).to_have_count(2)
    drawn(page.tab.locator(".jitq"))
    assert abs(aside() - before) < 20


def test_a_module_that_is_chosen_comes_into_sight_and_a_search_without_a_hit_dims_nothing(page):
    faint = page.tab.locator(".jitq-graph-faint")
    page.tab.get_by_label("Search nodes").fill("no such node")
    expect(page.tab.locator(".jitq-hits")).to_contain_text("none found")
    expect(faint).to_have_count(0)
    page.tab.get_by_label("Search nodes").fill("")
    page.tab.get_by_label("Module", exact=True).first.select_option("fc")
    expect(faint.first).to_be_attached()
    expect(page.tab.locator(".jitq-graph g.node:not(.jitq-graph-faint)").first).to_be_in_viewport()


def test_all_of_a_chosen_module_is_in_sight_and_what_the_stage_did_is_told_of_it(page):
    page.tab.locator("button.jitq-card", has_text="insert_observers").click()
    drawn(page.tab.locator(".jitq"))
    module = page.tab.get_by_label("Module", exact=True).first
    shown = page.tab.locator(".jitq-graph g.node:not(.jitq-graph-faint)")
    module.select_option("block1")
    drawn(page.tab.locator(".jitq"))
    pane = page.tab.locator(".jitq-graph-pane").first
    for key in ("Shift+ArrowDown",) * 4:  # until some of it is beyond the upper edge, not all
        pane.press(key)
    expect(shown.first).not_to_be_in_viewport(ratio=0.99)
    module.select_option("")
    module.select_option("block1")
    for box in shown.all():
        expect(box).to_be_in_viewport(ratio=0.99)
    expect(page.details).to_have_text("What insert_observers did in block1")
    titles = page.tab.locator(".jitq-changes .jitq-jump").evaluate_all(
        "all => all.map(i => i.title)"
    )
    assert titles
    assert all(title.startswith("block1") for title in titles)


def test_what_is_new_in_the_details_is_read_from_its_beginning(page):
    page.tab.locator("button.jitq-card", has_text="insert_quant_dequant").click()
    details = page.tab.locator(".jitq-details")
    expect(details.locator(".jitq-changes li").nth(20)).to_be_attached()
    details.evaluate("box => box.scrollTop = 300")
    page.tab.locator("button.jitq-card", has_text="quant_finalize").click()
    expect(page.details).to_have_text("What quant_finalize did")
    expect(details).to_have_js_property("scrollTop", 0)


def test_the_label_of_a_line_is_as_faint_as_where_the_line_comes_from(page):
    page.tab.locator("button.jitq-card", has_text="quant_finalize").click()
    page.tab.get_by_label("Show").select_option("0")
    label = page.tab.locator(".jitq-graph .domain", has_text="quint8").first
    expect(page.tab.locator(".jitq-graph g.node.jitq-graph-faint").first).to_be_attached()
    expect(label).not_to_have_class(re.compile("faint"))


def test_the_way_to_a_hit_leaves_no_empty_space_above_the_drawing(page):
    page.tab.locator("button.jitq-card", has_text="insert_quant_dequant").click()
    page.tab.get_by_label("Search nodes").fill("stem")
    page.tab.keyboard.press("Enter")
    expect(page.tab.locator(".jitq-graph g.node.jitq-graph-chosen").first).to_be_in_viewport()
    drawn(page.tab.locator(".jitq"))
    top = rect(page.tab.locator(".jitq-graph-pane").first)[1]
    assert rect(page.boxes("input").first)[1] < top + 40


def test_what_the_browser_scrolls_to_is_where_the_view_goes(page):
    box, pane = page.boxes("output").first, page.tab.locator(".jitq-graph-pane").first
    box.evaluate("box => box.scrollIntoView()")  # as its search does, Ctrl F
    expect(pane).to_have_js_property("scrollTop", 0)
    expect(box).to_be_in_viewport()


def test_a_table_without_rows_says_why_and_nothing_else(page):
    page.tab.get_by_role("tab", name="Numerics").click()
    panel = page.tab.get_by_role("tabpanel")
    expect(panel).to_contain_text("Not measured yet")
    expect(panel).not_to_contain_text("one bit less")
    expect(panel.get_by_role("grid")).to_be_hidden()
    expect(panel.get_by_placeholder("filter rows")).to_be_hidden()


def test_of_a_drawing_that_is_too_wide_the_boxes_are_seen_first(page):
    page.tab.set_viewport_size({"width": 720, "height": 1000})
    page.button("Side by side").click()
    panes = page.tab.locator(".jitq-graph-pane")
    expect(panes.nth(1).locator("svg")).to_be_visible()
    drawn(page.tab.locator(".jitq"))
    left, top, right, bottom = rect(panes.first)
    boxes = [rect(box) for box in panes.first.locator("g.node").all()]
    shown = [box for box in boxes if box[1] < bottom and box[3] > top]
    assert min(box[0] for box in shown) >= left
    assert max(box[2] for box in shown) <= right


def test_tabs_stay_in_one_line_and_give_up_their_counts_first(page):
    tabs = page.tab.get_by_role("tab")
    badge = page.tab.get_by_role("tab", name="Observers 15", exact=True).locator(".jitq-badge")
    expect(badge).to_be_visible()
    page.tab.set_viewport_size({"width": 800, "height": 1000})
    expect(badge).to_be_hidden()
    assert len({tab.bounding_box()["y"] for tab in tabs.all()}) == 1
    named = page.tab.get_by_role("tab", name="Observers 15", exact=True)
    expect(named).to_have_attribute("title", re.compile(": 15$"))
    page.tab.set_viewport_size({"width": 1400, "height": 1000})
    expect(badge).to_be_visible()


def test_what_is_chosen_outlives_a_reload(page):
    page.tab.locator("button.jitq-card", has_text="quant_finalize").click()
    expect(page.stage).to_contain_text("quant_finalize")
    page.tab.reload()
    expect(page.stage).to_contain_text("quant_finalize")


def test_an_address_that_makes_no_sense_is_taken_as_far_as_it_does(page):
    state = {"stage": "dce", "query": 5, "node": "n3", "folds": "x", "reach": "a", "side": None}
    page.tab.goto("about:blank")
    page.tab.goto(f"{page.file.as_uri()}#{quote(json.dumps(state))}")
    expect(page.stage).to_contain_text("dce")
    expect(page.boxes().first).to_be_visible()
    expect(page.details).to_contain_text("What dce did")


def test_what_a_stage_did_is_one_stop_of_the_tab_key(page):
    page.tab.locator("button.jitq-card", has_text="insert_quant_dequant").click()
    jumps = page.tab.locator(".jitq-changes button")
    expect(page.details).to_contain_text("insert_quant_dequant")
    jumps.first.focus()
    page.tab.keyboard.press("ArrowDown")
    expect(jumps.nth(1)).to_be_focused()
    page.tab.keyboard.press("Shift+ArrowRight")  # moves the graph, where that has the focus
    expect(page.stage).to_contain_text("insert_quant_dequant")
    page.tab.keyboard.press("Tab")
    expect(page.tab.get_by_role("tab", selected=True)).to_be_focused()
    expect(jumps.locator("xpath=self::*[@tabindex=0]")).to_have_count(1)


def rect(found: Locator) -> tuple[float, float, float, float]:
    box = found.bounding_box()
    return box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]


@pytest.mark.parametrize("page", ["deep_down"], indirect=True)
def test_who_moved_nothing_is_led_to_a_change_that_is_out_of_sight(page):
    graph = rect(page.tab.locator(".jitq-graph-pane").first)
    observer = page.boxes("HistogramObserver").last
    page.tab.locator("button.jitq-card", has_text="fold_conv_bn").click()
    drawn(page.tab.locator(".jitq"))
    assert rect(page.boxes("linear").last)[1] > graph[3]
    page.tab.locator("button.jitq-card", has_text="insert_observers").click()
    drawn(page.tab.locator(".jitq"))
    here = rect(observer)
    assert graph[1] < here[1]
    assert here[3] < graph[3]
    page.tab.locator("button.jitq-card", has_text="calibrate").click()
    drawn(page.tab.locator(".jitq"))
    assert rect(observer) == pytest.approx(here, abs=2)  # nothing changed: nothing moves
    page.tab.mouse.move(graph[0] + 20, graph[1] + 20)
    page.tab.mouse.down()
    page.tab.mouse.move(graph[0] + 60, graph[1] + 260, steps=4)
    page.tab.mouse.up()
    drawn(page.tab.locator(".jitq"))
    moved = rect(page.boxes("conv2d").first)
    page.tab.locator("button.jitq-card", has_text="insert_quant_dequant").click()
    drawn(page.tab.locator(".jitq"))
    assert rect(page.boxes("conv2d").first) == pytest.approx(moved, abs=2)


def test_the_map_lies_over_nothing_and_fit_leads_back(page):
    pane = rect(page.tab.locator(".jitq-graph-pane").first)
    assert rect(page.tab.locator(".jitq-graph-minimap"))[0] >= pane[2]
    scale = page.tab.locator(".jitq-graph-buttons button").nth(2)
    before = scale.text_content()
    page.button("Fit").click()
    drawn(page.tab.locator(".jitq"))
    assert int(scale.text_content().rstrip(" %")) < 75
    assert rect(page.boxes().last)[3] <= pane[3]
    page.button("Fit").click()
    drawn(page.tab.locator(".jitq"))
    assert scale.text_content() == before


def test_a_small_drawing_that_takes_the_place_of_a_large_one_can_be_read(page):
    page.button("Unfold all").click()
    page.button("Fit").click()
    drawn(page.tab.locator(".jitq"))
    pane = rect(page.tab.locator(".jitq-graph-pane").first)
    tall = rect(page.boxes("input").first)
    page.button("Fold all").click()
    drawn(page.tab.locator(".jitq"))
    here = rect(page.boxes("input").first)
    assert here[2] - here[0] > 1.2 * (tall[2] - tall[0])
    assert rect(page.boxes("output").last)[3] <= pane[3]


def test_on_paper_it_is_light_and_without_controls(page):
    page.tab.emulate_media(media="print", color_scheme="dark")
    expect(page.tab.locator("body")).to_have_css("background-color", "rgb(255, 255, 255)")
    expect(page.tab.locator(".jitq-tools")).to_be_hidden()
    expect(page.boxes().first).to_be_visible()


def test_captions_are_as_wide_as_their_room(page):
    """Whatever the font: what is drawn was laid out with the widths of one of them."""
    for caption in page.tab.locator(".jitq-graph-caption").all():
        wanted, real = caption.evaluate(
            "text => [Number(text.getAttribute('textLength')), text.getComputedTextLength()]"
        )
        assert real <= wanted + 0.5
