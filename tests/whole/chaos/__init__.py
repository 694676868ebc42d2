"""The server under kill -9: a program of its own, `python -m tests.whole.chaos`. See docs/chaos.md."""
