"""Plots as matplotlib figures, and as SVG for pages."""

from jitq_explore.views.plots.channels import channels_plot
from jitq_explore.views.plots.channels import channels_plot as plot_channels
from jitq_explore.views.plots.histogram import histogram_plot
from jitq_explore.views.plots.histogram import histogram_plot as plot_histogram
from jitq_explore.views.plots.look import NothingToPlotError, Plot
from jitq_explore.views.plots.ranges import ranges_plot
from jitq_explore.views.plots.ranges import ranges_plot as plot_ranges
from jitq_explore.views.plots.svg import svg_of
from jitq_explore.views.plots.timeline import timeline_plot
from jitq_explore.views.plots.timeline import timeline_plot as plot_timeline

__all__ = [
    "NothingToPlotError",
    "Plot",
    "channels_plot",
    "histogram_plot",
    "plot_channels",
    "plot_histogram",
    "plot_ranges",
    "plot_timeline",
    "ranges_plot",
    "svg_of",
    "timeline_plot",
]
