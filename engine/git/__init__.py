"""git on the host, only with bare repositories."""
