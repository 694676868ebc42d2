"""One SQLite file: its schema, its migrations and its journal."""
