"""Commands for people: run-ticket, drain, backup."""
