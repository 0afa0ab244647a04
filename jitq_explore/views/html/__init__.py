"""A recording as one HTML file: the explorer with all its answers, for any browser."""

from jitq_explore.views.html.page import to_html

__all__ = ["to_html"]
