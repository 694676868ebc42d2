"""Changes to a build that is under way."""
