"""Plain frozen data about quantization runs, and what is computed on it.

Nothing here imports torch, pandas or widgets: a recording can be opened, compared and
drawn on a machine that has none of them.
"""
