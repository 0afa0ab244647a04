"""Why a node is float, quantized, fused or not, observed or not, and what was found of it."""

from __future__ import annotations

from collections.abc import Iterator

from jitq_explore.diagnostics.diagnose import diagnose
from jitq_explore.diagnostics.explain import Explanation, explain
from jitq_explore.snapshots.graph import Node
from jitq_explore.views.answers.pages import Book, Page
from jitq_explore.views.answers.sections import pair_row, pairs
from jitq_explore.views.answers.whereabouts import of_findings

_NOTHING_TO_SAY = frozenset({"fixed", "moves"})

_VERDICTS = {
    "float": "is float",
    "quantized": "is quantized",
    "as it is": "runs on quantized values",
    "quantization": "converts",
    "observer": "observes",
}


def why_section(book: Book, page: Page, node: Node, gone: bool) -> Iterator[dict[str, object]]:
    """A section for ops that there is something to say of; findings come first."""
    recording, stage = book.origin(page.name, gone)
    told = explain(recording, node, stage)
    said = {reason.text for reason in told.reasons}
    rows = [
        pair_row(each.severity, f"{each.title}. {each.remedy}", hint=each.why)
        for each, where in zip(diagnose(recording), of_findings(recording), strict=True)
        if node.id in where.by_stage.get(stage, ()) and each.why not in said
    ]
    if told.verdict not in _NOTHING_TO_SAY:
        rows += _rows(page, told, gone)
    if rows:
        yield pairs("Why?", rows, "Why it is as it is, by torch's own rules", prose=True)


def _rows(page: Page, told: Explanation, gone: bool) -> Iterator[dict[str, object]]:
    yield pair_row(_VERDICTS[told.verdict], told.title)
    for reason in told.reasons:
        here = reason.node if reason.node in page.graph.by_id and not gone else ""
        yield pair_row("because", reason.text, node=(here, False) if here else None)
    if told.evidence:
        yield pair_row("evidence", told.evidence)
    if told.remedy:
        yield pair_row("remedy", told.remedy)
