"""What stands around every request and every text."""
