"""Values of a run that are held for a while, by name and by the rounds of the loops around them."""

from __future__ import annotations

from typing import Any

from jitq_explore.capture.interpret import Rounds

MISSING: Any = object()
"""In place of a value that is not held."""


class HeldValues:
    """Values that are held, by name and rounds."""

    def __init__(self) -> None:
        self.held: dict[str, dict[Rounds, Any]] = {}

    def put(self, name: str, rounds: Rounds, value: Any) -> None:
        """Hold one."""
        self.held.setdefault(name, {})[rounds] = value

    def get(self, name: str, rounds: Rounds) -> Any:
        """One that is held, else `MISSING`."""
        return self.held.get(name, {}).get(rounds, MISSING)

    def drop(self, name: str, rounds: Rounds) -> None:
        """All of that name within those rounds."""
        found = self.held.get(name)
        if found is None:
            return
        for key in [key for key in found if key[: len(rounds)] == rounds]:
            del found[key]
