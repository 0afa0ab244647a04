"""Rules over a `Recording`: what is wrong, and what would help."""
