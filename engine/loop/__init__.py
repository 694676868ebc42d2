"""The engine: it decides when each step happens."""
