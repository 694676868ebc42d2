"""Git on the host: bare repositories alone."""
