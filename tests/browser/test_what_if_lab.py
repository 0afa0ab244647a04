"""Errors measured and changes tried by a session, in a real JupyterLab."""

from __future__ import annotations

import re

import nbformat
import pytest
from browser.lab import CHROMIUM, open_in_lab
from browser.test_tour import card, pytestmark  # noqa: F401
from browser.test_what_if_page import panel, predicted
from playwright.sync_api import expect

SESSION = """
import sys, time
sys.path.insert(0, {tests!r})
import jitq_explore as jq
from nets import NETS, torchscript
from torch.ao.quantization import default_qconfig

def calibrate(model, batches):
    for batch in batches:
        time.sleep(seconds)
        model(*batch)

seconds = 0.5
spec = NETS["residual"]
session = jq.Session.static(
    torchscript(spec, "scripted"), {{"": default_qconfig}}, calibrate, [spec.inputs(60)],
    histograms=True,
)
explorer = jq.explore(session)
explorer
"""
ERRORS_SHOWN = re.compile("jitq-graph-losses")


@pytest.fixture(scope="module")
def lab(tmp_path_factory, request):
    """A notebook with a session's explorer and an empty cell."""
    assert CHROMIUM, "CI is to have a chromium on the PATH"
    work = tmp_path_factory.mktemp("what_if")
    sources = (SESSION.format(tests=str(request.config.rootpath / "tests")), "")
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), work / "try.ipynb")
    with open_in_lab(work / "try.ipynb", work) as opened:
        opened.run_all()
        yield opened
        assert not opened.errors
        assert not opened.red
        assert not opened.console_errors


def test_errors_are_measured_and_a_change_is_tried_and_taken_back(lab):
    explorer = lab.page.locator(".jitq").first
    explorer.scroll_into_view_if_needed()

    def button(name):
        return explorer.get_by_role("button", name=name)

    def tab(name):
        explorer.get_by_role("tab", name=name).click()
        return explorer.get_by_role("tabpanel")

    # An interrupted calibration is said once, and taken as it is.
    button("Run to the end").click()
    expect(explorer.get_by_text(re.compile(r"calibrate: ([3-9]|\d\d) of 60"))).to_be_visible()
    button("Stop").click()
    button("Accept what was seen").wait_for()
    expect(explorer.locator(".jitq-alarm", has_text="the calibration was stopped")).to_have_count(1)
    button("Accept what was seen").click()
    expect(button("Accept what was seen")).to_be_hidden()
    lab.run_cell("seconds = 0")
    button("Run to the end").click()
    expect(card(explorer, "dce")).to_have_attribute("aria-current", "step")

    # What was measured is in the table and in the graph.
    expect(button("Errors")).to_be_disabled()
    expect(tab("Numerics")).to_contain_text("Not measured yet")
    button("Compare on the calibration data").click()
    expect(explorer.locator("tr.jitq-row", has_text="quantized::linear")).to_be_visible()
    button("Errors").click()
    expect(explorer.locator(".jitq-graph-body")).to_have_class(ERRORS_SHOWN)
    expect(
        explorer.locator(".jitq-graph-legend", has_text="made here (dB), after dce")
    ).to_be_visible()
    explorer.locator("tr.jitq-row", has_text="quantized::linear").click()
    expect(explorer.locator(".jitq-details h3").first).to_contain_text("quantized::linear")
    lab.wait_for("explorer.selection.errors and explorer.selection.node")
    lab.run_cell("explorer.selection = explorer.selection.colour(False)")
    expect(explorer.locator(".jitq-graph-body")).not_to_have_class(ERRORS_SHOWN)

    # A wish is answered by the kernel.
    tab("Calibration")
    explorer.locator("tr.jitq-row", has_text="inner.2").first.click()
    expect(explorer.locator(".jitq-details summary", has_text="%inner.2").first).to_be_visible()
    trial = panel(explorer)
    trial.get_by_label("high end of the range", exact=True).press("ArrowLeft")
    expect(trial.get_by_label("Observer")).to_have_value("a range of my own")
    now, moved = predicted(trial)
    assert now != moved
    trial.get_by_label("Observer").select_option("Histogram")
    expect(trial.get_by_label("Python")).to_contain_text("HistogramObserver")

    # It is run, shown against what was before, and taken back.
    first = lab.run_cell("print(id(explorer.session))")
    trial.get_by_role("button", name="Run with this").click()
    expect(explorer.locator(".jitq-title").first).to_contain_text("two runs compared")
    expect(button("Run to the end")).to_be_hidden()
    tab("Observers")
    expect(explorer.get_by_role("columnheader", name="observer (changed)")).to_be_visible()
    assert lab.run_cell("print(id(explorer.session))") != first
    button("Back to the run before").click()
    expect(button("All stages have run")).to_be_visible()
    assert lab.run_cell("print(id(explorer.session))") == first
