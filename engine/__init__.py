"""The machine's side: tickets, claims, runs, repositories. It imports nothing from hitl."""

VERSION = "0.1.0"
