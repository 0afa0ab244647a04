"""Plots say what the recording says, can be read at 600 pixels, and are safe in any page."""

from __future__ import annotations

import base64
import functools
import math
import re
import warnings
from itertools import pairwise
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from runs import recorded, session
from torch import nn
from torch.ao.quantization import (
    MinMaxObserver,
    MovingAverageMinMaxObserver,
    QConfig,
    get_default_qconfig,
)
from views.build import HOSTILE

import jitq_explore as jq
from jitq_explore.snapshots.observations import observations
from jitq_explore.snapshots.recording import Recording
from jitq_explore.views.plots import NothingToPlotError, Plot, svg_of, words
from jitq_explore.views.plots.ranges import LABEL_APART, Groups

PER_TENSOR = QConfig(
    activation=MinMaxObserver,
    weight=MinMaxObserver.with_args(dtype=torch.qint8, qscheme=torch.per_tensor_symmetric),
)
SVG = "{http://www.w3.org/2000/svg}"
BATCHES, SPOILT = 6, 4


def calibrate(model, batches):
    for batch in batches:
        model(batch)


@functools.cache
def spoilt() -> Recording:
    """Per tensor, with one large row in a weight, and one batch that is ten times too large."""
    torch.manual_seed(0)
    layer = nn.Linear(8, 12)
    with torch.no_grad():
        layer.weight[5] *= 100
        layer.weight[7] *= 0.001
    model = torch.jit.script(nn.Sequential(layer, nn.ReLU()).eval())
    batches = [torch.randn(32, 8) * (10 if k == SPOILT else 1) for k in range(1, BATCHES + 1)]
    run = jq.Session.static(
        model, {"": PER_TENSOR}, calibrate, [batches], histograms=True, progress=False
    )
    return run.run()


def paths(recording: Recording, role: str) -> list[str]:
    return [seen.reading.path for seen in observations(recording) if seen.role == role]


def all_plots(recording: Recording) -> list[Plot]:
    found = [jq.plot_ranges(recording)]
    for seen in observations(recording):
        for draw in (jq.plot_histogram, jq.plot_channels, jq.plot_timeline):
            try:
                found.append(draw(recording, seen.reading.path))
            except NothingToPlotError:
                continue
    return found


RUNS = {
    "spoilt": spoilt,
    "residual": lambda: recorded("residual"),
    "branch": lambda: recorded("branch", "scripted"),
    "dynamic": lambda: recorded("mlp", mode="dynamic"),
    "on the device": lambda: recorded("mlp", mode="on_device"),
}


@pytest.fixture(params=RUNS)
def recording(request) -> Recording:
    return RUNS[request.param]()


# What they show -----------------------------------------------------------------------------------


def test_a_histogram_has_lines_where_it_clips_and_where_the_levels_are():
    run = spoilt()
    (where, *_) = paths(run, "activation")
    (seen,) = [each for each in observations(run) if each.reading.path == where]
    (scale,), (zero,) = seen.reading.scale, seen.reading.zero_point
    plot = jq.plot_histogram(run, where)
    main, window = plot.axes
    ends = [line.get_xdata()[0] for line in main.lines]
    assert ends == pytest.approx([(0 - zero) * scale, (255 - zero) * scale])
    levels = window.patches[-1].get_path().vertices[::2, 0] / scale + zero
    assert levels == pytest.approx(np.arange(levels[0], levels[0] + 16))
    assert "nothing saturates" in plot.said


def test_what_saturates_is_told_in_words():
    run = spoilt()
    (where, *_) = paths(run, "activation")
    what = jq.what_if(run, where, low=-1.0, high=1.0)
    said = jq.plot_histogram(run, where, what).said
    assert re.search(rf"what if −\S+ … \S+ · {100 * what.predicted.clipped:.0f} % saturate", said)


def test_ranges_come_in_network_order_weights_and_activations_apart():
    run = recorded("residual")
    plot = jq.plot_ranges(run)
    activations, weights = plot.axes
    assert len(plot.marks) == len(observations(run))
    for axes, role in ((activations, "activation"), (weights, "weight")):
        marks = [patch for patch in axes.patches if patch.get_gid()]
        keys = [int(mark.get_gid().removeprefix("at:")) for mark in marks]
        assert keys == [k for k, seen in enumerate(observations(run)) if seen.role == role]
        assert all(a.get_x() < b.get_x() for a, b in pairwise(marks))


def test_what_never_varied_has_a_line_in_place_of_a_bar():
    run = recorded("transformer_block")  # its norms' parameters are as they were made
    flat = [o for o in observations(run) if o.reading.minimum == o.reading.maximum]
    assert flat
    _, weights = jq.plot_ranges(run).axes
    paths = [np.round(patch.get_path().vertices, 6).tolist() for patch in weights.patches]
    for level in {o.reading.minimum[0] for o in flat}:
        assert any(len(path) >= 2 and path[0][1] == path[1][1] == level for path in paths)


def test_the_channels_that_one_scale_kills_are_named():
    (where,) = paths(spoilt(), "weight")
    said = jq.plot_channels(spoilt(), where).said
    assert "nothing but zeros of channel 7 and at most 3 steps" in said
    assert " 5" not in said.partition("channel 7")[2]


def test_the_timeline_names_the_batch_that_moved_the_range_most():
    (where, *_) = paths(spoilt(), "activation")
    said = jq.plot_timeline(spoilt(), where).said
    assert f"Batch {SPOILT} moved the range most" in said
    assert f"after batch {SPOILT} none moved it" in said


@pytest.mark.parametrize("draw", [jq.plot_histogram, jq.plot_channels, jq.plot_timeline])
def test_an_unknown_value_is_refused(draw):
    with pytest.raises(KeyError, match="unknown value 'nobody'"):
        draw(spoilt(), "nobody")


def test_what_was_not_kept_is_not_drawn():
    before = session("residual")
    before.step()
    with pytest.raises(NothingToPlotError, match="no observer has seen"):
        jq.plot_ranges(before.recording)
    weight = paths(recorded("residual"), "weight")[0]
    with pytest.raises(NothingToPlotError, match="histograms=True"):
        jq.plot_histogram(recorded("residual"), weight)


# How they look ------------------------------------------------------------------------------------


def test_all_text_can_be_read_at_600_pixels(recording):
    for plot in all_plots(recording):
        root = ElementTree.fromstring(svg_of(plot))
        shown = 600 / float(root.get("width"))
        sizes = [
            float(text.get("font-size").removesuffix("px")) for text in root.iter(f"{SVG}text")
        ]
        assert min(sizes) * min(shown, 1) >= 9


@pytest.mark.parametrize("wide", [300, 540, 1040])
@pytest.mark.parametrize("blocks", [1, 8, 24, 75, 200])
def test_the_names_of_modules_keep_apart(wide, blocks):
    modules = ["", *(f"blocks.{k}.conv{n}" for k in range(blocks) for n in (1, 2, 3)), "fc"]
    groups = Groups.of(modules, wide)
    middles = [(start + end - 1) / 2 * wide / len(modules) for start, end, _ in groups.labelled]
    assert all(b - a >= LABEL_APART for a, b in pairwise(middles))
    assert len(groups.labelled) >= min(blocks, 8)


def test_the_users_own_style_changes_nothing(recording):
    plain = [svg_of(plot) for plot in all_plots(recording)]
    with mpl.rc_context({"font.size": 30, "axes.grid": True, "axes.unicode_minus": False}):
        assert [svg_of(plot) for plot in all_plots(recording)] == plain


# As SVG -------------------------------------------------------------------------------------------


def test_an_svg_takes_nothing_but_the_pages_colours(recording):
    found = [svg_of(plot) for plot in all_plots(recording)]
    for svg in found:
        root = ElementTree.fromstring(svg)
        assert root.get("role") == "img"
        assert root[0].tag == f"{SVG}title"
        assert root[1].tag == f"{SVG}desc"
        assert not [e for e in root.iter() if "style" in e.attrib or e.tag == f"{SVG}style"]
        colours = {e.get(name) for e in root.iter() for name in ("fill", "stroke")}
        assert all(c in (None, "none") or c.startswith("var(--jitq-") for c in colours)
        assert not re.search(r"https?://(?!www\.w3\.org/)", svg)
    ids = [name for svg in found for name in re.findall(r'\bid="([^"]*)"', svg)]
    assert len(ids) == len(set(ids))


def test_names_are_text():
    figure = Plot(300, 100, HOSTILE, HOSTILE, True, f"{HOSTILE} 漢字")
    figure.marks["1"] = HOSTILE
    axes = figure.panel(10, 90)
    axes.axvspan(0, 1).set_gid("at:1")
    with warnings.catch_warnings(action="error"):
        svg = svg_of(figure)
    tags = {element.tag.removeprefix(SVG) for element in ElementTree.fromstring(svg).iter()}
    assert tags <= {"svg", "title", "desc", "g", "text", "path", "defs", "clipPath", "rect", "use"}


def test_a_notebook_shows_a_picture_of_its_own():
    data, size = jq.plot_ranges(spoilt())._repr_png_()
    assert data.startswith(b"\x89PNG")
    assert size["width"] > size["height"] > 100


def test_a_notebook_shows_it_as_sharp_after_pyplot_took_over(monkeypatch):
    plot, formatter, shown = jq.plot_ranges(spoilt()), DisplayFormatter(), []
    formatter.formatters["image/png"].for_type(mpl.figure.Figure, lambda _: b"pyplot's")
    monkeypatch.setattr("IPython.display.display", lambda data, **more: shown.append((data, more)))
    assert formatter.format(plot) == ({}, {})
    ((data, more),) = shown
    png, size = plot._repr_png_()
    assert base64.b64decode(data["image/png"]) == png
    assert more["metadata"]["image/png"] == size
    assert data["text/plain"].startswith("Ranges in network order: ")


@pytest.mark.parametrize("spoiler", [math.nan, math.inf, 3e38])
def test_a_calibration_that_is_not_finite_costs_no_view(spoiler, tmp_path):
    """The values that were finite are drawn, and a page can be made; nothing gains over a NaN."""
    torch.manual_seed(0)
    qconfig = QConfig(MovingAverageMinMaxObserver, PER_TENSOR.weight)
    model = torch.jit.script(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).eval())
    batches = [torch.randn(8, 4) for _ in range(3)]
    batches[1][0, 0] = spoiler
    run = jq.Session.static(
        model, {"": qconfig}, calibrate, [batches], histograms=True, progress=False
    )
    recording = run.run()
    for path in paths(recording, "activation"):
        wish = jq.what_if(recording, path, observer="MinMax")
        plain, with_wish = (jq.plot_histogram(recording, path, w) for w in (None, wish))
        assert svg_of(plain)
        assert svg_of(with_wish)
        scale = wish.present.scale[0]
        assert math.isfinite(scale) or math.isnan(wish.gain)
        assert math.isfinite(scale) or "not finite: its scale is" in plain.subtitle
    jq.to_html(recording, tmp_path / "run.html")
    assert jq.recommend(recording).predicted_gain.map(math.isfinite).all()


def test_a_block_of_a_container_is_named_though_its_last_value_belongs_to_that():
    """Of repeated blocks with a residual each torch hands every second value to the container."""
    inner = [(f"layers.{k}.fc1", f"layers.{k}.fc2", "layers") for k in range(20)]
    modules = ["", *(name for names in inner for name in names), "head"]
    named = [name for _, _, name in Groups.of(modules, 600).runs]
    assert named == ["(model)", *(f"layers.{k}" for k in range(19)), "layers.19", "layers", "head"]


def test_a_float_block_of_a_container_owns_what_it_hands_on():
    """Also where the other values in it are not observed, and the block before has some."""
    torch.manual_seed(0)
    blocks = [nn.Sequential(nn.Linear(6, 6), nn.ReLU()) for _ in range(3)]
    model = torch.jit.script(nn.Sequential(*blocks).eval())
    qconfigs = {"": PER_TENSOR, "1": None}
    run = jq.Session.static(model, qconfigs, calibrate, [[torch.randn(4, 6)]], progress=False)
    plot = jq.plot_ranges(run.run())
    labels = [text.get_text() for axes in plot.axes for text in axes.get_xticklabels()]
    assert labels == ["(model)", "0.0", "1", "2.0"]


def test_few_bars_are_no_slabs():
    (axes,) = jq.plot_ranges(recorded("mlp", mode="dynamic"), width=1200).axes
    bars = axes.patches[0].get_path().to_polygons()
    left, right = axes.get_xlim()
    assert len(bars) > 1
    assert all(np.ptp(bar[:, 0]) <= 0.1 * (right - left) for bar in bars)


def test_clipping_is_drawn_where_torch_clips():
    """Not at quant_max: with reduce_range half of the integers lie beyond what was observed."""
    recording = session("residual", qconfig=get_default_qconfig("fbgemm")).run("calibrate")
    for path in paths(recording, "activation"):
        clipped = jq.what_if(recording, path, low=-1, high=1).present
        said = f"clips at {words.span(clipped.low, clipped.high)}"
        assert said in jq.plot_histogram(recording, path).said
