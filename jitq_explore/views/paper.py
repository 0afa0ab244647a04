"""One stage of a film as SVG text. Knows shapes and colours; where things stand it is told."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from math import hypot

from jitq_explore.snapshots.domains import Domain
from jitq_explore.views.boxes import SIGNS, Role, Status, Tally
from jitq_explore.views.cards import Card, Row
from jitq_explore.views.folds import path_of
from jitq_explore.views.geometry import Point, Rect, Size
from jitq_explore.views.label_places import Wanted, label_places
from jitq_explore.views.lines import Line
from jitq_explore.views.paint import FONT, INK, PAINT
from jitq_explore.views.plan import Frame, Plan
from jitq_explore.views.printable import printable
from jitq_explore.views.routes import Ends
from jitq_explore.views.type_size import text_width

TITLE, SMALL = 12.0, 9.5
_LEAD, _SMALL_LEAD, _PAD = 15.0, 11.5, 5.0
_CAPTION, _CAPTION_LEAD = 10.5, 13.0
_SIGN = 16.0
"""Room before a caption or a title for the sign that folds or unfolds, which the page adds."""
_BAR = 5.0
"""Height of the bar at the foot of a folded module: its nodes by status."""

_DOMAIN: Mapping[Domain, tuple[str, float]] = {
    Domain.FLOAT: ("#8A8A8A", 1.3),
    Domain.QUANTIZED: ("#BE4BA0", 2.6),
    Domain.PACKED: ("#A07840", 1.3),
    Domain.OTHER: ("#8A8A8A", 0.8),
}
_GONE = "#D55E00"


def size_of(card: Card) -> Size:
    """The room that the card needs, in points."""
    widths = [text_width(_title(row), TITLE, is_bold=True) for row in card.rows]
    widths += [text_width(line, SMALL) for row in card.rows for line in row.lines]
    extra = 26.0 if card.role in (Role.INPUT, Role.OUTPUT, Role.CHOICE) else 16.0
    if card.role is Role.GROUP:
        extra = 2 * (_SIGN + 2.0)
    height = sum(map(_row_height, card.rows)) + (_BAR if card.role is Role.GROUP else 0.0)
    return max(widths) + extra, height


def caption_size(caption: Sequence[str]) -> Size:
    """The room that a frame's caption needs, in points."""
    width = max(_caption_width(line, number) for number, line in enumerate(caption))
    return _SIGN + width + 4, len(caption) * _CAPTION_LEAD


def _caption_width(line: str, number: int) -> float:
    return text_width(line, _CAPTION, is_bold=number == 0)


def svg_of_stage(
    plan: Plan,
    cards: Mapping[str, Card],
    lines: Sequence[Line],
    captions: Mapping[str, Sequence[str]],
    faint: frozenset[str] = frozenset(),
    counts: Mapping[str, int] | None = None,
) -> str:
    """The SVG of a stage; boxes without a card are not there, those in `faint` hardly.

    `captions` has what is written on each frame by its id, `counts` how many modules a box stands
    for.
    """
    parts = [
        f'<svg width="{plan.width:.0f}pt" height="{plan.height:.0f}pt" '
        f'viewBox="0 0 {plan.width:.2f} {plan.height:.2f}" xmlns="http://www.w3.org/2000/svg" '
        f'font-family="{FONT}">'
    ]
    for frame in plan.frames:
        if frame.id in captions:
            parts.append(_frame(frame, captions[frame.id]))
    parts.extend(_lines(plan, cards, lines, faint))
    for box, rect in plan.boxes.items():
        if box in cards:
            parts.append(_box(box, rect, cards[box], box in faint, (counts or {}).get(box, 1)))
    parts.extend(_labels(plan, lines, faint))
    parts.append("</svg>")
    return "\n".join(parts)


def _attribute(name: str) -> str:
    """A name as the value of an attribute; what XML cannot hold is written out."""
    return html.escape(printable(name))


# Frames -------------------------------------------------------------------------------------------


def _frame(frame: Frame, caption: Sequence[str]) -> str:
    rect = frame.rect
    is_block = frame.region[-1].is_block
    dashes = ' stroke-dasharray="5 3"' if is_block else ""
    room = frame.caption
    lines = "".join(
        _text(
            line,
            room.x + _SIGN,
            room.y + 10 + number * _CAPTION_LEAD,
            _CAPTION,
            INK,
            anchor="start",
            room=_caption_width(line, number),
            is_bold=number == 0,
        )
        for number, line in enumerate(caption)
    )
    return (
        f'<g id="{html.escape(frame.id)}" class="cluster {"block" if is_block else "module"}" '
        f'data-path="{_attribute(path_of(frame.region))}">'
        f'<rect x="{rect.x:.1f}" y="{rect.y:.1f}" width="{rect.width:.1f}" '
        f'height="{rect.height:.1f}" rx="6" fill="#8080800C" stroke="#80808080"{dashes}/>'
        f"{lines}</g>"
    )


# Boxes --------------------------------------------------------------------------------------------


def _title(row: Row) -> str:
    return f"{SIGNS[row.status]} {row.title}".strip()


def _row_height(row: Row) -> float:
    return _LEAD + _SMALL_LEAD * len(row.lines) + _PAD


def _box(box: str, room: Rect, card: Card, is_faint: bool, count: int) -> str:
    """The card, as large as its room: so that lines meet it, and it keeps its size too."""
    classes = f"node {card.status} {card.role}" + (" pair" if card.is_pair else "")
    opacity = ' opacity="0.2"' if is_faint else ""
    parts = [f'<g id="{html.escape(box)}" class="{classes}"{opacity}>']
    parts.append(f"<title>{html.escape(card.tooltip)}</title>")
    if count > 1:
        parts += [_card_behind(room, step) for step in (3, 6)]
    radius = _radius(card, room)
    spare = (room.height - size_of(card)[1]) / len(card.rows)
    y = room.y
    for number, row in enumerate(card.rows):
        height = _row_height(row) + spare + (_BAR if card.role is Role.GROUP else 0.0)
        ends = number == 0, number == len(card.rows) - 1
        parts.append(_row(Rect(room.x, y, room.width, height), row, card, radius, ends))
        y += height
    if card.role is Role.GROUP:
        parts.append(_bar(room, card.tally))
    if card.is_pair:
        parts.append(_outline(room, radius, "none", _DOMAIN[Domain.QUANTIZED][0], 3.0))
    parts.append("</g>")
    return "".join(parts)


def _radius(card: Card, rect: Rect) -> float:
    """Ops have round corners, gates and ports round ends, folded modules hardly any."""
    if card.role is Role.OPERATION:
        return 5.0
    return 2.0 if card.role is Role.GROUP else min(11.0, rect.height / 2)


def _row(rect: Rect, row: Row, card: Card, radius: float, ends: tuple[bool, bool]) -> str:
    paint = PAINT[row.status]
    is_group = card.role is Role.GROUP
    plain = PAINT[Status.SAME]
    fill = plain.fill if is_group else paint.fill
    ink = plain.text if is_group else paint.text
    dashes = ' stroke-dasharray="4 2"' if row.status is Status.REMOVED else ""
    strong = "1.6" if row.status is not Status.SAME else "1"
    parts = [
        f'<path class="{row.status}" d="{_shape(rect, radius, ends, card.role)}" fill="{fill}" '
        f'stroke="{paint.border}" stroke-width="{strong}"{dashes}/>'
    ]
    middle = rect.x + rect.width / 2
    foot = _BAR if is_group else 0.0
    y = rect.y + (rect.height - foot - _row_height(row)) / 2 + 13.5
    parts.append(_text(_title(row), middle, y, TITLE, ink, room=rect.width - 10, is_bold=True))
    for line in row.lines:
        y += _SMALL_LEAD
        parts.append(_text(line, middle, y, SMALL, ink, room=rect.width - 8))
    return f'<g class="row {"same" if is_group else row.status}">{"".join(parts)}</g>'


def _shape(rect: Rect, radius: float, ends: tuple[bool, bool], role: Role) -> str:
    """The outline of a row: its outer corners are round, or cut where it is a choice."""
    left, right = rect.x, rect.x + rect.width
    top, bottom = rect.y, rect.y + rect.height
    up, down = (radius if is_end else 0.0 for is_end in ends)

    def corner(size: float, x: float, y: float) -> str:
        if role is Role.CHOICE:
            return f"L{x:.1f},{y:.1f}"
        return f"A{size:g},{size:g} 0 0 1 {x:.1f},{y:.1f}"

    return (
        f"M{left + up:.1f},{top:.1f}H{right - up:.1f}{corner(up, right, top + up)}"
        f"V{bottom - down:.1f}{corner(down, right - down, bottom)}H{left + down:.1f}"
        f"{corner(down, left, bottom - down)}V{top + up:.1f}{corner(up, left + up, top)}Z"
    )


def _bar(rect: Rect, tally: Tally) -> str:
    """The nodes of a folded module by status, as parts of the width."""
    parts = []
    x, y = rect.x + 4, rect.y + rect.height - _BAR - 2
    room = rect.width - 8
    counts = (
        (Status.ADDED, tally.added),
        (Status.REMOVED, tally.removed),
        (Status.CHANGED, tally.changed),
        (Status.SAME, tally.same),
    )
    for status, count in counts:
        width = room * count / max(tally.total, 1)
        if count:
            fill = PAINT[status].fill if status is not Status.SAME else "#80808050"
            parts.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_BAR:g}" '
                f'fill="{fill}"/>'
            )
        x += width
    return "".join(parts)


def _outline(rect: Rect, radius: float, fill: str, border: str, width: float = 1.0) -> str:
    return (
        f'<rect x="{rect.x:.1f}" y="{rect.y:.1f}" width="{rect.width:.1f}" '
        f'height="{rect.height:.1f}" rx="{radius:g}" fill="{fill}" stroke="{border}" '
        f'stroke-width="{width:g}"/>'
    )


def _card_behind(rect: Rect, step: float) -> str:
    """What is seen of a card behind another."""
    right, bottom = rect.x + rect.width, rect.y + rect.height
    return (
        f'<path d="M{right + step - 3:.1f},{rect.y + step:.1f}H{right + step:.1f}'
        f'V{bottom + step:.1f}H{rect.x + step:.1f}V{bottom + step - 3:.1f}" '
        'fill="none" stroke="#808080"/>'
    )


def _text(
    text: str,
    x: float,
    y: float,
    size: float,
    ink: str,
    *,
    room: float = 0.0,
    anchor: str = "middle",
    is_bold: bool = False,
) -> str:
    """A line of text; where it nearly fills its room it is made to fit, whatever the font."""
    width = text_width(text, size, is_bold)
    fitted = ""
    if room and width > 0.7 * room:
        fitted = f' textLength="{min(width, room):.1f}" lengthAdjust="spacingAndGlyphs"'
    bold = ' font-weight="bold"' if is_bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" fill="{ink}" '
        f'text-anchor="{anchor}"{bold}{fitted}>{html.escape(text)}</text>'
    )


# Lines --------------------------------------------------------------------------------------------


def _lines(
    plan: Plan, cards: Mapping[str, Card], lines: Iterable[Line], faint: frozenset[str]
) -> Iterator[str]:
    for line in lines:
        color, width = (_GONE, 1.2) if line.is_gone else _DOMAIN[line.domain]
        dashes = ' stroke-dasharray="4 3"' if line.is_gone else ""
        pieces = [plan.lines[ends] for ends in _steps(line.route)]
        path = _path(pieces, [box in cards for box in line.route[1:-1]])
        kind = "removed" if line.is_gone else str(line.domain)
        opacity = ' opacity="0.2"' if faint.intersection(line.route) else ""
        yield (
            f'<g class="edge {kind}" data-from="{_attribute(line.route[0])}" '
            f'data-to="{_attribute(line.route[-1])}"{opacity}>'
            f"<title>{html.escape(line.tooltip)}</title>"
            f'<path d="{path}" fill="none" stroke="{color}" stroke-width="{width:g}"{dashes}/>'
            f'<path d="{_arrow(pieces[-1])}" fill="{color}"/></g>'
        )


def _steps(route: Sequence[str]) -> list[Ends]:
    return list(pairwise(route))


def _path(pieces: Sequence[Sequence[Point]], is_filled: Sequence[bool]) -> str:
    """The pieces as one line, through the empty room between each two of them."""
    parts = [_curve(pieces[0])]
    for piece, before, filled in zip(pieces[1:], pieces, is_filled, strict=False):
        if not filled:
            parts.append(_bend(before, piece))
            parts.append(_curve(piece).partition("C")[2].join(("C", "")))
        else:
            parts.append(_curve(piece))
    return "".join(parts)


def _bend(before: Sequence[Point], piece: Sequence[Point]) -> str:
    """From the end of a piece to the start of the next, without a corner at either."""
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = before[-2], before[-1], piece[0], piece[1]
    reach = hypot(x2 - x1, y2 - y1) / 3
    out = reach / (hypot(x1 - x0, y1 - y0) or 1.0)
    back = reach / (hypot(x3 - x2, y3 - y2) or 1.0)
    return (
        f"C{x1 + out * (x1 - x0):.1f},{y1 + out * (y1 - y0):.1f} "
        f"{x2 - back * (x3 - x2):.1f},{y2 - back * (y3 - y2):.1f} {x2:.1f},{y2:.1f}"
    )


def _curve(points: Sequence[Point]) -> str:
    start, *others = (f"{x:.1f},{y:.1f}" for x, y in points)
    return f"M{start}C{' '.join(others)}"


def _arrow(points: Sequence[Point]) -> str:
    """The head at the end of a curve."""
    (x1, y1), (x2, y2) = points[-2], points[-1]
    length = hypot(x2 - x1, y2 - y1) or 1.0
    dx, dy = (x2 - x1) / length, (y2 - y1) / length
    left = x2 - 7 * dx - 3.2 * dy, y2 - 7 * dy + 3.2 * dx
    right = x2 - 7 * dx + 3.2 * dy, y2 - 7 * dy - 3.2 * dx
    return (
        f"M{x2:.1f},{y2:.1f}L{left[0]:.1f},{left[1]:.1f}L{right[0]:.1f},{right[1]:.1f}Z"
    )  # fmt: skip


def _labels(plan: Plan, lines: Sequence[Line], faint: frozenset[str]) -> Iterator[str]:
    """What the numbers of lines are: one label for all lines that leave a box with the same."""
    drawn = [line for line in lines if not line.is_gone]
    labelled = [line for line in drawn if line.label and not faint.intersection(line.route)]
    alike: dict[tuple[str, Domain], list[Ends]] = {}
    for line in drawn:
        alike.setdefault((line.route[0], line.domain), []).append((line.route[0], line.route[1]))
    wanted = [
        Wanted(tuple(alike[line.route[0], line.domain]), text_width(line.label, SMALL), SMALL)
        for line in labelled
    ]
    steps = (ends for line in lines for ends in _steps(line.route))
    for line, rect in zip(labelled, label_places(plan, wanted, steps), strict=True):
        color = _DOMAIN[line.domain][0]
        foot = rect.y + 0.78 * rect.height
        text = _text(line.label, rect.x, foot, SMALL, color, anchor="start", room=rect.width)
        source = _attribute(line.route[0])
        yield f'<g class="domain {line.domain}" data-from="{source}">{text}</g>'
