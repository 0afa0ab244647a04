"""Errors and what if in a page of its own, which has no kernel to ask."""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser.lab import CHROMIUM, CHROMIUM_FLAGS, drawn
from browser.test_tour import pytestmark  # noqa: F401
from playwright.sync_api import expect, sync_playwright
from runs import session
from torch.ao.quantization import default_qconfig

import jitq_explore as jq
from jitq_explore.snapshots.grid import coarser
from jitq_explore.snapshots.observations import observations
from jitq_explore.snapshots.observers import Histogram
from jitq_explore.snapshots.settling import histogram_of
from jitq_explore.snapshots.what_if import predict


def panel(explorer):
    """The panel of the selected node's first value, opened."""
    found = explorer.locator("details", has_text="What if?").first
    if not found.get_by_label("Observer").count():
        found.locator("summary").click()
    return found


def predicted(panel):
    """SQNR in dB, as it is and as it would be."""
    row = panel.get_by_role("row", name="SQNR")
    expect(row.get_by_role("cell")).to_have_count(2)
    return [float(text.split()[0]) for text in row.get_by_role("cell").all_inner_texts()]


@pytest.fixture(scope="module")
def recording():
    run = session("residual", qconfig=default_qconfig, histograms=True)
    run.run()
    jq.compare(run, list(run.calibration_calls()))
    return run.recording


@pytest.fixture(scope="module")
def tab(tmp_path_factory, recording):
    assert CHROMIUM, "CI is to have a chromium on the PATH"
    path = jq.to_html(recording, tmp_path_factory.mktemp("file") / "run.html")
    said = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(CHROMIUM_FLAGS))
        tab = browser.new_page(viewport={"width": 1200, "height": 1000})
        tab.set_default_timeout(15_000)
        tab.on("console", lambda line: said.append(line.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.goto(path.as_uri())
        yield tab
        assert said == []
        browser.close()


def choose(tab, role, number=0):
    """The panel of a value, at the stage where it has a node of its own."""
    tab.locator("button.jitq-card", has_text="insert_observers").click()
    tab.get_by_role("tab", name="Observers").click()
    row = tab.locator("tr.jitq-row", has_text=role).nth(number)
    row.click()
    expect(row).to_have_class(re.compile("jitq-here"))
    drawn(tab.locator(".jitq"))
    return panel(tab)


def activation(recording, number):
    seen = [each for each in observations(recording) if each.role == "activation"][number]
    return seen.reading, histogram_of(seen.reading)


@pytest.mark.parametrize(("number", "low", "high"), [(0, -2.0, 2.5), (1, -1.0, 0.5), (2, 0.0, 1.1)])
def test_a_file_computes_ranges_as_python_does(tab, recording, number, low, high):
    reading, seen = activation(recording, number)
    trial = choose(tab, "activation", number)
    for end, value in (("low", low), ("high", high)):
        field = trial.get_by_label(f"{end} end of the range, as a number")
        if field.input_value() != str(value):
            field.fill(str(value))
            field.press("Enter")
    expected = predict(seen, low, high, reading.quant_min, reading.quant_max)
    row = trial.get_by_role("row", name="scale").get_by_role("cell").last
    expect(row).to_have_text(f"{expected.scale[0]:.5g}")
    coarse = predict(
        Histogram(tuple(coarser(seen.counts)), seen.low, seen.high),
        low, high, reading.quant_min, reading.quant_max,
    )  # fmt: skip
    found = predicted(trial)[1]
    # Between equals: nearer to Python's with all bins than with as few as the file has.
    assert abs(found - expected.sqnr) <= max(0.1, abs(coarse.sqnr - expected.sqnr))
    expect(trial.get_by_text("coarser histogram")).to_be_visible()


def test_a_file_knows_what_the_observers_would_make(tab, recording):
    trial = choose(tab, "activation", 2)
    trial.get_by_label("Observer").select_option("MovingAverage")
    reading, _ = activation(recording, 2)
    found = jq.what_if(recording, reading.path, observer="MovingAverage")
    assert predicted(trial) == [round(found.present.sqnr, 2), round(found.predicted.sqnr, 2)]
    expect(trial.get_by_role("button", name="Run with this")).to_have_count(0)


def test_a_file_says_what_takes_a_notebook(tab):
    trial = choose(tab, "weight")
    trial.get_by_label("Observer").select_option("PerChannelMinMax")
    assert len(predicted(trial)) == 2
    trial.get_by_label("Observer").select_option("a range of my own")
    expect(trial.get_by_text("it takes a notebook")).to_be_visible()


def test_all_that_is_advised_can_be_read_and_copied(tab, recording):
    tab.set_viewport_size({"width": 1056, "height": 1000})
    tab.get_by_role("tab", name="Advice").click()
    (write,) = jq.recommend(recording)["write"]
    table, row = tab.locator(".jitq-table-scroll"), tab.locator("tr.jitq-row")
    expect(row).to_have_count(1)
    assert table.evaluate("it => it.scrollWidth <= it.clientWidth")
    row.get_by_role("button", name="copy").click()
    expect(row).to_contain_text("copied")
    search = tab.get_by_label("Search nodes")
    search.press("Control+V")
    expect(search).to_have_value(write)
    search.fill("")
    row.locator("td").first.click()
    expect(tab.locator(".jitq-below")).to_have_text(write)
    assert Axe().run(tab, ".jitq-tabs").violations_count == 0
    row.locator("td").first.click()
    expect(tab.locator(".jitq-below")).to_have_count(0)


def test_rows_about_the_stage_are_marked_only_while_no_node_is_selected(tab):
    tab.locator("button.jitq-card", has_text="dce").click()
    tab.keyboard.press("Escape")
    tab.evaluate("""() => {
        const low = new CSSStyleSheet();
        low.replaceSync(".jitq-table-scroll { max-height: 90px !important }");
        document.adoptedStyleSheets = [low];
    }""")
    tab.get_by_role("tab", name="Numerics").click()
    expect(tab.locator("tr.jitq-row").first).to_be_visible()
    expect(tab.locator(".jitq-table-scroll")).to_have_js_property("scrollTop", 0)
    tab.evaluate("document.adoptedStyleSheets = []")
    marked = tab.locator("tr.jitq-row.jitq-here")
    expect(marked).to_have_count(1)
    expect(marked).to_contain_text("output")
    tab.locator("tr.jitq-row", has_text="quantized::linear").click()
    expect(marked).to_contain_text("quantized::linear")
    expect(marked).to_have_count(1)
    tab.get_by_label("Search nodes").press("Escape")


def test_stages_tools_tabs_and_legend_stand_in_a_line_each(tab):
    """In as much room as a notebook has in a window of 1200 px."""
    tab.set_viewport_size({"width": 1040, "height": 1000})
    choose(tab, "activation")
    for things, least in (
        (".jitq-cards > li", 6),
        (".jitq-tools > *", 6),
        (".jitq-tab", 12),
        (".jitq-graph-foot > :not([hidden]), .jitq-graph-legend > *", 9),
    ):
        tops = tab.locator(things).evaluate_all(
            "all => all.map(each => each.getBoundingClientRect()).filter(box => box.width)"
            ".map(box => box.top)"
        )
        assert len(tops) >= least, things
        assert max(tops) - min(tops) < 10, things
    # What is to the right in a table is hinted at, and told no more when one is there.
    frame, rows = tab.locator(".jitq-table-frame"), tab.locator(".jitq-table-scroll")
    expect(frame).to_have_class(re.compile("jitq-table-more"))
    rows.evaluate("rows => rows.scrollTo(rows.scrollWidth, 0)")
    expect(frame).not_to_have_class(re.compile("jitq-table-more"))


def test_losses_are_on_the_map_and_their_numbers_lie_over_no_button(tab):
    errors = tab.get_by_role("button", name="Errors")
    if errors.get_attribute("aria-pressed") == "false":
        errors.click()
    numbers = tab.locator(".jitq-graph-badge")
    expect(numbers.first).to_be_visible()
    # A box can have several rows, and only one colour.
    lost = tab.locator('.jitq-graph-minimap [class*="jitq-graph-loss-"]')
    assert lost.count() == numbers.count()
    buttons = [button.bounding_box() for button in tab.locator(".jitq-graph-control").all()]
    assert buttons
    for box in (number.bounding_box() for number in numbers.all()):
        for button in buttons:
            aside = (
                box["x"] > button["x"] + button["width"] or box["x"] + box["width"] < button["x"]
            )
            below = box["y"] > button["y"] + button["height"]
            assert aside or below or box["y"] + box["height"] < button["y"]
    errors.click()
    expect(lost).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_and_panel_are_accessible(tab, scheme):
    tab.emulate_media(color_scheme=scheme)
    choose(tab, "activation")
    errors = tab.get_by_role("button", name="Errors")
    if errors.get_attribute("aria-pressed") == "false":
        errors.click()
    expect(tab.locator(".jitq-graph-badge").first).to_be_visible()
    found = Axe().run(tab, context=".jitq")
    assert found.response["violations"] == [], found.generate_report()
