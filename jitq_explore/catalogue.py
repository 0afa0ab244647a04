"""`fusion_rules`: the rewrite rules of the running torch as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def fusion_rules() -> pd.DataFrame:
    """Every rule by which `quant_finalize` rewrites a graph, in the order in which it tries them.

    Columns: `name` (made of the ops a rule takes and makes), `pattern` and `replacement` (IR; ""
    where torch does not tell), `mode` ("static" or "dynamic"). They are asked of torch itself, once
    in a process. Empty where torch's log cannot be heard, as in a process without standard error.
    """
    from jitq_explore.capture.fusion_rules import fusion_rules_of_torch
    from jitq_explore.views.rule_frame import rule_frame

    return rule_frame(fusion_rules_of_torch())
