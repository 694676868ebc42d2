"""Answers that the server gives by itself, without a thread and without the application."""
import html
import json

from engine.errors import Forbidden, SwarmError, Unavailable

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>HITL Swarm is busy</title><p>{sentence}</p></html>
"""
BUSY = "The server already answers as many requests as it can. Try again in a few seconds."


def forbidden(sentence: str) -> bytes:
    return _answer(Forbidden(sentence), b"")


def busy(head: bytes) -> bytes:
    """503, as a page for a browser and as JSON for a program."""
    return _answer(Unavailable(BUSY, code="busy"), head, "Retry-After: 2\r\n")


def _answer(error: SwarmError, head: bytes, more: str = "") -> bytes:
    if b"text/html" in head:
        kind, body = "text/html; charset=utf-8", _PAGE.format(sentence=html.escape(error.sentence))
    else:
        kind, body = "application/json", json.dumps(error.as_json()) + "\n"
    reason = {403: "Forbidden", 503: "Service Unavailable"}[error.status]
    content = body.encode()
    return (f"HTTP/1.1 {error.status} {reason}\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n{more}"
            "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n").encode() + content
