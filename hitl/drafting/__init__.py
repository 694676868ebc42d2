"""From an idea to a card in review."""
