"""Which entry of the qconfig dict is in force in which module, as a pandas frame."""

from __future__ import annotations

import pandas as pd

from jitq_explore.diagnostics.qconfig_keys import key_rows
from jitq_explore.snapshots.recording import Recording

QCONFIG_COLUMNS = ("module", "class", "key", "qconfig", "inherited_from", "matched", "closest")


def qconfig_table(recording: Recording) -> pd.DataFrame:
    """A row for each module, then one for each key of the qconfig dict that names none.

    `key` is the key that won (None where neither the module nor a parent has one), `qconfig` its
    entry ("None": the module stays float), `inherited_from` the parent whose key it is (None where
    it is the module's own). `matched` is False for keys that name no module; `closest` names
    modules that such a key may have meant.
    """
    rows = [
        (
            row.path,
            row.class_name,
            row.key,
            row.qconfig,
            row.inherited_from,
            row.matched,
            ", ".join(row.closest),
        )
        for row in key_rows(recording)
    ]
    frame = pd.DataFrame(rows, columns=list(QCONFIG_COLUMNS), dtype=object)
    return frame.astype({"matched": bool})
