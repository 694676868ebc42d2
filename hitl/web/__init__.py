"""The parts that every request and every shown text goes through."""
