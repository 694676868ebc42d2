"""From an idea to a card that is in review."""
