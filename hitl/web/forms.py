"""The common part of all forms: POST, then 303 to the page that shows the outcome, or the form's page again with the error."""
from collections.abc import Callable
from typing import Any

from flask import Response, make_response, redirect, request

from engine.errors import SwarmError


def go(where: str) -> Response:
    return make_response(redirect(where, 303))


def attempt(do: Callable[[], Any], where: str | Callable[[], str], failed: Callable[[SwarmError], str]) -> Response:
    """Calls do(), then redirects to `where` (or what it gives after do()). After an error it answers with the page from `failed` and the error's status.

    Errors of storage (5xx) and 404 are raised; their error page keeps the typed text."""
    try:
        do()
    except SwarmError as error:
        if error.status >= 500 or error.status == 404:
            raise
        return make_response(failed(error), error.status)
    return go(where if isinstance(where, str) else where())


def typed_text(name: str) -> str:
    """A field of the form as it was typed, with plain line ends."""
    return request.form.get(name, "").replace("\r\n", "\n").strip()
