"""Counts the tokens of one reply while it streams: server-sent events, a JSON object, or Gemini's JSON array."""
import json
from typing import Any

from engine.gateway.shapes import Shape, Tokens
from engine.gateway.verdict import Error, errors_in

REPLY_BYTES = 16_000_000     # of a JSON reply, or of one event; larger ones are passed on but not parsed
CHARACTERS_PER_TOKEN = 3     # low on purpose, so that estimates are too high and not too low
ATTACHMENT_TOKENS = 2000     # a long string without a blank is an attachment, and costs by its pixels, not by its letters
TEXTS = ("text", "content", "delta", "arguments", "partial_json", "thinking", "reasoning", "reasoning_content", "output_text")


def guess(value: Any) -> int:
    """Estimated tokens of a JSON value that a model will read."""
    return characters(value) // CHARACTERS_PER_TOKEN + 1


def characters(value: Any) -> int:
    total, todo = 0, [value]
    while todo:
        each = todo.pop()
        if isinstance(each, str):
            attachment = len(each) > 4096 and " " not in each and "\n" not in each
            total += ATTACHMENT_TOKENS * CHARACTERS_PER_TOKEN if attachment else len(each)
        elif isinstance(each, dict):
            todo.extend(each.values())
            total += sum(map(len, each))
        elif isinstance(each, list):
            todo.extend(each)
    return total


class Meter:
    """Feed it the bytes of a reply. `live` is the least cost so far; result() is the cost. error: the last error in the reply."""

    def __init__(self, shape: Shape, events: bool, prompt: int) -> None:
        self._shape, self._events, self._prompt = shape, events, prompt
        self._buffer = bytearray()
        self._lost = False                   # something was too long to be understood
        self._letters = 0
        self._usage: dict[str, Any] = {}     # all usage objects, later values winning
        self.error: Error | None = None

    def feed(self, data: bytes) -> None:
        if self._lost:
            self._letters += len(data)
            return
        self._buffer += data
        if self._events and b"\n" in data:
            *lines, rest = self._buffer.split(b"\n")
            self._buffer = rest
            for line in lines:
                self._line(bytes(line))
        if len(self._buffer) > REPLY_BYTES:
            self._lost, self._letters = True, self._letters + len(self._buffer)
            self._buffer = bytearray()

    def _line(self, line: bytes) -> None:
        if line.startswith(b"data:"):
            value = _parsed(line[5:].strip())
            if value is not None and not self._look(value) and not _repeats(value):
                self._letters += _text_length(value)

    def _look(self, value: Any) -> bool:
        found = False
        for error in errors_in(value):
            self.error = error
        for each in value if isinstance(value, list) else [value]:
            for usage in self._shape.usages(each):
                self._usage.update({name: count for name, count in usage.items() if count is not None})
                found = True
        return found

    @property
    def live(self) -> Tokens:
        told = self._shape.tokens(self._usage)
        prompt = told.input if told.input or told.cache_read or told.cache_write else self._prompt
        letters = self._letters or (0 if self._events else len(self._buffer))
        return told._replace(input=prompt, output=max(told.output, letters // CHARACTERS_PER_TOKEN))

    def result(self, complete: bool) -> tuple[Tokens, bool]:
        """-> (tokens, are they estimated). complete: the reply came to its end; one that was cut off has told only part of its usage."""
        if not self._events:
            value = _parsed(bytes(self._buffer))
            if value is not None:
                self._look(value)
        else:
            self._line(bytes(self._buffer))
        told = self._shape.tokens(self._usage)
        if complete and self._usage and (told.input or told.cache_read or told.cache_write or told.output):
            return told, False
        return self.live, True


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _repeats(event: Any) -> bool:
    """An event that says once more what earlier ones have said in pieces."""
    return isinstance(event, dict) and str(event.get("type", "")).endswith((".done", ".completed"))


def _text_length(value: Any) -> int:
    """Letters of what a model wrote, in an event of any shape."""
    total, todo = 0, [value]
    while todo:
        each = todo.pop()
        if isinstance(each, list):
            todo.extend(each)
        elif isinstance(each, dict):
            for name, inner in each.items():
                if isinstance(inner, str):
                    total += len(inner) if name in TEXTS else 0
                else:
                    todo.append(inner)
    return total
