"""What a command says."""

from __future__ import annotations

from jitq_explore.views.printable import printable


def say(text: str) -> None:
    """Print it without characters that steer a terminal: names come from whoever made the file."""
    print("\n".join(printable(line) for line in text.split("\n")))
