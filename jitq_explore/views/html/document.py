"""The page as a document: one file that asks nobody for anything."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src {script}",
        "style-src {style}",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    )
)
"""The browser runs the one script and applies the one style sheet that have these hashes, and
loads nothing, whatever a name in the recording says."""


@dataclass(frozen=True)
class Document:
    """What is put in the file: texts, the code of the page, and the packed answers (base64)."""

    title: str
    sentence: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str
    picture: str
    style: str
    script: str
    answers: str

    def html(self) -> str:
        """The text of the file. `picture` is SVG, and stands there as it is; names are escaped."""
        return _PAGE.format(
            policy=escape(_POLICY.format(script=_hashed(self.script), style=_hashed(self.style))),
            title=escape(self.title),
            style=self.style,
            sentence=escape(self.sentence),
            head=_row("th", self.columns),
            rows="\n".join(_row("td", row) for row in self.rows),
            caption=escape(self.caption),
            picture=self.picture,
            answers=self.answers,
            script=self.script,
        )


def _row(tag: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def _hashed(text: str) -> str:
    """What a content security policy knows an inline script or style sheet by."""
    assert "</s" not in text.lower(), "it would end the element that it stands in"
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


# An icon that is none: a browser would ask the server for one.
_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="generator" content="jitq_explore">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<noscript>
<div class="without-script">
<h1>{title}</h1>
<p>{sentence}</p>
<table>
{head}
{rows}
</table>
<h2>{caption}</h2>
{picture}
</div>
</noscript>
<main id="explorer"></main>
<script type="text/plain" id="answers">{answers}</script>
<script type="module">{script}</script>
</body>
</html>
"""
