"""The rows of a build, and the only moves that they may make."""
