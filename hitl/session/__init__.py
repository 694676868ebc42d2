"""A session's rows: the card, its versions and the questions."""
