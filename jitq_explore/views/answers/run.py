"""What is said of a run as a whole, and of each of its stages in a line."""

from __future__ import annotations

from collections.abc import Mapping

from jitq_explore.diagnostics.diagnose import diagnose
from jitq_explore.diagnostics.findings import ERROR, WARNING, Severity
from jitq_explore.snapshots.recording import INPUT, Recording, StageRecord
from jitq_explore.views.answers.pages import Book, Page
from jitq_explore.views.answers.plots import plot_tabs
from jitq_explore.views.answers.steps import outline
from jitq_explore.views.answers.tables import tabs
from jitq_explore.views.answers.wording import counted, duration, plural, readable
from jitq_explore.views.boxes import SIGNS, Status


def run(book: Book) -> dict[str, object]:
    """The answer to "run"."""
    newest = book.runs[-1]
    return {
        "title": _title(book),
        "facts": _facts(book),
        "runs": list(book.run_names) or None,
        "live": False,
        "busy": False,
        "stages": [_stage(book, page) for page in book.pages.values()],
        "toCome": list(_to_come(newest)) if len(book.runs) == 1 else [],
        "qconfig": _qconfig(book),
        "qconfigChoices": [],
        "canCompare": False,
        "earlier": 0,
        "measured": any(recording.numerics is not None for recording in book.runs),
        "tabs": tabs(book),
        "plotTabs": plot_tabs(book),
    }


def _mode(recording: Recording) -> str:
    return recording.mode.replace("_", "-")


def _title(book: Book) -> str:
    modes = dict.fromkeys(map(_mode, book.runs))
    if len(modes) == 1:
        what = f"{next(iter(modes)).capitalize()} quantization"
        return f"{what}, two runs compared" if len(book.runs) > 1 else what
    return f"{' and '.join(modes).capitalize()} quantization compared"


def _facts(book: Book) -> list[str]:
    if len(book.runs) == 1:
        return _facts_of(book.runs[0])
    return [
        f"{name}: {_mode(recording)}, {', '.join(_facts_of(recording))}"
        for name, recording in zip(book.run_names, book.runs, strict=True)
    ]


def _facts_of(recording: Recording) -> list[str]:
    planned = max(len(recording), len(recording.planned))
    facts = [f"engine {recording.engine}", f"torch {recording.torch_version}"]
    facts.append(f"{len(recording)} of {planned} stages")
    return [*facts, "debug"] if recording.debug else facts


def _to_come(recording: Recording) -> tuple[str, ...]:
    return recording.planned[len(recording) :] if recording.error is None else ()


def _qconfig(book: Book) -> list[list[str]]:
    if len(book.runs) == 1:
        return [[repr(key), readable(value)] for key, value in book.runs[0].qconfig.items()]
    return [
        [f"{name}: {key!r}", readable(value)]
        for name, recording in zip(book.run_names, book.runs, strict=True)
        for key, value in recording.qconfig.items()
    ]


def _stage(book: Book, page: Page) -> dict[str, object]:
    counts = counts_of(page)
    record = page.record
    return {
        "name": page.name,
        "nodes": len(page.graph),
        **{str(status): count for status, count in counts.items()},
        **(_compared(page, counts) if len(book.runs) > 1 else _alone(page, counts)),
        "seconds": record.seconds if record is not None else None,
        "batches": record.batches if record is not None else None,
        "error": _error(page),
        "messages": list(counted(_messages(book, page))),
        "findings": _findings(book, page, WARNING),
        "errors": _findings(book, page, ERROR),
        "only": page.only,
        "canAccept": record is not None and _can_be_accepted(record),
        "steps": outline(record.steps) if record is not None else [],
    }


def _can_be_accepted(record: StageRecord) -> bool:
    """Whether it is an interrupted calibration that has seen something."""
    return record.interrupted and record.error is not None and bool(record.batches)


def _findings(book: Book, page: Page, least: Severity) -> int:
    """How many findings at least as severe there are about the stage; those about the run as a
    whole are with the model as given."""
    if len(book.runs) > 1:
        return 0
    found = diagnose(book.runs[0]).at_least(least)
    return sum((each.stage or INPUT) == page.name for each in found)


def _alone(page: Page, counts: Mapping[Status, int]) -> dict[str, str]:
    return {
        "outcome": _outcome(page),
        "label": _label(page, counts),
        "sentence": _sentence(page),
    }


def _compared(page: Page, counts: Mapping[Status, int]) -> dict[str, str]:
    """The same where two runs are compared: how they differ after that stage."""
    times = ", ".join(f"{name} took {duration(record.seconds)}" for name, record in page.both)
    if page.only is not None:
        outcome, said = "changed", f"only {page.only} has this stage"
    elif page.diff is not None and page.diff.is_empty:
        outcome, said = "unchanged", "both runs have the same graph here"
    else:
        outcome, said = "changed", "{1}'s graph, compared with {0}'s".format(*page.names)
    if any(record.error is not None for _, record in page.both):
        outcome = "failed"
    label = f"only {page.only}" if page.only is not None else signs(counts) or "no difference"
    sentence = "; ".join(filter(None, (said, times)))
    return {"outcome": outcome, "label": label, "sentence": sentence}


def _error(page: Page) -> dict[str, str] | None:
    alone = (("", page.record),) if page.record is not None else ()
    failed = [(name, r.error) for name, r in (*alone, *page.both) if r.error is not None]
    if not failed:
        return None
    said = (f"{name}: {error}" if name else str(error) for name, error in failed)
    return {
        "message": readable("\n".join(said)),
        "traceback": readable("\n".join(error.traceback for _, error in failed)),
    }


def _messages(book: Book, page: Page) -> list[str]:
    if len(book.runs) == 1:
        return list(page.record.messages if page.record is not None else book.runs[0].warnings)
    said = page.both or ()
    return [f"{name}: {message}" for name, record in said for message in record.messages]


def counts_of(page: Page) -> Mapping[Status, int]:
    """How many nodes have each status."""
    diff = page.diff
    if diff is None:
        return {**dict.fromkeys(Status, 0), Status.SAME: len(page.graph)}
    return {
        Status.ADDED: len(diff.added),
        Status.REMOVED: len(diff.removed),
        Status.CHANGED: len(diff.changed),
        Status.SAME: len(diff.matched) - len(diff.changed),
    }


def _outcome(page: Page) -> str:
    if page.record is None:
        return "input"
    if page.record.error is not None:
        return "failed"
    return "changed" if _changed_anything(page.record) else "unchanged"


def _changed_anything(record: StageRecord) -> bool:
    return record.changed or bool(record.renewed_attributes)


def _label(page: Page, counts: Mapping[Status, int]) -> str:
    record = page.record
    if record is None:
        return plural(len(page.graph), "node")
    if record.error is not None:
        # Whoever stops a calibration knows that nothing is wrong with it.
        return "stopped" if record.interrupted else "failed"
    if record.batches is not None and not signs(counts):
        return plural(record.batches, "batch", "batches")
    return signs(counts) or ("graph unchanged" if _changed_anything(record) else "no change")


def signs(counts: Mapping[Status, int]) -> str:
    """What differs, in short: "+4 −2 ~3"; "" for nothing."""
    shown = (status for status in counts if status is not Status.SAME and counts[status])
    return " ".join(f"{SIGNS[status]}{counts[status]:,}" for status in shown)


def _sentence(page: Page) -> str:
    """What the counts do not say."""
    record = page.record
    if record is None:
        return "the model as it was given"
    if page.diff is not None and not page.diff.is_empty:
        return ""
    return _of_unchanged(record)


def _of_unchanged(record: StageRecord) -> str:
    """Of a stage that left the graph as it was."""
    old, new = record.before.readings, record.after.readings
    renewed = sum(reading != old.get(path) for path, reading in new.items())
    if record.batches is not None:
        batches = plural(record.batches, "batch", "batches")
        return f"the graph stays as it is; {batches} fed to {plural(len(new), 'observer')}"
    if record.error is not None:
        return "the graph stays as it was"
    if renewed:
        return f"the graph stays as it is; {plural(renewed, 'observer')} read anew"
    if record.renewed_attributes:
        return f"the graph stays as it is; {_holders(record)} hold something else"
    return "changed nothing" if not record.changed else "changed nothing in this graph"


def _holders(record: StageRecord) -> str:
    """The attributes that a stage has set, those by their count that only torch has names for."""
    renewed = record.renewed_attributes
    named = sorted(path for path, state in renewed.items() if state.kind != "packed")
    parts = named if len(named) <= _MOST_NAMED else [plural(len(named), "attribute")]
    if packed := len(renewed) - len(named):
        parts = [*parts, plural(packed, "packed weight")]
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


_MOST_NAMED = 4
"""Attributes that a sentence lists."""
