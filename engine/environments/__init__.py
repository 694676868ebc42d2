"""Environments: a repository's dependencies, prepared once, as the read-only ground of its sandboxes."""
