"""Fusion rules as a pandas frame."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from jitq_explore.snapshots.rules import FusionRule

_COLUMNS = ("name", "pattern", "replacement", "mode")


def rule_frame(rules: Iterable[FusionRule]) -> pd.DataFrame:
    """One row a rule, in their order."""
    rows = [[getattr(rule, column) for column in _COLUMNS] for rule in rules]
    return pd.DataFrame(rows, columns=list(_COLUMNS))
