"""Keeps what C++ prints on the process's standard error away from the screen.

torch's passes and kernels warn from C++, past `warnings` and `sys.stderr`; a notebook shows that in
red. Here it goes to a temporary file (a pipe would fill up: the passes hold the interpreter lock,
so nobody could empty it), warnings are kept as messages, and everything else is passed on.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field

_WARNING = re.compile(r"^\[W\d{4} [^\]]*\] (?:Warning: )?(?P<text>.*)$")
_FUNCTION = re.compile(r" \(function [^()]*(\(\))?\)$")


@dataclass
class Heard:
    """What was said while `hushed` was open: filled in when it closes, also by an error."""

    messages: list[str] = field(default_factory=list)


@contextlib.contextmanager
def hushed(heard: Heard) -> Iterator[None]:
    """While open, standard error of C++ goes to a file; Python's own `sys.stderr` is not touched.

    Warnings end up in `heard.messages`, each once; other output is written on when it closes. Where
    there is no standard error to redirect, nothing happens.
    """
    try:
        original = os.dup(2)
    except OSError:
        yield
        return
    with tempfile.TemporaryFile() as file:
        _flush()
        python_stderr = sys.stderr
        os.dup2(file.fileno(), 2)
        if _writes_to_fd_2(python_stderr):
            sys.stderr = io.TextIOWrapper(
                os.fdopen(os.dup(original), "wb"), encoding="utf-8", errors="replace",
                line_buffering=True,
            )  # fmt: skip
        try:
            yield
        finally:
            _flush()
            if sys.stderr is not python_stderr:
                sys.stderr.close()
                sys.stderr = python_stderr
            os.dup2(original, 2)
            file.seek(0)
            said = file.read().decode("utf-8", "replace")
            heard.messages, other = split_warnings(said)
            with os.fdopen(original, "wb") as stream:
                stream.write(other.encode("utf-8", "replace"))


def split_warnings(said: str) -> tuple[list[str], str]:
    """The texts of torch's C++ warnings, each once, and the rest as it was."""
    messages: dict[str, None] = {}
    rest = []
    for line in said.splitlines(keepends=True):
        found = _WARNING.match(line.rstrip("\n"))
        if found:
            messages[_FUNCTION.sub("", found["text"])] = None
        else:
            rest.append(line)
    return list(messages), "".join(rest)


def _flush() -> None:
    with contextlib.suppress(AttributeError, ValueError, OSError):
        sys.stderr.flush()


def _writes_to_fd_2(stream: object) -> bool:
    try:
        return stream.fileno() == 2  # type: ignore[attr-defined, no-any-return]
    except (AttributeError, OSError, ValueError):
        return False
