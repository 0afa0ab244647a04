"""`diagnose`: all rules over one recording."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from jitq_explore.diagnostics import (
    rules_calibration,
    rules_float,
    rules_graph,
    rules_model,
    rules_norms,
    rules_on_device,
    rules_qconfig,
    rules_ranges,
    rules_stages,
    rules_weights,
)
from jitq_explore.diagnostics.findings import INFO, Finding, Findings, Severity
from jitq_explore.snapshots.once import once
from jitq_explore.snapshots.recording import Recording

Rule: TypeAlias = Callable[[Recording], Iterable[Finding]]

MOST_OF_A_KIND = 8
"""As many as are read one by one; a DenseNet has 60 norms that are not folded, for one reason."""

FAILED = "rule_failed"
"""The rule of findings about a rule itself."""

RULES: tuple[Rule, ...] = (
    *rules_stages.RULES,
    *rules_model.RULES,
    *rules_norms.RULES,
    *rules_qconfig.RULES,
    *rules_on_device.RULES,
    *rules_calibration.RULES,
    *rules_ranges.RULES,
    *rules_weights.RULES,
    *rules_graph.RULES,
    *rules_float.RULES,
)
"""In the order in which findings of one severity come."""


@once
def diagnose(recording: Recording) -> Findings:
    """What is wrong with the run, or worth knowing, the worst first.

    Reads the recording alone: nothing is run. `print` writes the findings out, a notebook shows a
    table, `.table()` is a pandas frame.
    """
    found = [finding for rule in RULES for finding in _found(rule, recording)]
    return Findings(_counted(found))


def _counted(found: Iterable[Finding]) -> Iterator[Finding]:
    """At most `MOST_OF_A_KIND` of a rule and severity, the others in one finding."""
    groups: dict[tuple[str, Severity], list[Finding]] = {}
    for each in found:
        groups.setdefault((each.rule, each.severity), []).append(each)
    for group in groups.values():
        yield from group[:MOST_OF_A_KIND]
        others = group[MOST_OF_A_KIND:]
        if others:
            places = dict.fromkeys(each.module or each.where for each in others)
            yield Finding(
                rule=others[0].rule,
                severity=others[0].severity,
                title=f"{len(others)} more findings of the rule {others[0].rule!r}",
                why=others[0].why,
                evidence=", ".join(filter(None, places)) or others[0].evidence,
                remedy=others[0].remedy,
            )


def _found(rule: Rule, recording: Recording) -> list[Finding]:
    """What a rule finds. One that fails itself says so, and takes no other with it."""
    try:
        return list(rule(recording))
    except Exception as error:
        return [
            Finding(
                rule=FAILED,
                severity=INFO,
                title=f"the rule {rule.__name__!r} could not be applied",
                why="it met something in this recording that it does not know",
                evidence=f"{type(error).__name__}: {error}",
                remedy="Please report it, with the recording if you may share it.",
            )
        ]
