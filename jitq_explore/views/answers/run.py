"""What is said of a run as a whole, and of each of its stages in a line."""

from __future__ import annotations

from collections.abc import Mapping

from jitq_explore.snapshots.recording import Recording, StageRecord
from jitq_explore.views.answers.pages import Book, Page
from jitq_explore.views.answers.tables import tabs
from jitq_explore.views.answers.wording import counted, plural
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
        "tabs": tabs(book),
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
        return [[repr(key), value] for key, value in book.runs[0].qconfig.items()]
    return [
        [f"{name}: {key!r}", value]
        for name, recording in zip(book.run_names, book.runs, strict=True)
        for key, value in recording.qconfig.items()
    ]


def _stage(book: Book, page: Page) -> dict[str, object]:
    counts = counts_of(page)
    record = page.record
    error = record.error if record is not None else None
    said = record.messages if record is not None else book.runs[-1].warnings
    return {
        "name": page.name,
        "nodes": len(page.graph),
        **{str(status): count for status, count in counts.items()},
        "outcome": _outcome(page),
        "label": _label(page, counts),
        "sentence": _sentence(page),
        "seconds": record.seconds if record is not None else None,
        "batches": record.batches if record is not None else None,
        "error": {"message": str(error), "traceback": error.traceback} if error else None,
        "messages": list(counted(said)),
        "findings": 0,
        "only": page.only,
        "steps": [step.name for step in record.steps] if record is not None else [],
    }


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
        is_changed = page.diff is not None and not page.diff.is_empty
        return "changed" if is_changed else "unchanged" if page.diff is not None else "input"
    if page.record.error is not None:
        return "failed"
    return "changed" if page.record.changed else "unchanged"


def _label(page: Page, counts: Mapping[Status, int]) -> str:
    record = page.record
    if page.diff is None:
        return plural(len(page.graph), "node")
    if record is not None and record.error is not None:
        return "failed"
    differing = (status for status in counts if status is not Status.SAME)
    signs = [f"{SIGNS[status]}{counts[status]:,}" for status in differing if counts[status]]
    if signs:
        return " ".join(signs)
    if record is not None and record.batches is not None:
        return plural(record.batches, "batch", "batches")
    return "graph unchanged" if record is not None and record.changed else "no change"


def _sentence(page: Page) -> str:
    """What the counts do not say."""
    record = page.record
    if record is None:
        return "the model as it was given" if page.diff is None else ""
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
    return "changed nothing" if not record.changed else "changed nothing in this graph"
