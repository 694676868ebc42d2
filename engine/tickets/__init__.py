"""The rows of a build, and the allowed changes of their states."""
