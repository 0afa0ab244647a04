"""The tour in a real JupyterLab, in a real browser, as a user sees it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from browser.lab import CHROMIUM, open_in_lab

TOUR = Path(__file__).parents[2] / "notebooks" / "tour.ipynb"

pytestmark = pytest.mark.skipif(
    CHROMIUM is None and os.environ.get("CI") != "true", reason="there is no chromium"
)


def test_the_tour_runs_in_jupyterlab(tmp_path):
    with open_in_lab(TOUR, tmp_path) as tour:
        tour.run_all()
        tour.screenshot(tmp_path / "tour.png")
        assert not tour.errors
        assert not tour.red
        assert not tour.console_errors
