"""Files that programs make for themselves, in no repository's interest: a new repository ignores them, and so does the clone of every run."""

PATTERNS = ("__pycache__/", "*.py[cod]", ".venv/", "node_modules/", ".pytest_cache/", ".mypy_cache/", ".ruff_cache/", ".tox/", ".DS_Store")
TEXT = "".join(f"{pattern}\n" for pattern in PATTERNS)  # as a .gitignore
