"""The explorer: ipywidgets, wired to `Selection` (what is chosen) and `Book` (what there is)."""

from __future__ import annotations

import contextlib
import sys
import uuid
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import ipywidgets as w

from jitq_explore.snapshots.recording import Recording
from jitq_explore.views.folds import Folds
from jitq_explore.widgets import fold_moves, markup, table_markup
from jitq_explore.widgets.book import Book, Drawn, Page
from jitq_explore.widgets.selection import Selection

# -1 stands for None, which would mean "nothing chosen" to a dropdown.
_REACH: tuple[tuple[str, int], ...] = (
    ("everything", -1),
    ("what changed", 0),
    ("changes ± 1 hop", 1),
    ("changes ± 2 hops", 2),
)


class LiveRun(Protocol):
    """What the explorer needs of a session: run the next stage, and what was seen so far."""

    @property
    def recording(self) -> Recording:
        """What was seen so far; another object after every stage."""

    @property
    def stages(self) -> tuple[str, ...]:
        """The names of the stages to come."""

    def step(self) -> object:
        """Run the next stage; raises what it raises."""


class Explorer(w.VBox):  # type: ignore[misc]
    """Steps through the stages of a recording; with a live run it also runs those to come.

    `stage` is the stage to begin with (default: the one that failed, else the first; of a run that
    has not begun, "input"). ValueError, which lists the stages, for a name that is none.
    """

    def __init__(
        self, recording: Recording, run: LiveRun | None = None, stage: str | None = None
    ) -> None:
        self.book = Book.of(recording)
        self.selection = _beginning(recording, stage, self.book.names)
        self.folds: Folds | None = None
        self._run = run
        self._own_class = f"jitq-{uuid.uuid4().hex[:8]}"
        self._make_controls()
        self._listen()
        super().__init__(self._rows())
        for name in ("jitq", self._own_class):
            self.add_class(name)
        self._fill_strip()
        self._show()

    def __repr__(self) -> str:
        names = ", ".join(self.book.names)
        return f"<Explorer at {self.selection.stage} of {names}>"

    # Making ---------------------------------------------------------------------------------------

    def _make_controls(self) -> None:
        self.strip = w.RadioButtons(options=[], orientation="horizontal")
        self.strip.add_class("jitq-strip")
        self.previous_button = _button("‹ Previous", "Go to the stage before")
        self.next_button = _button("Next ›", "Go to the stage after")
        self.step_button = _button("Run next stage", "Run the next stage of the session", 250)
        self.run_button = _button("Run to the end", "Run all stages to come", 120)
        self.filter_box = w.Text(
            description="Filter nodes",
            placeholder="kind, module path or value",
            style={"description_width": "initial"},
            layout={"width": "290px"},
        )
        self.fold_box = _dropdown("Modules", (), 240)
        self.reach_box = _dropdown("Show", _REACH, 190)
        self.zoom_box = _dropdown("Zoom", markup.ZOOM, 165)
        self.heading, self.summary, self.status = w.HTML(), w.HTML(), w.HTML()
        self.count, self.drawing, self.caption = w.HTML(), w.HTML(), w.HTML()
        self.highlight = _style_sheet("")
        self.run_output = w.Output()
        self.observers, self.quant_nodes, self.text, self.messages = (w.HTML() for _ in range(4))
        self.tabs = w.Tab(
            [self.observers, self.quant_nodes, self.text, self.messages],
            titles=("Observers", "Quantize / dequantize", "Text", "Messages"),
        )

    def _rows(self) -> list[w.Widget]:
        stepping = [self.previous_button, self.next_button]
        running = [self.step_button, self.run_button, self.status] if self._run else []
        return [
            _style_sheet(markup.style()),
            self.heading,
            self.strip,
            _bar([*stepping, *running]),
            *([self.run_output] if self._run else []),
            self.summary,
            _bar([self.filter_box, self.fold_box, self.reach_box, self.zoom_box, self.count]),
            self.highlight,
            self.drawing,
            self.caption,
            self.tabs,
        ]

    def _listen(self) -> None:
        self.previous_button.on_click(lambda _: self._select(self.selection.previous()))
        self.next_button.on_click(lambda _: self._select(self.selection.next()))
        self.step_button.on_click(lambda _: self._run_stages(until_end=False))
        self.run_button.on_click(lambda _: self._run_stages(until_end=True))
        self.strip.observe(self._chosen, "value")
        self.filter_box.observe(lambda change: self._filter(change.new), "value")
        self.fold_box.observe(self._fold, "value")
        self.reach_box.observe(lambda _: self._show_drawing(), "value")
        self.zoom_box.observe(lambda _: self._show_found(), "value")
        self.tabs.observe(lambda _: self._show_tab(), "selected_index")

    # Choosing -------------------------------------------------------------------------------------

    @property
    def page(self) -> Page:
        """What is shown of the chosen stage."""
        return self.book.pages[self.selection.stage]

    @property
    def drawn(self) -> Drawn:
        """The drawing of the chosen stage."""
        reach = self.reach_box.value
        return self.book.drawn(self.page.name, self.folds, None if reach < 0 else reach)

    def _fold(self, change: Any) -> None:
        """Carry out what was chosen of the modules; the box itself stays at what it says."""
        move = change.new
        if move is not None and move != fold_moves.NO_MOVE:
            self.folds = fold_moves.moved(self.drawn.film, move)
            self._show_drawing()

    def _chosen(self, change: Any) -> None:
        # None while the strip is given other options.
        if change.new is not None:
            self._select(self.selection.choose(change.new))

    def _select(self, selection: Selection) -> None:
        if selection != self.selection:
            self.selection = selection
            self._show()

    def _filter(self, words: str) -> None:
        self.selection = self.selection.filtered(words)
        self._show_found()
        self._show_tab()

    # Showing --------------------------------------------------------------------------------------

    def _fill_strip(self) -> None:
        pages = self.book.pages.values()
        options = [(markup.strip_label(page), page.name) for page in pages]
        with _unobserved(self.strip, self._chosen):
            self.strip.options = options
            self.strip.value = self.selection.stage

    def _show(self) -> None:
        """Everything about the chosen stage."""
        self.strip.value = self.selection.stage
        self.heading.value = markup.heading(self.book.recording)
        self.summary.value = markup.summary(self.page)
        self._show_buttons()
        self._show_drawing()
        self._show_tab()

    def _show_buttons(self, is_running: bool = False) -> None:
        self.previous_button.disabled = self.selection.is_first
        self.next_button.disabled = self.selection.is_last
        to_come = self._run.stages if self._run else ()
        can_run = bool(to_come) and self.book.recording.error is None and not is_running
        self.step_button.disabled = self.run_button.disabled = not can_run
        next_stage = f"Run next: {to_come[0]}" if to_come else "All stages have run"
        self.step_button.description = next_stage

    def _show_drawing(self) -> None:
        self.add_class("jitq-busy")
        try:
            drawn = self.drawn
            with _unobserved(self.fold_box, self._fold):
                self.fold_box.options = fold_moves.moves(drawn.film)
                self.fold_box.value = fold_moves.NO_MOVE
            self.drawing.value = markup.drawing(self.page, drawn)
            self.caption.value = markup.caption(drawn)
        finally:
            self.remove_class("jitq-busy")
        self._show_found()

    def _show_found(self) -> None:
        words = self.selection.node_filter
        found = self.page.find(words, self.drawn) if words else None
        self.count.value = markup.found_nodes(found)
        self.highlight.value = markup.highlight(self._own_class, found, self.zoom_box.value)

    def _show_tab(self) -> None:
        """Fill the tab that is open; the others when they are opened."""
        words, tab = self.selection.node_filter, self.tabs.selected_index
        self.tabs.set_title(3, markup.count_messages(self.page, self.book.recording))
        if tab == 0:
            self.observers.value = table_markup.observers(self.book, words)
        elif tab == 1:
            self.quant_nodes.value = table_markup.quant_nodes(self.book, words, self.page.name)
        elif tab == 2:
            self.text.value = markup.text(self.page)
        elif tab == 3:
            self.messages.value = markup.messages(self.page, self.book.recording)

    # Running --------------------------------------------------------------------------------------

    def _run_stages(self, until_end: bool) -> None:
        """Run all stages to come, or one, as long as none fails, and show the last that ran."""
        run = self._run
        if run is None:
            return
        said: list[str] = []
        problem = ""
        self.run_output.clear_output()
        for name in run.stages if until_end else run.stages[:1]:
            self._show_buttons(is_running=True)
            self.status.value = markup.running(name)
            problem = self._step(run, said)
            self._take_in(run.recording)
            if problem:
                break
        self.status.value = markup.how_it_went(run.recording, problem, said)
        self.selection = self.selection.last()
        self._show()

    def _step(self, run: LiveRun, said: list[str]) -> str:
        """Run the next stage -> "" or what went wrong; `said` takes what it warned of.

        What a calibration prints or raises shall neither end the kernel nor stand there in red.
        """
        with (
            self.run_output,
            contextlib.redirect_stderr(sys.stdout),
            warnings.catch_warnings(record=True) as caught,
        ):
            try:
                run.step()
            except (Exception, KeyboardInterrupt) as error:
                return f"{type(error).__name__}: {error}"
            finally:
                said += [str(warning.message) for warning in caught]
        return ""

    def _take_in(self, recording: Recording) -> None:
        """Show the strip of a recording that has grown, still at the same stage."""
        self.book = Book.of(recording, self.book)
        self.selection = self.selection.with_stages(self.book.names)
        self._fill_strip()
        self.heading.value = markup.heading(recording)


def _beginning(recording: Recording, stage: str | None, names: tuple[str, ...]) -> Selection:
    selection = Selection(names)
    if stage is not None:
        return selection.choose(stage)
    return selection.last() if recording.error is not None else selection.next()


@contextlib.contextmanager
def _unobserved(widget: w.Widget, callback: Callable[[Any], None]) -> Iterator[None]:
    """While open the callback is not called: new options would first select one of them."""
    widget.unobserve(callback, "value")
    try:
        yield
    finally:
        widget.observe(callback, "value")


def _button(description: str, tooltip: str, width: int = 100) -> w.Button:
    return w.Button(description=description, tooltip=tooltip, layout={"width": f"{width}px"})


def _dropdown(description: str, options: tuple[tuple[str, Any], ...], width: int) -> w.Dropdown:
    return w.Dropdown(
        description=description,
        options=options,
        style={"description_width": "initial"},
        layout={"width": f"{width}px"},
    )


def _bar(widgets: list[w.Widget]) -> w.HBox:
    bar = w.HBox(widgets)
    bar.add_class("jitq-bar")
    return bar


def _style_sheet(value: str) -> w.HTML:
    """It holds wherever it stands in the page, so it need take no room."""
    return w.HTML(value, layout={"display": "none"})
