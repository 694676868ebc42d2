"""What things look like: plain dicts, the same for JSON and for pages."""
