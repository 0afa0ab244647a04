"""What was found, as a pandas frame for reading; `Findings.table` has every field."""

from __future__ import annotations

import pandas as pd

from jitq_explore.diagnostics.diagnose import diagnose
from jitq_explore.snapshots.recording import Recording
from jitq_explore.snapshots.source import short_source

FINDING_COLUMNS = (
    "severity", "finding", "module", "remedy", "why", "evidence", "source_line", "stage", "rule",
)  # fmt: skip


def findings_table(recording: Recording) -> pd.DataFrame:
    """A row for each finding, the worst first."""
    rows = [
        (
            each.severity,
            each.title,
            each.module,
            each.remedy,
            each.why,
            each.evidence,
            short_source(each.source),
            each.stage,
            each.rule,
        )
        for each in diagnose(recording)
    ]
    return pd.DataFrame(rows, columns=list(FINDING_COLUMNS), dtype=object)
