"""What a person calls by hand: run-ticket, drain, backup."""
