"""Questions about the stages of a run, made of its recording, with answers and reasons."""
