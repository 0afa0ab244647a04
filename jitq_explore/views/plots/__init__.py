"""Plots as matplotlib figures, and as SVG for pages."""

from jitq_explore.views.plots.channels import plot_channels
from jitq_explore.views.plots.histogram import plot_histogram
from jitq_explore.views.plots.look import NothingToPlotError, Plot
from jitq_explore.views.plots.ranges import plot_ranges
from jitq_explore.views.plots.svg import svg_of
from jitq_explore.views.plots.timeline import plot_timeline

__all__ = [
    "NothingToPlotError",
    "Plot",
    "plot_channels",
    "plot_histogram",
    "plot_ranges",
    "plot_timeline",
    "svg_of",
]
