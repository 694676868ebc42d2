"""Changes of what is being built."""
