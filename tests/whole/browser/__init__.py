"""What a person does, in a real browser on the real program."""
