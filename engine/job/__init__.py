"""From rows to a job: all that a run is told."""
