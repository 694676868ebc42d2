"""The spec card as data: no database, no Flask."""
