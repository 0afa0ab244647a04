"""Answers as little text as possible: what occurs more than once is written once.

The drawings of two stages differ in a few boxes, the details of a node at two stages in a few rows.
Deflate alone does not find that, since it looks back 32 KB and one drawing is larger.

The text is JSON: {"shared": [value, …], "value": value}, where within a value

    {"": 7}               stands for shared[7]
    {"": ["\n", …]}       is a text, by its lines
    {"": [[], value]}     is what really is an object whose only key is ""

`unpack.js` reads it.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

_SHORT = 12
"""Values that are written in so many characters are cheaper than what would refer to them."""


def packed(value: Any) -> str:
    """JSON data as base64 of deflated JSON; the same text for the same data."""
    return base64.b64encode(zlib.compress(_dumped(shared(value)).encode(), 9)).decode()


def shared(value: Any) -> dict[str, Any]:
    """JSON data, and what occurs in it more than once on its own."""
    return _Sharing(value).result()


class _Sharing:
    """Finds equal values, and writes each of them once."""

    def __init__(self, value: Any) -> None:
        self._ids: dict[tuple[Any, ...], int] = {}
        self._parts: list[tuple[Any, ...]] = []
        self._whole = self._known(value)
        self._times = Counter(number for part in self._parts for number in _inside(part))
        self._written: dict[int, Any] = {}
        self._shared: list[Any] = []

    def result(self) -> dict[str, Any]:
        whole = self._value(self._whole)
        return {"shared": self._shared, "value": whole}

    def _known(self, value: Any) -> int:
        """The number of the value: equal values have the same."""
        part = self._part(value)
        number = self._ids.get(part)
        if number is None:
            number = self._ids[part] = len(self._parts)
            self._parts.append(part)
        return number

    def _part(self, value: Any) -> tuple[Any, ...]:
        if isinstance(value, Mapping):
            return ("object", *((key, self._known(inner)) for key, inner in value.items()))
        if isinstance(value, list | tuple):
            return ("array", *map(self._known, value))
        if isinstance(value, str) and "\n" in value:
            return ("lines", *map(self._known, value.split("\n")))
        # 1, 1.0 and True are equal in Python, but not in JSON.
        return (type(value), value)

    def _value(self, number: int) -> Any:
        """What is written for the value of that number."""
        if number not in self._written:
            value = self._spelled(self._parts[number])
            if self._times[number] > 1 and len(_dumped(value)) > _SHORT:
                self._shared.append(value)
                value = {"": len(self._shared) - 1}
            self._written[number] = value
        return self._written[number]

    def _spelled(self, part: tuple[Any, ...]) -> Any:
        kind, *inside = part
        if kind == "object":
            value = {key: self._value(number) for key, number in inside}
            return {"": [[], value[""]]} if value.keys() == {""} else value
        if kind == "array":
            return [self._value(number) for number in inside]
        if kind == "lines":
            return {"": ["\n", *(self._value(number) for number in inside)]}
        return inside[0]


def _inside(part: tuple[Any, ...]) -> Iterator[int]:
    """The numbers of the values that the part is made of."""
    kind, *inside = part
    if kind == "object":
        yield from (number for _, number in inside)
    elif kind in ("array", "lines"):
        yield from inside


def _dumped(value: Any) -> str:
    # In ASCII, since half a surrogate pair, which a name may hold, has no UTF-8.
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
