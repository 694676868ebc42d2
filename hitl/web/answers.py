"""Answers are always valid: whatever text they contain, it is sent as UTF-8, and JSON has no NaN."""
from typing import Any

from flask import Flask, Response
from flask.json.provider import DefaultJSONProvider

from engine.text import cleaned


class Answer(Response):
    def set_data(self, value: bytes | str) -> None:
        super().set_data(value.encode("utf-8", "replace") if isinstance(value, str) else value)


class StrictJson(DefaultJSONProvider):
    def dumps(self, obj: Any, **kwargs: Any) -> str:
        try:
            return super().dumps(obj, allow_nan=False, **kwargs)
        except ValueError:
            return super().dumps(cleaned(obj), allow_nan=False, **kwargs)


def install(app: Flask) -> None:
    app.response_class = Answer
    app.json = StrictJson(app)
