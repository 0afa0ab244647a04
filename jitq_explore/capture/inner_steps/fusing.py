"""Inner steps of `quant_finalize`: one for each rule that rewrote something, then freezing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jitq_explore.capture.inner_steps.context import Context, counted, group_of
from jitq_explore.capture.log_entries import LogEntry
from jitq_explore.snapshots.rules import FusionRule
from jitq_explore.snapshots.step_changes import Rewrite, kind_made, rewrites
from jitq_explore.snapshots.steps import Event, Step, StepGraph

PATTERN = "Pattern graph:"
BEFORE_FUSION = "Before QuantFusion:"
_FOLDING = re.compile(r"Folding GetAttr %(?P<value>[\w.]+) with self\.(?P<path>.*)")


@dataclass(frozen=True)
class Try:
    """A rule that was tried: its pattern, and the graph as it was before."""

    pattern: StepGraph
    before: StepGraph
    is_fusion: bool


def fusing_steps(entries: Sequence[LogEntry], context: Context) -> Iterator[Step]:
    """Inserting prepack ops and fusing, rule by rule; freezing and folding the prepack ops."""
    rules = {rule.pattern: rule for rule in context.rules}
    for one, after in rules_tried(entries, context.left):
        rule = rules.get(one.pattern.text)
        if after is None:
            yield from _split(one, rule, context)
        elif after != one.before:
            yield _rule_step(one, after, rule)
    yield from _freezing(entries, context)


def rules_tried(
    entries: Sequence[LogEntry], left: StepGraph | None
) -> Iterator[tuple[Try, StepGraph | None]]:
    """Every rule that was tried, in order, on whatever graph; and that graph afterwards.

    What is done between two rules is so little that it counts in. `left` is the graph as the last
    rule left it.
    """
    later = {group_of(left): left} if left is not None else {}
    found: list[tuple[Try, StepGraph | None]] = []
    for one in reversed(list(_tries(entries))):
        group = group_of(one.before)
        found.append((one, later.get(group)))
        later[group] = one.before
    yield from reversed(found)


def _tries(entries: Sequence[LogEntry]) -> Iterator[Try]:
    pattern: StepGraph | None = None
    is_fusion = False
    for entry in entries:
        if entry.text == BEFORE_FUSION:
            is_fusion = True
        elif entry.text == PATTERN:
            pattern = entry.graph
        elif entry.text == "Target graph:" and pattern is not None and entry.graph is not None:
            yield Try(pattern, entry.graph, is_fusion)


def _rule_step(one: Try, after: StepGraph, rule: FusionRule | None) -> Step:
    replacement = rule.replacement.splitlines() if rule is not None else []
    found = rewrites(one.before, after, _end(one.pattern.lines), _end(replacement))
    name = rule.name if rule is not None else ""
    phase = "fuse" if one.is_fusion else "prepack"
    times = "" if len(found) == 1 else f" ({len(found)} times)"
    events = tuple(map(_event, found))
    return Step(
        phase, f"{name or 'a rule that is not known'}{times}", events, one.before, after, name
    )


def _split(one: Try, rule: FusionRule | None, context: Context) -> Iterator[Step]:
    """The last rule of an on-device pass: torch splits the method before it can be seen again."""
    end = _end(rule.replacement.splitlines()) if rule is not None else ""
    split = context.main_after
    made = [line for line in split.lines if kind_made(line) == end] if split is not None else []
    if rule is not None and end and made and not any(kind_made(x) == end for x in one.before.lines):
        events = tuple(_event(Rewrite((), (line,))) for line in made)
        title = f"{rule.name}, then split in packing and running"
        yield Step("fuse", title, events, one.before, split, rule.name)


def _end(graph: Sequence[str]) -> str:
    """The kind of the last node of a graph's lines."""
    return next(filter(None, map(kind_made, reversed(graph))), "")


def _event(rewrite: Rewrite) -> Event:
    took = [f"took {line.strip()}" for line in rewrite.taken]
    made = [f"made {line.strip()}" for line in rewrite.made]
    return Event("fused", "\n".join([*made, *took]), rewrite.values, cause=_in_short(rewrite))


def _in_short(rewrite: Rewrite) -> str:
    """The kinds that were taken and those that were made."""
    took, made = (" + ".join(map(kind_made, lines)) for lines in (rewrite.taken, rewrite.made))
    return f"{took} → {made}" if took else made


def _freezing(entries: Sequence[LogEntry], context: Context) -> Iterator[Step]:
    folded = tuple(_folded(entries, context))
    if not folded:
        return
    frozen = _last_cleaned(entries)
    title = f"{counted(len(folded), 'attribute')} turned into constants"
    yield Step("freeze", title, folded, context.left, frozen)
    after = context.main_after
    if frozen is not None and after is not None and after != frozen:
        yield Step("fold prepack", "packed weights turned into attributes", (), frozen, after)


def _folded(entries: Sequence[LogEntry], context: Context) -> Iterator[Event]:
    for entry in entries:
        found = _FOLDING.match(entry.text)
        if found:
            module = context.owner(found["path"])
            yield Event("folded", entry.text, (found["value"],), module)


def _last_cleaned(entries: Sequence[LogEntry]) -> StepGraph | None:
    found = None
    for entry in entries:
        if entry.file == "dead_code_elimination" and entry.graph is not None:
            found = entry.graph
    return found
