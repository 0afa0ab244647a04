"""JSON data as little text as possible: what occurs more than once is written once.

The drawings of two stages differ in a few boxes, a box that changes in its colour, the details of a
node at two stages in a few rows. Deflate alone does not find that: it looks back 32 KB, and one
drawing is larger.

The text is JSON: {"shared": [value, …], "value": value}, where within a value

    {"": 7}                   stands for shared[7]
    {"": ["<", part, …]}      is a text: its parts joined by the first item; numbers stand for what
                              is shared, since parts are texts
    {"": [[], value]}         is what really is an object whose only key is ""

`unpack.js` reads it.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import Any, TypeAlias

_SHORT = 12
"""Values that are written in so many characters are cheaper than what would refer to them."""

_Part: TypeAlias = tuple[Any, ...]
"""A value one level deep: ("object", (key, number), …), ("array", number, …), ("\\n", number, …)
for the lines of a text, ("<", number, …) for tags, or (type, value)."""


def packed(value: Any) -> str:
    """JSON data as base64 of deflated JSON; the same text for the same data."""
    return base64.b64encode(zlib.compress(_dumped(shared(value)).encode(), 9)).decode()


def shared(value: Any) -> dict[str, Any]:
    """JSON data, and what occurs in it more than once on its own."""
    return _Sharing(value).result()


class _Sharing:
    """Finds equal values, and writes each of them once."""

    def __init__(self, value: Any) -> None:
        self._numbers: dict[_Part, int] = {}
        self._parts: list[_Part] = []
        # Objects that are met again need not be looked into again; `value` keeps them alive.
        self._known_objects: dict[int, int] = {}
        self._whole = self._number(value)
        self._places = self._places_of_shared()

    def result(self) -> dict[str, Any]:
        written = [self._written(number) for number in self._places]
        return {"shared": written, "value": self._value(self._whole)}

    def _number(self, value: Any) -> int:
        """The number of the value: equal values have the same."""
        is_object = type(value) in (dict, list)
        if is_object and id(value) in self._known_objects:
            return self._known_objects[id(value)]
        part = self._part(value)
        number = self._numbers.setdefault(part, len(self._parts))
        if number == len(self._parts):
            self._parts.append(part)
        if is_object:
            self._known_objects[id(value)] = number
        return number

    def _part(self, value: Any) -> _Part:
        if isinstance(value, dict):
            return ("object", *[(key, self._number(inner)) for key, inner in value.items()])
        if isinstance(value, list | tuple):
            return ("array", *map(self._number, value))
        if isinstance(value, str):
            mark = "\n" if "\n" in value else "<"
            if value.count(mark) > (mark == "<"):
                return (mark, *map(self._number, value.split(mark)))
        # 1, 1.0 and True are equal in Python, but not in JSON.
        return (type(value), value)

    def _places_of_shared(self) -> dict[int, int]:
        """Number of a value that is written once -> its place; what is alike stands together."""
        times = Counter(number for part in self._parts for number in _inside(part))
        chosen = [n for n, count in times.items() if count > 1 and _length(self._parts[n]) > _SHORT]
        chosen.sort(key=lambda number: (str(self._parts[number][0]), self._parts[number][1:]))
        return {number: place for place, number in enumerate(chosen)}

    def _value(self, number: int) -> Any:
        """What is written where the value is used."""
        place = self._places.get(number)
        return self._written(number) if place is None else {"": place}

    def _written(self, number: int) -> Any:
        kind, *inside = self._parts[number]
        if kind == "object":
            value = {key: self._value(inner) for key, inner in inside}
            return {"": [[], value[""]]} if value.keys() == {""} else value
        if kind == "array":
            return list(map(self._value, inside))
        if kind in ("\n", "<"):
            return {"": [kind, *map(self._text_part, inside)]}
        return inside[0]

    def _text_part(self, number: int) -> Any:
        place = self._places.get(number)
        return self._written(number) if place is None else place


def _inside(part: _Part) -> Iterator[int]:
    """The numbers of the values that the part is made of."""
    kind, *inside = part
    if kind == "object":
        yield from (number for _, number in inside)
    elif kind in ("array", "\n", "<"):
        yield from inside


def _length(part: _Part) -> int:
    """About how many characters it is written in."""
    kind, *inside = part
    return sum(6 for _ in _inside(part)) + 2 if isinstance(kind, str) else len(str(inside[0]))


def _dumped(value: Any) -> str:
    # In ASCII, since half a surrogate pair, which a name may hold, has no UTF-8.
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
