"""The repositories that sessions build in: rows, settings and environments."""
