"""Makes a job from rows: everything that a run needs to know."""
