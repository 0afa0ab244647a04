"""The explorer: the page in a notebook. It asks, `Answers` answer; its buttons run a session."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, cast

import anywidget
import traitlets

from jitq_explore.snapshots.recording import INPUT, Recording
from jitq_explore.views.answers import Answers
from jitq_explore.views.page import script, style
from jitq_explore.views.text import recording_text
from jitq_explore.widgets.buttons import by_buttons
from jitq_explore.widgets.live import Control, LiveRun
from jitq_explore.widgets.selection import Selection, beginning


class _SharedState(traitlets.Dict):
    """Set by one thread at a time, the telling included: what a page hears last is what is.

    What is set here, and not taken in from a page, is a turn of the kernel's.
    """

    def set(self, obj: Any, value: Any) -> None:
        with obj._state_lock:
            if obj._is_hearing or obj.comm is None:
                super().set(obj, value)
                return
            with obj.hold_sync():
                obj._turn += 1
                super().set(obj, value)


class Explorer(anywidget.AnyWidget):
    """Steps through the stages of a recording; with a live run it also runs those to come.

    `stage` is the stage to begin with (default: the one that failed, else the first; of a run that
    has not begun, "input"); ValueError, which lists the stages, for a name that is none. With
    `other` that recording is shown against the first, both read-only, under these `names`.

    `selection` is what is shown; set it, and the page follows: `explorer.selection =
    explorer.selection.choose("calibrate")`. `state` is the same as plain data.
    """

    _esm = script()
    _css = style()
    state = _SharedState().tag(sync=True)
    _turn = traitlets.Int(0).tag(sync=True)

    _live: Control | None = None
    _is_hearing = False

    def __init__(
        self,
        recording: Recording,
        run: LiveRun | None = None,
        stage: str | None = None,
        *,
        other: Recording | None = None,
        names: tuple[str, str] = ("A", "B"),
    ) -> None:
        # The page's messages, the cells and the run may each come in a thread of its own. What is
        # locked: what is shown (taken first); the answers, which keep what they have worked out.
        self._state_lock = threading.RLock()
        self._answer_lock = threading.Lock()
        self._shown: tuple[Recording, ...] = (recording,) if other is None else (recording, other)
        self._settled: tuple[Recording, ...] = self._shown
        self._answers = _answers(self._shown, names)
        self._live = None if run is None else Control(run, self._tell, self._show)
        first = beginning(self._stages, has_failed=recording.error is not None)
        first = first if stage is None else first.choose(stage)
        super().__init__(state=first.to_dict())
        self.on_msg(self._hear)

    @property
    def recording(self) -> Recording:
        """What is shown: of a session, what it has recorded so far; of two runs, the first."""
        return self._shown[0]

    @property
    def session(self) -> Any:
        """The session that the buttons run, another one after a change; None: read-only."""
        return None if self._live is None else self._live.run.session

    @property
    def selection(self) -> Selection:
        """What is shown."""
        with self._state_lock:
            return Selection.from_dict(self._stages, self.state)

    @selection.setter
    def selection(self, selection: Selection) -> None:
        with self._state_lock:
            self.state = selection.to_dict()

    def close(self) -> None:
        """Remove it from the page, and stop what its buttons have begun."""
        if self._live is not None and self._live.runner.is_busy:
            self._live.stop()
        super().close()

    def __repr__(self) -> str:
        return f"<Explorer at {self.selection.stage} of {', '.join(self._stages)}>"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The page and, for where no page can be (a saved notebook), drawing and text."""
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        data["text/plain"] = f"{self!r}\n\n{recording_text(self.recording)}"
        svg = self._answer("drawing", {"stage": self.selection.stage}).get("svg")
        if svg:
            data["image/svg+xml"] = svg
        return data, metadata

    # State ----------------------------------------------------------------------------------------

    @property
    def _stages(self) -> tuple[str, ...]:
        return tuple(self._answers.book.pages)

    @traitlets.validate("state")
    def _checked(self, proposal: Any) -> dict[str, Any]:
        return Selection.from_dict(self._stages, proposal["value"]).to_dict()

    def set_state(self, sync_data: Mapping[str, Any]) -> None:
        """Take in what a page has set; where that cannot be any more, the page gets what is.

        A page's messages wait behind its questions, and cells overtake them: a state that was
        chosen before the page knew of the kernel's last `turn` is too late.
        """
        with self._state_lock:
            state = dict(sync_data.get("state", self.state))
            is_late = state.pop("turn", self._turn) != self._turn
            try:
                Selection.from_dict(self._stages, state)
            except ValueError:
                is_late = True
            if is_late:
                self.send_state(("state", "_turn"))
                return
            self._is_hearing = True
            try:
                super().set_state({**sync_data, "state": state})
            finally:
                self._is_hearing = False

    def _show(self, is_over: bool) -> None:
        """Show what the live run has recorded as it is now, and when all is over the newest stage.

        While it goes on, or where no stage came of it, the page stays at the stage that somebody
        is looking at.
        """
        assert self._live is not None
        with self._state_lock:
            old, new = self._shown, self._live.shown.recordings
            stale = _stale(old, new)
            selection = self.selection
            if not _are_same(new, old):
                with self._answer_lock:
                    known = self._answers if len(new) == len(old) == 1 else None
                    self._answers = _answers(new, COMPARED, known)
                self._shown = new
            selection = selection.with_stages(self._stages)
            if selection.node and selection.node.stage in stale:
                selection = selection.clear()
            go = None
            has_moved = is_over and bool(_stale(self._settled, new))
            if is_over:
                self._settled = new
            if has_moved:
                selection = selection.last()
                go = selection.stage
            # First the state: then pages that go there have nothing to tell that is not known.
            if selection.to_dict() != self.state:
                self.selection = selection
            self._tell({"event": "run", "run": self._run(), "go": go, "stale": stale})

    # Messages -------------------------------------------------------------------------------------

    def _hear(self, _: object, content: object, buffers: object) -> None:
        if not isinstance(content, Mapping):
            return
        if "ask" in content:
            arguments = {key: content[key] for key in content if key not in ("ask", "id")}
            answer = self._answer(content["ask"], arguments)
            self._tell({"id": content.get("id"), "answer": answer})
        elif "do" in content and self._live is not None:
            message = dict(content)
            stage = message.pop("stage", None)
            self._live.do(message, stage if stage in self._stages else self.state["stage"])

    def _answer(self, kind: Any, arguments: Mapping[str, Any]) -> Any:
        try:
            if kind == "run":
                return self._run()
            with self._answer_lock:
                answer = self._answers.answer(kind, arguments)
            # What stages failed with is in a table as well.
            return by_buttons(answer) if kind == "table" and self._live is not None else answer
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}

    def _run(self) -> dict[str, Any]:
        """The answer to "run", with what only a live run knows."""
        with self._answer_lock:
            run = cast("dict[str, Any]", self._answers.answer("run", {}))
        if self._live is None or "error" in run:
            return run
        live, shown = self._live.run, self._live.shown
        is_pair = shown.against is not None
        choices = {} if is_pair else live.qconfig_choices
        return {
            **run,
            "stages": by_buttons(run["stages"]),
            "live": True,
            "busy": self._live.is_busy,
            "toCome": [] if is_pair else list(live.to_come),
            "qconfigChoices": [list(choice) for choice in choices.items()],
            "canCompare": all(each.can_compare for each in shown.runs),
            "earlier": len(self._live.earlier),
        }

    def _tell(self, content: Mapping[str, object]) -> None:
        # In whatever thread: ipykernel hands what is sent to a thread of its own.
        self.send(content)


COMPARED = ("before", "changed")
"""What a run, and the one that a change made of it, are called."""


def _answers(
    shown: tuple[Recording, ...], names: tuple[str, str], known: Answers | None = None
) -> Answers:
    """About one run, whose answers may be known in part, or about two."""
    first, *others = shown
    return Answers.of_pair(first, others[0], names) if others else Answers.of(first, known)


def _are_same(one: tuple[Recording, ...], other: tuple[Recording, ...]) -> bool:
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))


def _stale(old: tuple[Recording, ...], new: tuple[Recording, ...]) -> list[str]:
    """The names of the stages that are in one alone, or not the same in both."""
    before, after = _stages_of(old), _stages_of(new)
    names = dict.fromkeys([*before, *after])
    return [name for name in names if not _is_known(before.get(name), after.get(name))]


def _stages_of(shown: tuple[Recording, ...]) -> dict[str, tuple[object, ...]]:
    """Name of a stage -> all that is shown of it."""
    found: dict[str, tuple[object, ...]] = {}
    for number, run in enumerate(shown):
        for name, stage in ((INPUT, run.input), *((stage.name, stage) for stage in run)):
            found[name] = (*found.get(name, ()), number, stage)
    return found


def _is_known(before: tuple[object, ...] | None, after: tuple[object, ...] | None) -> bool:
    if before is None or after is None or len(before) != len(after):
        return False
    return all(a is b for a, b in zip(before, after, strict=True))
