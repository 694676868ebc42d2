"""A finished build on its way to its forge, and what comes back."""
