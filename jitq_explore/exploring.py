"""`explore`: the widget for a session or a recording."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitq_explore.snapshots.recording import Recording

if TYPE_CHECKING:
    from jitq_explore.capture.session import Session
    from jitq_explore.widgets.explorer import Explorer


def explore(session_or_recording: Session | Recording, stage: str | None = None) -> Explorer:
    """A widget that steps through the stages of a run: what each changed, drawn and in tables.

    A session's stages to come can be run from the widget; a recording is read-only. `stage` is the
    one to begin with. TypeError for anything else, ValueError for a stage that is not recorded.
    """
    from jitq_explore.widgets.explorer import Explorer

    given = session_or_recording
    if isinstance(given, Recording):
        return Explorer(given, stage=stage)
    # By what it can do, so that a recording is explored without loading torch.
    if isinstance(getattr(given, "recording", None), Recording) and hasattr(given, "step"):
        return Explorer(given.recording, given, stage)
    raise TypeError(
        f"cannot explore {_what(given)}: it must be a Session (jq.Session.static(model, …)) or a "
        "Recording (session.recording, jq.load(path), or one of jq.record()'s recorder.recordings)"
    )


def _what(given: object) -> str:
    return f"the class {given.__name__}" if isinstance(given, type) else f"a {type(given).__name__}"
