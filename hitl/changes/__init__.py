"""The changes of a ticket, and their review."""
