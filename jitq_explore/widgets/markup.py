"""The explorer's pieces of HTML, as text.

Names, messages and IR come from whoever made the model: everything passes through `safe`.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.resources import files

from jitq_explore.snapshots.recording import Recording, StageRecord
from jitq_explore.views.boxes import SIGNS, Status
from jitq_explore.views.printable import printable
from jitq_explore.widgets.book import Drawn, Found, Page

FAILED = "✖"

ZOOM = (
    ("fit to width", "max-width: 100%"),
    ("whole drawing", "width: 100%; height: 100%; max-width: none"),
    *(
        (f"{percent} %", f"width: calc(var(--jitq-width) * {percent / 100}px); max-width: none")
        for percent in (75, 100, 150, 200)
    ),
)
"""How large a drawing can be shown, each with the style of its SVG."""

_LINE_STATUS = {"+ ": Status.ADDED, "- ": Status.REMOVED, "~ ": Status.CHANGED}


def safe(text: object) -> str:
    """Text for HTML: escaped, and control characters written out (line ends are kept)."""
    return html.escape("\n".join(printable(line) for line in str(text).splitlines()))


def style() -> str:
    """How the explorer looks, for all explorers of a page."""
    look = files(__package__).joinpath("look.css").read_text(encoding="utf-8")
    return f"<style>{look}</style>"


def heading(recording: Recording) -> str:
    """One line about the run."""
    mode = recording.mode.replace("_", "-")
    count = f"{len(recording)} of {max(len(recording), len(recording.planned))} stages"
    facts = (f"engine {recording.engine}", f"torch {recording.torch_version}", count)
    return (
        f'<span class="jitq-title">{safe(mode.capitalize())} quantization</span>'
        f'<span class="jitq-quiet">{safe(" · ".join(facts))}</span>'
    )


def strip_label(page: Page) -> str:
    """A stage's name and, on a second line, what became of it. Plain text."""
    return f"{printable(page.name)}\n{_outcome(page)}"


def _outcome(page: Page) -> str:
    record, diff = page.record, page.diff
    if record is None or diff is None:
        return f"{len(page.graph):,} nodes"
    if record.error is not None:
        return f"{FAILED} failed"
    counts = [
        f"{SIGNS[status]}{count:,}"
        for status, count in _counts(page)
        if count and status is not Status.SAME
    ]
    if counts:
        return " ".join(counts)
    if record.batches is not None:
        return plural(record.batches, "batch", "batches")
    return "graph unchanged" if record.changed else "no change"


def summary(page: Page) -> str:
    """What the stage did: the counts in the drawing's colours and a sentence; its error first."""
    record = page.record
    if record is None:
        return f"The model as it was given: {len(page.graph):,} nodes."
    alarm = _alarm(record) if record.error is not None else ""
    chips = "".join(_chip(status, count) for status, count in _counts(page))
    words = [_sentence(page, record), _duration(record.seconds)]
    said = safe(" · ".join(filter(None, words)))
    return f'{alarm}{chips} <span class="jitq-quiet">{said}</span>'


def _counts(page: Page) -> Iterator[tuple[Status, int]]:
    diff = page.diff
    if diff is not None:
        yield Status.ADDED, len(diff.added)
        yield Status.REMOVED, len(diff.removed)
        yield Status.CHANGED, len(diff.changed)
        yield Status.SAME, len(diff.matched) - len(diff.changed)


def _chip(status: Status, count: int) -> str:
    name = "the same" if status is Status.SAME else str(status)
    quiet = " jitq-none" if not count else ""
    return f'<span class="jitq-chip jitq-{status}{quiet}">{SIGNS[status]} {count:,} {name}</span>'


def _sentence(page: Page, record: StageRecord) -> str:
    if page.diff is not None and not page.diff.is_empty:
        return ""
    old, new = record.before.readings, record.after.readings
    renewed = sum(reading != old.get(path) for path, reading in new.items())
    if record.batches is not None:
        batches = plural(record.batches, "batch", "batches")
        return f"the graph stays as it is; {batches} fed to {plural(len(new), 'observer')}"
    if record.error is not None:
        return "the graph stays as it was"
    if renewed:
        return f"the graph stays as it is; {plural(renewed, 'observer')} read anew"
    return "changed nothing" if not record.changed else "changed nothing in this graph"


def _duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"


def _alarm(record: StageRecord) -> str:
    return (
        f'<div class="jitq-alarm" role="alert"><b>{FAILED} {safe(record.name)} failed</b> '
        f"{safe(record.error)}</div>"
    )


def running(stage: str) -> str:
    """What is said while a stage runs."""
    return quiet(f"Running {stage} …")


def how_it_went(recording: Recording, problem: str, warnings: Sequence[str]) -> str:
    """What is said after stages have run: `problem` is "" or what ended them."""
    said = "".join(_messages(warnings))
    if recording.error is not None:
        return said + quiet("The run ended here. session.back() takes the failed stage back.")
    if problem:
        return f'{said}<div class="jitq-alarm" role="alert">{safe(problem)}</div>'
    return said


def drawing(page: Page, drawn: Drawn) -> str:
    """The drawing in a box that scrolls; where there is none the reason, and the text."""
    name = safe(f"Drawing of {page.name}")
    if drawn.problem:
        return (
            f'<div class="jitq-alarm"><b>No drawing.</b> {safe(drawn.problem)}</div>'
            f'<div class="jitq-drawing jitq-text" tabindex="0" role="region" aria-label="{name}">'
            f"{listing(page.text)}</div>"
        )
    svg = drawn.svg.replace("<svg ", f'<svg role="img" aria-label="{name}" ', 1)
    return (
        f'<div class="jitq-drawing" tabindex="0" role="region" aria-label="{name}" '
        f'style="--jitq-width:{drawn.width:g}">{svg}</div>'
    )


def caption(drawn: Drawn) -> str:
    """What the drawing leaves out."""
    note = f"{drawn.note}. " if drawn.note else ""
    return quiet(f"{note}Point at a box for its details.") if drawn.svg else ""


def highlight(explorer: str, found: Found | None, zoom: str) -> str:
    """A style sheet that holds for one explorer: how large its drawing is, and what stands out.

    `explorer` is the explorer's own class, `zoom` one of the styles in `ZOOM`.
    """
    place = f".{explorer} .jitq-drawing"
    rules = [f"{place} svg {{ {zoom}; }}"]
    if found is not None and found.boxes:
        rules.append(f"{place} :is(.node, .edge) {{ opacity: 0.2; }}")
        boxes = ",".join(f'[id="{box}"]' for box in sorted(found.boxes))
        rules.append(f"{place} .node:is({boxes}) {{ opacity: 1; }}")
        rules.append(f"{place} .node:is({boxes}) path {{ stroke-width: 3; }}")
    return f"<style>{' '.join(rules)}</style>"


def found_nodes(found: Found | None) -> str:
    """How many nodes the filter found."""
    if found is None:
        return ""
    count = f"<b>{len(found.nodes):,} of {found.total:,}</b> nodes match"
    if found.folded:
        count += f" ({found.folded:,} folded away)"
    return f'<span class="jitq-quiet">{count}</span>'


def text(page: Page) -> str:
    """The text twin of the drawing."""
    return scrolling(f"Text of {page.name}", listing(page.text))


def listing(lines: str) -> str:
    """Text in fixed width; a line that begins with a sign in that sign's colour."""
    marked = "\n".join(_line(line) for line in lines.splitlines())
    return f"<pre>{marked}</pre>"


def _line(line: str) -> str:
    status = _LINE_STATUS.get(line[:2])
    if status is None:
        return safe(line)
    return f'<span class="jitq-line jitq-line-{status}">{safe(line)}</span>'


def messages(page: Page, recording: Recording) -> str:
    """The error of the stage with its traceback, what was kept from the screen, and the qconfig."""
    record = page.record
    parts = []
    if record is not None and record.error is not None:
        trace = safe(record.error.traceback) or "no traceback was kept"
        parts.append(f'{_alarm(record)}<pre class="jitq-wrap">{trace}</pre>')
    parts += _messages(record.messages if record is not None else recording.warnings)
    if not parts:
        parts.append(quiet("No warnings and no error."))
    qconfig = "\n".join(f"{key!r}: {value}" for key, value in recording.qconfig.items())
    parts.append(
        "<details><summary>qconfig of this run</summary>"
        f'<pre class="jitq-wrap">{safe(qconfig)}</pre></details>'
    )
    return scrolling("Messages", "".join(parts))


def count_messages(page: Page, recording: Recording) -> str:
    """The title of the tab that holds them. Plain text."""
    record = page.record
    if record is not None and record.error is not None:
        return f"{FAILED} Error"
    count = len(record.messages if record is not None else recording.warnings)
    return f"Messages ({count})" if count else "Messages"


def scrolling(name: str, content: str) -> str:
    """HTML in a box with scroll bars, which has a name for those who do not see it."""
    return (
        f'<div class="jitq-scroll" tabindex="0" role="region" aria-label="{safe(name)}">'
        f"{content}</div>"
    )


def quiet(sentence: str) -> str:
    """A sentence in grey."""
    return f'<span class="jitq-quiet">{safe(sentence)}</span>'


def plural(count: int, one: str, many: str = "") -> str:
    """A number with its noun: "1 batch", "2 batches"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _messages(said: Sequence[str]) -> Iterator[str]:
    """Each message once, with how often it came."""
    for message, times in Counter(said).items():
        often = f" (×{times})" if times > 1 else ""
        yield f'<div class="jitq-message">{safe(message)}{often}</div>'
