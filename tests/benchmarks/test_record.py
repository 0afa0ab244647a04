"""The benchmark of recording looks into the package: it is to keep up with it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("side", ["torch", "jitq_explore"])
def test_what_recording_costs_can_be_measured(side):
    script = str(Path(__file__).with_name("record.py"))
    done = subprocess.run(
        [sys.executable, script, "--measure", side, "resnet18", "scripted", "1"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["whole"] > 0
