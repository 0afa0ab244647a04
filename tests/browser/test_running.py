"""A session run from the explorer, in a real JupyterLab, while its notebook is used on."""

from __future__ import annotations

import re

import nbformat
import pytest
from browser.lab import open_in_lab
from browser.test_tour import CHROMIUM, card, pytestmark  # noqa: F401
from playwright.sync_api import expect

SESSION = """
import time
import torch
from torch.ao.quantization import get_default_qconfig
import jitq_explore as jq

def calibrate(model, batches):
    for batch in batches:
        print("a batch")
        time.sleep(seconds)
        model(batch)

seconds = 0.25
model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
session = jq.Session.static(
    torch.jit.script(model.eval()), {"": get_default_qconfig("fbgemm")}, calibrate,
    [[torch.randn(2, 4) for _ in range(200)]],
)
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A notebook with an explorer and an empty cell."""
    assert CHROMIUM, "CI is to have a chromium on the PATH"
    work = tmp_path_factory.mktemp("live")
    cells = [nbformat.v4.new_code_cell(source) for source in (SESSION, SHOW, "print('begun')")]
    # Without a kernel's name JupyterLab would ask for it.
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=kernel)
    nbformat.write(notebook, work / "live.ipynb")
    with open_in_lab(work / "live.ipynb", work) as opened:
        opened.run_all()
        assert not opened.errors
        yield opened


SHOW = "explorer = jq.explore(session)\nexplorer"


@pytest.fixture
def explorer(lab):
    return lab.page.locator(".jitq").first


def test_a_slow_calibration_is_run_stopped_taken_back_and_run_again(lab, explorer):
    def button(name):
        return explorer.get_by_role("button", name=name)

    button("Run next: fold_conv_bn").click()
    expect(card(explorer, "fold_conv_bn")).to_have_attribute("aria-current", "step")
    button("Run to the end").click()
    progress = explorer.get_by_text(re.compile(r"calibrate: \d+ of 200"))
    expect(progress).to_be_visible()

    # The kernel answers other cells, and refuses a second run of the session.
    assert lab.run_cell("print(session.is_busy, session.recording.names)") == (
        "True ('fold_conv_bn', 'insert_observers')\n"
    )
    assert "busy: stage 'calibrate' is running" in lab.run_cell(
        "try:\n    session.step()\nexcept RuntimeError as error:\n    print(error)"
    )
    button("Stop").click()
    expect(card(explorer, "calibrate")).to_contain_text("stopped")
    told = explorer.get_by_role("alert").get_by_text("the calibration was stopped after")
    expect(told).to_contain_text("“Step back” forgets what was seen")  # the buttons beside it
    expect(told).not_to_contain_text("session.")
    explorer.get_by_role("tab", name="Messages").click()
    messages = explorer.get_by_role("tabpanel")
    expect(messages).to_contain_text("“Accept what was seen” takes these")
    expect(messages).not_to_contain_text("session.")

    lab.run_cell("seconds = 0")
    button("Step back").click()
    expect(card(explorer, "insert_observers")).to_have_attribute("aria-current", "step")
    button("Run to the end").click()
    expect(card(explorer, "dce")).to_have_attribute("aria-current", "step")

    # What cells do is shown, and what is chosen there.
    lab.run_cell("explorer.selection = explorer.selection.choose('calibrate')")
    expect(card(explorer, "calibrate")).to_have_attribute("aria-current", "step")
    lab.run_cell("taken_back = session.back()")
    expect(card(explorer, "constant_propagation")).to_have_attribute("aria-current", "step")

    # Another qconfig for one layer: another session, as far as the stage shown.
    card(explorer, "insert_observers").click()
    explorer.get_by_role("tab", name="qconfig").click()
    form = explorer.get_by_role("tabpanel")
    form.get_by_label("qconfig", exact=True).select_option("none")
    form.get_by_role("button", name="Rerun").click()
    expect(explorer.get_by_label("Stages").get_by_text("to come")).to_have_count(5)
    assert lab.run_cell("print(explorer.session is session, explorer.recording.names)") == (
        "False ('fold_conv_bn', 'insert_observers')\n"
    )
    assert not lab.errors
    assert not lab.red
    assert not lab.console_errors
