"""What the explorer's page asks of a recording, answered as JSON: no torch, no ipywidgets."""

from jitq_explore.views.answers.answers import Answers

__all__ = ["Answers"]
