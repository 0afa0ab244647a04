"""How wide text is, without a font at hand."""

from __future__ import annotations

from unicodedata import east_asian_width

# Helvetica's and Arial's widths of the characters from space to ~, in thousandths of the size.
_WIDTHS = (
    "278 278 355 556 556 889 667 191 333 333 389 584 278 333 278 278 "
    "556 556 556 556 556 556 556 556 556 556 278 278 584 584 584 556 "
    "1015 667 667 722 722 667 611 778 722 278 500 667 556 833 722 778 "
    "667 778 722 667 611 722 667 944 667 667 611 278 278 278 469 556 "
    "333 556 556 500 556 556 278 556 556 222 222 500 222 833 556 556 "
    "556 556 333 500 278 556 500 722 500 500 500 334 260 334 584"
)
_WIDTH_OF = {chr(32 + n): int(width) for n, width in enumerate(_WIDTHS.split())}
_BOLD = 1.07


def text_width(text: str, size: float, is_bold: bool = False) -> float:
    """The width of a line of Helvetica or Arial of that size, in the unit of the size."""
    thousandths = sum(map(_width_of, text))
    return thousandths / 1000 * size * (_BOLD if is_bold else 1.0)


def _width_of(char: str) -> int:
    known = _WIDTH_OF.get(char)
    if known is not None:
        return known
    return 1000 if east_asian_width(char) in "WF" else 620
