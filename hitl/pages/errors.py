"""The page of an error: what happened, what it means, what to do, and the typed text."""
from typing import Any

from flask import Response, make_response, render_template, request

from engine import VERSION

MEANINGS = {  # status: (word, what it means, what to do)
    400: ("Not possible", "Nothing was changed.", "Go back, correct the values and send again."),
    403: ("Refused", "Nothing was changed.", "Open HITL Swarm by its own address, http://127.0.0.1 with its port, and try again there."),
    404: ("Not found", "The address is wrong, or the item no longer exists.", "Go back, or start from the home page."),
    405: ("Not possible", "Nothing was changed.", "Use the buttons on the pages."),
    409: ("Too late", "Nothing was changed. The item has changed since you looked at it.", "Go back and look at its current state."),
    413: ("Too large", "Nothing was changed.", "Send less than 4 MB."),
    422: ("Not valid", "Nothing was saved.", "Fix the fields below and send again."),
    503: ("Not saved", "Nothing was changed and nothing is lost. Runs continue and keep their results in their own folders.",
          "Wait a moment and send again. If the disk is full, first free some space on the disk of the data folder."),
}
STORAGE = ("Not possible", "This request changed nothing. Runs continue and keep their results in their own folders.", "Do what the text above says.")
BY_CODE = dict.fromkeys(("storage_gone", "storage_damaged", "storage_read_only"), STORAGE)  # waiting does not help
BUG = ("Failed", "Nothing from this request was saved. Runs continue.", "Try again. If it happens again, the server's log has the details.")


def error_page(error: dict[str, Any], status: int) -> Response:
    """The page of an error. It reads nothing from the database, because the database may have failed."""
    kind, means, advice = BY_CODE.get(error["code"]) or MEANINGS.get(status, BUG if status >= 500 else MEANINGS[400])
    typed = [] if request.method != "POST" or status in (403, 413) else [(name, value) for name, value in request.form.items() if value]
    back = request.headers.get("Referer", "") if status != 404 else ""
    html = render_template("shared/error.html", error=error, kind=kind, happened=f"{request.method} {request.path} was answered with {status}.",
                           means=means, advice=advice, kept=typed, code=status, back=back if back.startswith(request.host_url) else "/", place="",
                           version=VERSION, here="/", theme=request.cookies.get("theme", "system"),
                           shortcuts=request.cookies.get("shortcuts", "on"), waiting=0, seq=None)
    return make_response(html, status)
