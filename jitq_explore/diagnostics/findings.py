"""`Finding`: one thing that is wrong with a run, or worth knowing; `Findings`: all of a run."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal, TypeAlias, overload

from jitq_explore.snapshots.changes import Change
from jitq_explore.snapshots.printable import printable
from jitq_explore.snapshots.source import short_source

if TYPE_CHECKING:
    import pandas as pd

Severity: TypeAlias = Literal["error", "warning", "info"]

ERROR: Severity = "error"
"""The result is wrong, cannot be run, or is not quantized at all."""

WARNING: Severity = "warning"
"""The result can be run, but loses accuracy, speed or size that could be had."""

INFO: Severity = "info"
"""As it should be, but not as one might think."""

SEVERITIES: tuple[Severity, ...] = (ERROR, WARNING, INFO)
"""The worst first."""

_NOUNS = {ERROR: ("error", "errors"), WARNING: ("warning", "warnings"), INFO: ("info", "infos")}

_SIGNS = {ERROR: "✗", WARNING: "!", INFO: "·"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding.

    `rule` is the name of the rule that found it. `stage` and `node` say which node at which stage
    ("" where it is about no node, or about the run as a whole), `module` is a submodule's path and
    `source` the user's own line ("file:line:column"). `why` explains, `evidence` has the numbers,
    `remedy` says what to do; `change` is the same for `Session.with_change`, where that can do it.
    """

    rule: str
    severity: Severity
    title: str
    why: str
    evidence: str = ""
    remedy: str = ""
    stage: str = ""
    node: str = ""
    module: str = ""
    source: str = ""
    change: Change | None = None

    @property
    def where(self) -> str:
        """Node, module and line in a few words; "" where it is about the run as a whole."""
        node = f"{self.node} after {self.stage!r}" if self.node else ""
        module = f"module {self.module!r}" if self.module else ""
        return printable(", ".join(filter(None, (node, module, short_source(self.source)))))

    def text(self) -> str:
        """The finding in a few lines, control characters written out."""
        head = f"{_SIGNS[self.severity]} {self.severity}: {self.title} [{self.rule}]"
        parts = (
            ("where", self.where),
            ("why", self.why),
            ("evidence", self.evidence),
            ("remedy", self.remedy),
        )
        lines = [head, *(f"  {name}: {said}" for name, said in parts if said)]
        return "\n".join(map(printable, lines))


class Findings(Sequence[Finding]):
    """The findings of a run, the worst first; a notebook shows them as a table."""

    def __init__(self, findings: Iterable[Finding] = ()) -> None:
        rank = {severity: place for place, severity in enumerate(SEVERITIES)}
        self._all = tuple(sorted(findings, key=lambda each: rank[each.severity]))

    @overload
    def __getitem__(self, place: int) -> Finding: ...
    @overload
    def __getitem__(self, place: slice) -> Findings: ...
    def __getitem__(self, place: int | slice) -> Finding | Findings:
        return Findings(self._all[place]) if isinstance(place, slice) else self._all[place]

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._all)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Findings) and self._all == other._all

    def __hash__(self) -> int:
        return hash(self._all)

    def at_least(self, severity: Severity) -> Findings:
        """Those of that severity and the worse ones."""
        kept = SEVERITIES[: SEVERITIES.index(severity) + 1]
        return Findings(each for each in self._all if each.severity in kept)

    def of(self, rule: str) -> Findings:
        """Those of that rule."""
        return Findings(each for each in self._all if each.rule == rule)

    def count(self, value: object) -> int:
        """How many are of that severity, or equal to that finding."""
        return sum(value in (each.severity, each) for each in self._all)

    def summary(self) -> str:
        """How many there are of each severity, in a line."""
        counts = ((self.count(severity), severity) for severity in SEVERITIES)
        said = [f"{count} {_NOUNS[severity][count > 1]}" for count, severity in counts if count]
        return ", ".join(said) or "nothing found"

    def text(self) -> str:
        """All of them for a terminal."""
        return "\n\n".join([self.summary(), *(each.text() for each in self._all)])

    __str__ = text

    def __repr__(self) -> str:
        return f"<Findings: {self.summary()}>"

    def table(self) -> pd.DataFrame:
        """A row each; the columns are the fields of `Finding`."""
        import pandas as pd

        names = [field.name for field in fields(Finding)]
        rows = [tuple(getattr(each, name) for name in names) for each in self._all]
        return pd.DataFrame(rows, columns=names)

    def _repr_html_(self) -> str:
        rows = "".join(map(_row, self._all))
        heads = "".join(f"<th>{name}</th>" for name in ("", "finding", "where", "remedy"))
        table = f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
        return f"<p>{self.summary()}</p>{table if self._all else ''}"


def _row(each: Finding) -> str:
    said = [f"<b>{_safe(each.title)}</b>", _safe(each.why), f"<i>{_safe(each.evidence)}</i>"]
    cells = (
        f"{_SIGNS[each.severity]}&nbsp;{each.severity}",
        "<br>".join(said),
        _safe(each.where),
        _safe(each.remedy),
    )
    style = ' style="text-align:left;vertical-align:top"'
    return f"<tr>{''.join(f'<td{style}>{cell}</td>' for cell in cells)}</tr>"


def _safe(text: str) -> str:
    return html.escape(printable(text))
