"""Recordings for pages, and a reader of what a page holds."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections import Counter
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from typing import Any

from snapshots.build import module, recording, snapshot
from views.build import HOSTILE, Builder

from jitq_explore.snapshots.recording import Recording, StageError


def hostile_recording() -> Recording:
    """Each name that a model, or whoever made the file, can choose is a hostile one."""
    built = Builder(HOSTILE)
    weight = built.weight(f"{HOSTILE}.weight", out="w")
    built.constant(HOSTILE, out="c")
    built.node(
        f"my::{HOSTILE}", HOSTILE, weight, "c", out="y", path=HOSTILE, source=HOSTILE, text=HOSTILE
    )
    modules = (module(), module(HOSTILE, HOSTILE))
    given = snapshot(Builder(HOSTILE).graph(HOSTILE), HOSTILE, modules)
    made = recording(given, snapshot(built.graph("y"), HOSTILE, modules), names=[HOSTILE])
    error = StageError("RuntimeError", HOSTILE, HOSTILE)
    failed = replace(made.stages[0], error=error, messages=(HOSTILE,))
    return replace(
        made,
        stages=(failed,),
        qconfig={HOSTILE: HOSTILE},
        engine=HOSTILE,
        torch_version=HOSTILE,
        warnings=(HOSTILE,),
    )


@dataclass
class Read(HTMLParser):
    """A page as a browser without JavaScript sees it."""

    html: str
    tags: Counter[str] = field(default_factory=Counter)
    attributes: list[tuple[str, str, str]] = field(default_factory=list)
    texts: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()
        self._open = [""]
        self.feed(self.html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attributes]
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self._open.pop()

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self._open[-1], []).append(data)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attributes]

    @property
    def policy(self) -> dict[str, str]:
        """The content security policy: directive -> its sources."""
        (content,) = [value for _, _, value in self.attributes if value.startswith("default-src")]
        return dict(part.split(" ", 1) for part in content.split("; "))

    @property
    def packed(self) -> str:
        answers, _ = self.texts["script"]
        return answers

    @property
    def content(self) -> dict[str, Any]:
        """The answers and the fold states, unpacked."""
        found = json.loads(zlib.decompress(base64.b64decode(self.packed)))
        content: dict[str, Any] = spelled_out(found["value"], found["shared"])
        return content


def spelled_out(value: Any, shared: list[Any]) -> Any:
    """As unpack.js does it."""
    if isinstance(value, list):
        return [spelled_out(each, shared) for each in value]
    if not isinstance(value, dict):
        return value
    if value.keys() != {""}:
        return {key: spelled_out(each, shared) for key, each in value.items()}
    inside = value[""]
    if isinstance(inside, int):
        return spelled_out(shared[inside], shared)
    mark, *parts = inside
    if not isinstance(mark, str):
        return {"": spelled_out(parts[0], shared)}
    spelled = (shared[part] if isinstance(part, int) else part for part in parts)
    return mark.join(spelled_out(part, shared) for part in spelled)


def source_hash(text: str) -> str:
    """As a content security policy names an inline script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
