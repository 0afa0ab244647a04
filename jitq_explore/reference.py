"""`reference`: the public names and what their docstrings say, as text and as a page."""

from __future__ import annotations

import difflib
import html
import importlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass

PACKAGE = "jitq_explore"

TOPICS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Run and record", ("Session", "record", "Recording", "StageRecord")),
    ("Look", ("explore", "lesson", "diff", "diff_graphs", "GraphDiff", "Graph", "read_graph")),
    (
        "Plots",
        ("plot_ranges", "plot_histogram", "plot_channels", "plot_timeline"),
    ),
    (
        "Tables",
        (
            "stage_table",
            "observer_table",
            "channel_table",
            "calibration_table",
            "quant_node_table",
            "lineage_table",
            "lineage",
            "qconfig_table",
        ),
    ),
    ("Why", ("diagnose", "Findings", "Finding", "explain", "fusion_rules", "rule_of")),
    ("Errors and costs", ("compare", "numerics_table", "cost_table", "sensitivity")),
    ("What if", ("what_if", "recommend")),
    ("Keep and share", ("save", "load", "to_html")),
    ("What is raised", ("Stopped", "WouldCrashError", "IsolatedPassError")),
    (
        "In tests and in CI",
        (
            "testing.assert_quantized",
            "testing.assert_no_findings",
            "testing.assert_sqnr",
            "testing.assert_stage",
        ),
    ),
    ("Help", ("reference",)),
)
"""What is for what; every public name is in one of them, and what a test imports from `testing`."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A public name: how it is called, and its docstring; for a class its methods, too."""

    name: str
    signature: str
    doc: str
    members: tuple[Entry, ...] = ()

    @property
    def summary(self) -> str:
        """The first sentence of the docstring."""
        return self.doc.split("\n\n", 1)[0].replace("\n", " ")

    def text(self) -> str:
        """All of it."""
        lines = [f"{self.name}{self.signature}", "", *_indented(self.doc)]
        for member in self.members:
            lines += ["", f"  .{member.name}{member.signature}", *_indented(member.doc, 6)]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Reference:
    """Entries under their topics. Shows itself in a notebook; `page` is a file for a browser."""

    topics: tuple[tuple[str, tuple[Entry, ...]], ...]

    def text(self) -> str:
        """A list of all names, or, of one name, all that is said of it."""
        entries = [entry for _, found in self.topics for entry in found]
        if len(entries) == 1:
            return entries[0].text()
        width = max(len(entry.name) for entry in entries)
        lines: list[str] = []
        for title, found in self.topics:
            lines += ["", title, *(f"  {each.name:<{width}}  {each.summary}" for each in found)]
        return "\n".join(lines[1:])

    __str__ = __repr__ = text

    def _repr_html_(self) -> str:
        return "".join(_topic_html(title, found) for title, found in self.topics)

    def page(self) -> str:
        """An HTML page with nothing but text: no script, no address."""
        contents = " · ".join(
            f'<a href="#{html.escape(each.name)}">{html.escape(each.name)}</a>'
            for _, found in self.topics
            for each in found
        )
        return _PAGE.format(contents=contents, body=self._repr_html_())


def reference(name: str | None = None) -> Reference:
    """What the public names are for, or all about one of them, `Session.step` for a method.

    Text in a terminal, a list that folds in a notebook. KeyError with the nearest names for one
    that is not public.
    """
    known = [each for _, names in TOPICS for each in names]
    if name is None:
        entries = ((title, tuple(map(_entry, names))) for title, names in TOPICS)
        return Reference(tuple(entries))
    asked = name.removeprefix("jq.").removeprefix(f"{PACKAGE}.")
    first, _, member = (asked, "", "") if asked in known else asked.partition(".")
    if first not in known:
        raise KeyError(f"{name!r} is no public name ({_nearest(first, known)})")
    entry = _entry(first)
    if not member:
        return Reference(((first, (entry,)),))
    of_member = next((each for each in entry.members if each.name == member), None)
    if of_member is None:
        members = [each.name for each in entry.members]
        raise KeyError(f"{first} has no {member!r} ({_nearest(member, members)})")
    return Reference(((first, (of_member,)),))


def _nearest(name: str, names: list[str]) -> str:
    found = difflib.get_close_matches(name, names) or names
    listed = ", ".join(found)
    return f"must be one of {listed}" if found is names else f"did you mean {listed}?"


def _entry(name: str) -> Entry:
    module, _, last = f"{PACKAGE}.{name}".rpartition(".")
    thing = getattr(importlib.import_module(module), last)
    members = tuple(_members(thing)) if inspect.isclass(thing) else ()
    return Entry(name, _signature(thing), inspect.getdoc(thing) or "", members)


def _members(thing: type) -> Iterator[Entry]:
    for name, member in vars(thing).items():
        if name.startswith("_"):
            continue
        found = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        doc = inspect.getdoc(found)
        if doc and (callable(found) or isinstance(found, property) or hasattr(found, "func")):
            yield Entry(name, _signature(found), doc)


def _signature(thing: object) -> str:
    if not callable(thing):
        return ""
    if inspect.isclass(thing) and "__init__" not in vars(thing):
        return ""
    try:
        found = inspect.signature(thing)
    except (TypeError, ValueError):
        return ""
    parameters = [
        each.replace(annotation=_bare(each.annotation))
        for each in found.parameters.values()
        if each.name not in ("self", "cls")
    ]
    if any(str(each.annotation).startswith("_") for each in parameters):
        return ""  # not for users: made in another way
    return str(
        found.replace(parameters=parameters, return_annotation=_bare(found.return_annotation))
    )


def _bare(annotation: object) -> object:
    return annotation if annotation is inspect.Signature.empty else _Bare(annotation)


class _Bare:
    """An annotation that is written without quotes."""

    def __init__(self, annotation: object) -> None:
        self.text = str(annotation)

    def __repr__(self) -> str:
        return self.text


def _indented(text: str, by: int = 2) -> list[str]:
    return [f"{' ' * by}{line}".rstrip() for line in text.splitlines()]


def _topic_html(title: str, entries: tuple[Entry, ...]) -> str:
    rows = "".join(_entry_html(entry, is_open=len(entries) == 1) for entry in entries)
    return f"<h2>{html.escape(title)}</h2>{rows}"


def _entry_html(entry: Entry, is_open: bool = False) -> str:
    members = "".join(_entry_html(member) for member in entry.members)
    return (
        f'<details id="{html.escape(entry.name)}"{" open" if is_open else ""}>'
        f"<summary><code><b>{html.escape(entry.name)}</b></code> {_marked(entry.summary)}</summary>"
        f'<div style="margin: 4px 0 12px 24px"><code>{html.escape(entry.name)}'
        f"{html.escape(entry.signature)}</code>{_paragraphs(entry.doc)}{members}</div></details>"
    )


def _paragraphs(doc: str) -> str:
    return "".join(f"<p>{_marked(part)}</p>" for part in doc.split("\n\n"))


def _marked(text: str) -> str:
    """Escaped, with what stands between back quotes as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))


_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>jitq_explore: reference</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<style>body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 900px; margin: 2em auto; padding: 0
16px; }} code {{ font-size: 14px; overflow-wrap: anywhere; }} summary {{ cursor: pointer; padding:
3px 0; }}</style></head><body><h1>jitq_explore</h1><p><code>import jitq_explore as jq</code></p>
<nav>{contents}</nav>{body}</body></html>
"""
