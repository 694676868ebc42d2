"""The machine's side: tickets, claims, runs, repositories. Imports nothing from hitl."""

VERSION = "0.1.0"
