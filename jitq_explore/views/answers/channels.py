"""The ranges of all channels of a per-channel observer, as a small drawing."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator

from jitq_explore.snapshots.observers import ObserverReading
from jitq_explore.views.answers.wording import number_text
from jitq_explore.views.boxes import Status
from jitq_explore.views.paint import FONT, INK, PAINT

_WIDTH, _HEIGHT = 320.0, 110.0
_LEFT, _TOP, _FOOT = 52.0, 8.0, 18.0
_MOST = 512
"""Channels that are drawn; of more every second, third, … one."""


def channel_section(reading: ObserverReading) -> Iterator[dict[str, object]]:
    """A bar a channel from its smallest to its largest number; nothing for a single range."""
    low, high = reading.minimum, reading.maximum
    count = min(len(low), len(high))
    numbers = (*low[:count], *high[:count])
    if count < 2 or not all(map(math.isfinite, numbers)):
        return
    yield {
        "type": "svg",
        "title": f"Ranges of {count:,} channels",
        "hint": "A bar a channel, from the smallest to the largest number seen; the line is 0",
        "svg": _svg(reading, count, min(0.0, *numbers), max(0.0, *numbers)),
    }


def _svg(reading: ObserverReading, count: int, bottom: float, top: float) -> str:
    room = _HEIGHT - _TOP - _FOOT
    span = (top - bottom) or 1.0

    def y(number: float) -> float:
        return _TOP + room * (top - number) / span

    step = -(-count // _MOST)
    shown = range(0, count, step)
    slot = (_WIDTH - _LEFT) / len(shown)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" '
        f'width="{_WIDTH:g}" height="{_HEIGHT:g}" font-family="{FONT}" role="img">'
        f"<title>Ranges of {count:,} channels</title>"
    ]
    for place, channel in enumerate(shown):
        low, high = reading.minimum[channel], reading.maximum[channel]
        parts.append(
            f'<rect x="{_LEFT + slot * place:.2f}" y="{y(high):.2f}" '
            f'width="{max(slot * 0.8, 0.4):.2f}" height="{max(y(low) - y(high), 0.6):.2f}" '
            f'fill="{PAINT[Status.ADDED].border}">'
            f"<title>{html.escape(_said(reading, channel))}</title></rect>"
        )
    parts.append(
        f'<path d="M{_LEFT:g},{y(0.0):.2f}H{_WIDTH:g}" stroke="{INK}" stroke-width="0.8"/>'
    )
    for number in dict.fromkeys((top, bottom)):
        parts.append(_label(number_text(number), _LEFT - 4, y(number) + 3.5, "end"))
    parts.append(_label("channel 0", _LEFT, _HEIGHT - 4, "start"))
    parts.append(_label(str(count - 1), _WIDTH, _HEIGHT - 4, "end"))
    return "".join((*parts, "</svg>"))


def _said(reading: ObserverReading, channel: int) -> str:
    low, high = reading.minimum[channel], reading.maximum[channel]
    text = f"channel {channel}: {number_text(low)} … {number_text(high)}"
    if channel < len(reading.scale):
        text += f", scale {number_text(reading.scale[channel])}"
    return text


def _label(text: str, x: float, y: float, anchor: str) -> str:
    return (
        f'<text x="{x:g}" y="{y:.1f}" font-size="10" fill="{INK}" text-anchor="{anchor}">'
        f"{html.escape(text)}</text>"
    )
