"""Delivers a finished build to its forge, and takes in the feedback."""
