"""What the messages of a session say of its methods, said of the explorer's buttons.

A message that is raised or kept in a recording tells somebody at a Python prompt what to call; in
the explorer of a session there are buttons for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_BUTTONS: Mapping[str, str] = {
    "call session.stop()": "press “Stop”",
    "session.accept_calibration()": "“Accept what was seen”",
    "session.step()": "“Run next”",
    "session.run()": "“Run to the end”",
    "session.back()": "“Step back”",
    "session.with_qconfig({...})": "the tab “qconfig”",
}
"""A call -> the button that does the same, as it is called on the page."""


def by_buttons(content: Any) -> Any:
    """JSON with every such call in its texts told as a button; tracebacks stay as they are."""
    if isinstance(content, str):
        return _told(content)
    if isinstance(content, Mapping):
        return {
            key: each if key == "traceback" else by_buttons(each) for key, each in content.items()
        }
    if isinstance(content, list):
        return [by_buttons(each) for each in content]
    return content


def _told(text: str) -> str:
    for call, button in _BUTTONS.items():
        text = text.replace(call, button)
    return text
