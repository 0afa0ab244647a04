"""`diagnose`: all rules over one recording."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from jitq_explore.diagnostics import (
    rules_calibration,
    rules_graph,
    rules_model,
    rules_on_device,
    rules_qconfig,
    rules_stages,
    rules_weights,
)
from jitq_explore.diagnostics.findings import Finding, Findings
from jitq_explore.snapshots.once import once
from jitq_explore.snapshots.recording import Recording

RULES: tuple[Callable[[Recording], Iterable[Finding]], ...] = (
    *rules_stages.RULES,
    *rules_model.RULES,
    *rules_qconfig.RULES,
    *rules_on_device.RULES,
    *rules_calibration.RULES,
    *rules_weights.RULES,
    *rules_graph.RULES,
)
"""In the order in which findings of one severity come."""


@once
def diagnose(recording: Recording) -> Findings:
    """What is wrong with the run, or worth knowing, the worst first.

    Reads the recording alone: nothing is run. `print` writes the findings out, a notebook shows a
    table, `.table()` is a pandas frame.
    """
    return Findings(finding for rule in RULES for finding in rule(recording))
