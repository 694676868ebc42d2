"""The engine: when what happens."""
