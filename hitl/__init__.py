"""The human's side of the product: the step from a card to its tickets, and the demo."""
