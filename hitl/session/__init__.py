"""A session's rows: its card, its versions, its questions."""
