"""A recording to step through: ipywidgets around what `views` makes printable."""
