"""What a ticket changed, and its review."""
