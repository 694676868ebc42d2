"""The HTTP server: one process that stays within its limits, however many connections come."""
