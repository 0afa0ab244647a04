"""An inspector of TorchScript quantization: every stage on its own, every graph kept.

The public names are loaded when first used, so that `import jitq_explore` stays cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from jitq_explore.capture.guard import WouldCrashError as WouldCrashError
    from jitq_explore.capture.isolation import IsolatedPassError as IsolatedPassError
    from jitq_explore.capture.numerics import compare as compare
    from jitq_explore.capture.read_graph import read_graph as read_graph
    from jitq_explore.capture.recorder import record as record
    from jitq_explore.capture.sensitivity import sensitivity as sensitivity
    from jitq_explore.capture.session import Session as Session
    from jitq_explore.capture.turn import Stopped as Stopped
    from jitq_explore.catalogue import fusion_rules as fusion_rules
    from jitq_explore.costing import cost_table as cost_table
    from jitq_explore.diagnostics.diagnose import diagnose as diagnose
    from jitq_explore.diagnostics.explain import explain as explain
    from jitq_explore.diagnostics.findings import Finding as Finding
    from jitq_explore.diagnostics.findings import Findings as Findings
    from jitq_explore.exploring import explore as explore
    from jitq_explore.recommending import recommend as recommend
    from jitq_explore.snapshots.archive import load as load
    from jitq_explore.snapshots.archive import save as save
    from jitq_explore.snapshots.diff import GraphDiff as GraphDiff
    from jitq_explore.snapshots.graph import Graph as Graph
    from jitq_explore.snapshots.lineage import lineage as lineage
    from jitq_explore.snapshots.made_by import rule_of as rule_of
    from jitq_explore.snapshots.recording import Recording as Recording
    from jitq_explore.snapshots.recording import StageRecord as StageRecord
    from jitq_explore.snapshots.what_if import WhatIf as WhatIf
    from jitq_explore.snapshots.what_if import what_if as what_if
    from jitq_explore.views.calibration_table import calibration_table as calibration_table
    from jitq_explore.views.html import to_html as to_html
    from jitq_explore.views.lineage_table import lineage_table as lineage_table
    from jitq_explore.views.numerics_table import numerics_table as numerics_table
    from jitq_explore.views.plots import plot_channels as plot_channels
    from jitq_explore.views.plots import plot_histogram as plot_histogram
    from jitq_explore.views.plots import plot_ranges as plot_ranges
    from jitq_explore.views.plots import plot_timeline as plot_timeline
    from jitq_explore.views.qconfig_table import qconfig_table as qconfig_table
    from jitq_explore.views.show import diff as diff
    from jitq_explore.views.show import diff_graphs as diff_graphs
    from jitq_explore.views.tables import channel_table as channel_table
    from jitq_explore.views.tables import observer_table as observer_table
    from jitq_explore.views.tables import quant_node_table as quant_node_table
    from jitq_explore.views.tables import stage_table as stage_table

_HOMES = {
    "Finding": "diagnostics.findings",
    "Findings": "diagnostics.findings",
    "Graph": "snapshots.graph",
    "GraphDiff": "snapshots.diff",
    "IsolatedPassError": "capture.isolation",
    "Recording": "snapshots.recording",
    "Session": "capture.session",
    "StageRecord": "snapshots.recording",
    "WhatIf": "snapshots.what_if",
    "WouldCrashError": "capture.guard",
    "Stopped": "capture.turn",
    "calibration_table": "views.calibration_table",
    "channel_table": "views.tables",
    "compare": "capture.numerics",
    "cost_table": "costing",
    "diagnose": "diagnostics.diagnose",
    "diff": "views.show",
    "diff_graphs": "views.show",
    "explain": "diagnostics.explain",
    "explore": "exploring",
    "fusion_rules": "catalogue",
    "lineage": "snapshots.lineage",
    "lineage_table": "views.lineage_table",
    "load": "snapshots.archive",
    "numerics_table": "views.numerics_table",
    "observer_table": "views.tables",
    "plot_channels": "views.plots",
    "plot_histogram": "views.plots",
    "plot_ranges": "views.plots",
    "plot_timeline": "views.plots",
    "qconfig_table": "views.qconfig_table",
    "quant_node_table": "views.tables",
    "read_graph": "capture.read_graph",
    "recommend": "recommending",
    "record": "capture.recorder",
    "rule_of": "snapshots.made_by",
    "save": "snapshots.archive",
    "sensitivity": "capture.sensitivity",
    "stage_table": "views.tables",
    "to_html": "views.html",
    "what_if": "snapshots.what_if",
}

__all__ = [
    "Finding",
    "Findings",
    "Graph",
    "GraphDiff",
    "IsolatedPassError",
    "Recording",
    "Session",
    "StageRecord",
    "Stopped",
    "WouldCrashError",
    "calibration_table",
    "channel_table",
    "compare",
    "cost_table",
    "diagnose",
    "diff",
    "diff_graphs",
    "explain",
    "explore",
    "fusion_rules",
    "lineage",
    "lineage_table",
    "load",
    "numerics_table",
    "observer_table",
    "plot_channels",
    "plot_histogram",
    "plot_ranges",
    "plot_timeline",
    "qconfig_table",
    "quant_node_table",
    "read_graph",
    "recommend",
    "record",
    "rule_of",
    "save",
    "sensitivity",
    "stage_table",
    "to_html",
    "what_if",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'jitq_explore' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"jitq_explore.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
