"""The human's side: the door from a card to its tickets, and the demo."""
