"""Runs without a ticket: of a session, a repository or the installation."""
