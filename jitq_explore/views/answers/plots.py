"""Plots as SVG: those in the details of a node, and those that have a tab of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from jitq_explore.snapshots.channels import channel_ranges
from jitq_explore.snapshots.observations import observations, range_track
from jitq_explore.snapshots.observers import ObserverReading
from jitq_explore.snapshots.recording import Recording
from jitq_explore.snapshots.settling import histogram_of
from jitq_explore.snapshots.what_if import NothingToPredictError, find_observation
from jitq_explore.views.answers.pages import AskError, Book, shown
from jitq_explore.views.answers.what_if import wished
from jitq_explore.views.answers.whereabouts import of_observed_values
from jitq_explore.views.printable import printable

if TYPE_CHECKING:
    from jitq_explore.views.plots import Plot

_NARROW = 360.0
"""Pixels: about as wide as the details are."""

_WIDE = {None: 1100.0, "wide": 1650.0}
"""What is wished for -> pixels of a plot that has the page's width; text stays as large."""

_TITLES = {
    "histogram": (
        "Histogram",
        "How often which numbers were seen, on a logarithmic scale; what lies beyond the dashed "
        "lines is cut off",
    ),
    "channels": (
        "Channels",
        "A bar a channel, from its smallest to its largest number, on a scale that is logarithmic "
        "but around 0; what lies in the shaded stretch one scale for all would round away",
    ),
    "timeline": (
        "Calibration",
        "The range after each batch, and each batch's own ends as dots where they were kept",
    ),
    "ranges": (
        "Ranges",
        "What each observed value ranges over, in the order of the network, on a scale that is "
        "logarithmic but around 0. A bar that reaches beyond its lines is cut off there",
    ),
}
"""Name of a plot -> its title and what it shows."""


def plot(
    book: Book, name: object, where: object = None, run: object = None, wish: object = None
) -> dict[str, object]:
    """The answer to "plot". `where` is the path of an observer, `run` the name of one of two runs
    that are compared, `wish` what is asked of a histogram's value as in the ask "what_if", or of
    the ranges to be "wide"."""
    drawn = _plots().get(name) if isinstance(name, str) else None
    if drawn is None:
        raise AskError(f"unknown plot {name!r} (must be one of {list(_TITLES)})")
    key = "plot", name, where, run, repr(wish)
    if key not in book.kept:
        book.kept[key] = _answer(book, run, str(name), lambda of: drawn(of, where, wish))
    found: dict[str, object] = book.kept[key]
    return found


def plot_tabs(book: Book) -> list[dict[str, object]]:
    """The tabs that show plots, each with what to ask for them."""
    title, hint = _TITLES["ranges"]
    if not any(observations(recording) for recording in book.runs):
        return []
    asks = [{"name": "ranges", "run": run} for run in book.run_names] or [{"name": "ranges"}]
    wide = [{**ask, "wish": "wide"} for ask in asks]
    return [{"name": "ranges", "title": title, "hint": hint, "plots": asks, "widePlots": wide}]


def plot_sections(
    book: Book, recording: Recording, newest: ObserverReading, reading: ObserverReading
) -> Iterator[dict[str, object]]:
    """What there is to draw of an observed value, where by then (`reading`) anything was seen.

    The page asks for each plot when it shows it.
    """
    if not reading.minimum and histogram_of(reading) is None:
        return
    if histogram_of(newest) is not None:
        yield _section(book, recording, "histogram", newest.path)
    seen = find_observation(recording, newest.path)
    if channel_ranges(recording, seen) is not None:
        yield _section(book, recording, "channels", newest.path)
    track = range_track(recording, newest.path)
    # A weight is the same in every batch.
    if seen.role != "weight" and track is not None and len(track.batches) > 1:
        yield _section(book, recording, "timeline", newest.path)


def _section(book: Book, recording: Recording, name: str, where: str) -> dict[str, object]:
    title, hint = _TITLES[name]
    ask = {"name": name, "where": where}
    if book.run_names:
        ask["run"] = book.run_names[0 if recording is book.runs[0] else 1]
    return {"type": "plot", "title": title, "hint": hint, "ask": ask}


def _recording(book: Book, run: object) -> Recording:
    if not book.run_names and run is None:
        return book.runs[0]
    if run not in book.run_names:
        raise AskError(f"unknown run {run!r} (must be one of {list(book.run_names)})")
    return book.runs[book.run_names.index(str(run))]


def _answer(
    book: Book, run: object, name: str, draw: Callable[[Recording], Plot]
) -> dict[str, object]:
    from jitq_explore.views.plots import NothingToPlotError, svg_of

    recording = _recording(book, run)
    try:
        drawn = draw(recording)
    except (NothingToPlotError, NothingToPredictError) as error:
        raise AskError(str(error)) from None
    places = of_observed_values(recording) if drawn.marks else []
    return {
        "title": printable(drawn.title + (f": {run}" if run is not None else "")),
        "hint": _TITLES[name][1],
        "note": printable(drawn.subtitle),
        "svg": svg_of(drawn),
        "at": {key: _at(book, recording, places[int(key)].by_stage) for key in drawn.marks},
        "stage": places[0].stage if places else "",
    }


def _at(
    book: Book, recording: Recording, by_stage: Mapping[str, list[str]]
) -> dict[str, list[str]]:
    """Stage -> the nodes of that stage's page that a mark is about."""
    found = {
        stage: shown(book, book.pages[stage], recording, ids)[0] for stage, ids in by_stage.items()
    }
    return {stage: ids for stage, ids in found.items() if ids}


def _plots() -> Mapping[str, Callable[[Recording, object, object], Plot]]:
    # matplotlib takes a while to load: nobody waits for it who looks at no plot.
    from jitq_explore.views import plots

    def about(draw: Callable[..., Plot]) -> Callable[[Recording, object, object], Plot]:
        def drawn(recording: Recording, where: object, wish: object) -> Plot:
            return draw(recording, _path(recording, where), width=_NARROW, heading=False)

        return drawn

    return {
        "histogram": _histogram,
        "channels": about(plots.plot_channels),
        "timeline": about(plots.plot_timeline),
        "ranges": lambda recording, where, wish: plots.plot_ranges(
            recording, width=_wide(wish), heading=False
        ),
    }


def _wide(wish: object) -> float:
    if wish is not None and wish != "wide":
        raise AskError(f"wish must be null or 'wide' here, not {wish!r}")
    return _WIDE["wide" if wish else None]


def _histogram(recording: Recording, where: object, wish: object) -> Plot:
    from jitq_explore.views.plots import plot_histogram

    path = _path(recording, where)
    if wish is None:
        return plot_histogram(recording, path, width=_NARROW, heading=False)
    if not isinstance(wish, Mapping):
        raise AskError(f"wish must be an object, not {wish!r}")
    asked: dict[str, Any] = {**wish, "value": path}
    return plot_histogram(recording, path, wished(recording, asked), width=_NARROW, heading=False)


def _path(recording: Recording, where: object) -> str:
    """The path of an observer there is."""
    if not isinstance(where, str):
        raise AskError(f"where must be the path of an observer, not {where!r}")
    try:
        return find_observation(recording, where).reading.path
    except KeyError as error:
        raise AskError(str(error.args[0])) from None
