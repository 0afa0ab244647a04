"""`explore`: the widget for a session or a recording, or for two of them against each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jitq_explore.capture.named_qconfigs import make_qconfig, qconfig_names
from jitq_explore.diagnostics.recommend import recommendations
from jitq_explore.snapshots.changes import Change
from jitq_explore.snapshots.recording import Recording
from jitq_explore.views.answers.what_if import wished

if TYPE_CHECKING:
    from jitq_explore.capture.session import Session
    from jitq_explore.capture.turn import Watcher
    from jitq_explore.widgets.explorer import Explorer

FLOAT = "none"
"""The name that leaves a module in float: None in the qconfig dict."""


def explore(
    session_or_recording: Session | Recording,
    other: Session | Recording | None = None,
    stage: str | None = None,
    *,
    names: tuple[str, str] = ("A", "B"),
) -> Explorer:
    """A widget that steps through the stages of a run: what each changed, drawn and in tables.

    A session's stages to come can be run from the widget, stopped and taken back, in the background
    so that other cells can be run meanwhile; a module can be given another qconfig, which starts a
    new session: `explorer.session` is the one that the widget shows now. A recording is read-only.

    With `other` the two runs are shown against each other, stage by stage, read-only and as they
    are now, under these `names`. `stage` is the one to begin with. TypeError for anything else,
    ValueError for a stage that is not recorded.
    """
    from jitq_explore.widgets.explorer import Explorer

    recording = _recording_of(session_or_recording)
    if other is not None:
        return Explorer(recording, stage=stage, other=_recording_of(other), names=names)
    if session_or_recording is recording:
        return Explorer(recording, stage=stage)
    return Explorer(recording, SessionRun(session_or_recording), stage)  # type: ignore[arg-type]


class SessionRun:
    """A session as the explorer runs it: widgets know nothing of capturing."""

    def __init__(self, session: Session) -> None:
        self.session = session

    @property
    def recording(self) -> Recording:
        """What was seen so far."""
        return self.session.recording

    @property
    def to_come(self) -> tuple[str, ...]:
        """The names of the stages to come."""
        return self.session.stages

    @property
    def is_busy(self) -> bool:
        """Whether a stage is running, in whatever thread."""
        return self.session.is_busy

    @property
    def qconfig_choices(self) -> Mapping[str, str]:
        """Name -> what it does; on-device, where torch asks no submodule's key, none."""
        mode = self.recording.mode
        if mode == "on_device":
            return {}
        return {**qconfig_names(mode), FLOAT: "keep this module float"}

    def step(self) -> object:
        """Run the next stage."""
        return self.session.step()

    def run(self, until: str | None = None) -> object:
        """Run the stages to come, or those through the one named."""
        return self.session.run(until)

    def back(self) -> object:
        """Take back the last stage."""
        return self.session.back()

    def accept(self) -> object:
        """Take what an interrupted calibration had seen."""
        return self.session.accept_calibration()

    @property
    def can_compare(self) -> bool:
        """Whether there is a whole run to measure, and calibration data to measure it on."""
        recording = self.recording
        return recording.mode == "static" and not self.to_come and recording.error is None

    def compare(self) -> object:
        """Measure the errors of every stage on the calibration data."""
        from jitq_explore.capture.numerics import compare

        return compare(self.session, list(self.session.calibration_calls()))

    def changed(self, wish: Mapping[str, Any]) -> SessionRun:
        """A new session, not begun, with what is wished for one value, or with the recommendation
        of that number; ValueError for what cannot be."""
        if "recommended" in wish:
            change = _recommended(self.recording, wish["recommended"])
        else:
            change = wished(self.recording, wish).change
        return SessionRun(self.session.with_change(change))

    def stop(self) -> None:
        """Ask what is running to end."""
        self.session.stop()

    def requantized(self, key: str, qconfig: str) -> SessionRun:
        """A new session with that entry of the qconfig dict set; `FLOAT` sets None.

        ValueError, which lists the names, for a qconfig of no such name.
        """
        recording = self.recording
        chosen = None
        if qconfig != FLOAT:
            chosen = make_qconfig(qconfig, recording.mode, recording.engine)
        return SessionRun(self.session.with_qconfig({**self.session.qconfig_dict, key: chosen}))

    def watch(self, watcher: Watcher) -> None:
        """Tell the watcher how the session gets on; it is held weakly."""
        self.session.watch(watcher)


def _recommended(recording: Recording, number: object) -> Change:
    found = recommendations(recording)
    if type(number) is not int or not 0 <= number < len(found):
        raise ValueError(f"unknown recommendation {number!r} (there are {len(found)}, from 0)")
    return found[number].change


def _recording_of(given: object) -> Recording:
    if isinstance(given, Recording):
        return given
    # By what it can do, so that a recording is explored without loading torch.
    found = getattr(given, "recording", None)
    if isinstance(found, Recording) and hasattr(given, "step"):
        return found
    raise TypeError(
        f"cannot explore {_what(given)}: it must be a Session (jq.Session.static(model, …)) or a "
        "Recording (session.recording, jq.load(path), or one of jq.record()'s recorder.recordings)"
        f"{_HOW_TO_NAME_A_STAGE if isinstance(given, str) else ''}"
    )


_HOW_TO_NAME_A_STAGE = "; the stage to begin with is stage=…"


def _what(given: object) -> str:
    return f"the class {given.__name__}" if isinstance(given, type) else f"a {type(given).__name__}"
