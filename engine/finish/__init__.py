"""From a result to a merge."""
