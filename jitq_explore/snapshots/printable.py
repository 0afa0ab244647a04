"""Text that is safe to print: names come from models, and models come from anywhere."""

from __future__ import annotations

import unicodedata

# Cc: control, Cf: invisible (text direction among them), Cs: halves of pairs, Zl and Zp: line ends.
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def printable(text: str) -> str:
    r"""The text on one line, control characters written out: an escape character becomes `\x1b`."""
    if text.isprintable():
        return text
    return "".join(_written_out(char) if _is_hidden(char) else char for char in text)


def shorten(text: str, width: int) -> str:
    """At most `width` characters of it; the end is kept, where paths say most."""
    return text if len(text) <= width else "…" + text[len(text) - width + 1 :]


def shorten_end(text: str, width: int) -> str:
    """At most `width` characters of it, from the start."""
    return text if len(text) <= width else text[: width - 1] + "…"


def _is_hidden(char: str) -> bool:
    return unicodedata.category(char) in _UNPRINTABLE or char in "\ufffe\uffff"


def _written_out(char: str) -> str:
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
