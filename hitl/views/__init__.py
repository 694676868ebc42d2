"""Views of sessions, tickets and the engine: plain dicts, the same for JSON and for pages."""
