"""The machine's side: tickets, claims, runs, repositories. Imports nothing from hitl."""
