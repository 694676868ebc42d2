"""The checks before and after every request: hosts, origins, body limits, error answers, security headers.

Local mode has no logins. A request counts as the user's own if it used one of our host names (this prevents DNS rebinding) and,
if it can change something, was not sent by a page of another site."""
import re
import sqlite3
from typing import Any

from flask import Flask, Response, current_app, jsonify, request
from werkzeug.exceptions import HTTPException

from engine.errors import BadRequest, Forbidden, NotFound, NotJson, SwarmError, TooLarge
from engine.store.sqlite_errors import from_sqlite
from hitl.web import strict_json
from hitl.web.context import swarm
from hitl.web.input import WholeNumber
from hitl.web.numbers import MOST

BODY_LIMIT = 4_000_000    # bytes
DRAIN_LIMIT = 64_000_000  # bytes to read of a refused body, so that the client can read the answer
LOCAL_NAMES = ("127.0.0.1", "localhost", "[::1]")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self';"
                               " frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_HOST = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,253})(?::(\d{1,5}))?", re.I)
_CODES = {400: "bad_request", 403: "forbidden", 404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "not_json"}


def install(app: Flask) -> None:
    """Puts the guard around every route of the app, and one error envelope on every failure."""
    app.config["MAX_CONTENT_LENGTH"] = app.config["MAX_FORM_MEMORY_SIZE"] = BODY_LIMIT
    app.url_map.converters["int"] = WholeNumber  # before any route is added
    app.url_map.merge_slashes = False  # a path with // is unknown and not redirected
    app.before_request(check_request)
    app.after_request(add_headers)
    app.register_error_handler(SwarmError, _swarm_error)
    app.register_error_handler(sqlite3.Error, _sqlite_error)
    app.register_error_handler(HTTPException, _http_error)


def check_request() -> None:
    """Raises Forbidden for a foreign Host and, on a method that may change something, for a foreign origin; BadRequest for a number in the address
    that is too large for any row; Unavailable if the database is gone."""
    if not _is_ours(request.environ.get("HTTP_HOST", ""), request.environ.get("SERVER_PORT", "")):  # some WebSocket clients omit the port
        raise Forbidden("HITL Swarm does not answer to this address. Use http://127.0.0.1 with its port, or set SWARM_ALLOWED_HOSTS.")
    if request.method not in SAFE_METHODS:
        check_origin()
    for name, value in (request.view_args or {}).items():
        if isinstance(value, int) and value > MOST:
            raise BadRequest(f"The address has a number that is too large: {name}. Check the address.")
    if request.endpoint != "static":  # the page that says so needs its style
        swarm().db.check()


def check_origin() -> None:
    """Raises Forbidden if a page of another site sent this request. For a WebSocket, call it before the handshake.

    Browsers send Origin with every request that is not a plain GET. A program such as curl sends no Origin and is allowed."""
    origin = request.headers.get("Origin")
    if origin is not None:
        scheme, found, host = origin.partition("://")
        if not found or scheme not in ("http", "https") or not _is_ours(host, "80" if scheme == "http" else "443"):
            raise Forbidden("This request came from a page of another site. Nothing was changed.")
    if request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
        raise Forbidden("This request came from a page of another site. Nothing was changed.")


def _is_ours(host: str, default_port: str) -> bool:
    """True for the loopback names with our port, and for the configured names (with any port if the setting has no port)."""
    match = _HOST.fullmatch(host)
    if match is None:
        return False
    name, port = match[1].lower(), match[2] or default_port
    config = swarm().config
    if name in LOCAL_NAMES and port in (str(config.port), request.environ.get("SERVER_PORT")):
        return True
    return name in config.allowed_hosts or f"{name}:{port}" in config.allowed_hosts


def add_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.endpoint != "static":
        response.headers.setdefault("Cache-Control", "no-store")
    return response


def json_body() -> dict[str, Any]:
    """The JSON object that the client sent. Raises TooLarge, NotJson, then BadRequest for anything that is not one."""
    return parse_object(read_body())


def optional_json_body() -> dict[str, Any]:
    """The JSON object that the client sent; {} if there is no body. Raises the same errors as json_body."""
    body = read_body()
    return parse_object(body) if body else {}


def parse_object(body: bytes) -> dict[str, Any]:
    kind = request.mimetype
    if (body or kind) and kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise NotJson()
    if not body.strip():
        raise BadRequest("The request has no body. Send a JSON object.")
    value = strict_json.parse(body)
    if not isinstance(value, dict):
        raise BadRequest("The body must be a JSON object: {…}.")
    return value


def read_body() -> bytes:
    """The body, at most BODY_LIMIT bytes, chunked or not. Raises TooLarge, BadRequest for a broken transfer."""
    request.max_content_length = None
    if (request.content_length or 0) > BODY_LIMIT:
        drain()
        raise TooLarge()
    body = bytearray()
    try:
        while chunk := request.stream.read(65536):
            body += chunk
            if len(body) > BODY_LIMIT:
                drain()
                raise TooLarge()
    except OSError as error:
        raise BadRequest("The body ended early or its chunks are broken. Send it again.") from error
    return bytes(body)


def drain() -> None:
    """Reads the rest of the body, up to DRAIN_LIMIT. Otherwise a client that is still sending sees a broken connection and no answer."""
    request.max_content_length = None
    left = DRAIN_LIMIT
    try:
        while left > 0 and (chunk := request.stream.read(65536)):
            left -= len(chunk)
    except (OSError, HTTPException):
        return  # the client is gone or sends broken data, so it will not read the answer


def _swarm_error(error: SwarmError) -> Response:
    if error.status >= 500:
        current_app.logger.error("%s %s: %s", request.method, request.path, error.sentence, exc_info=error)
    response = _render(error.as_json(), error.status)
    if "retry_after" in error.extra:
        response.headers["Retry-After"] = str(error.extra["retry_after"])
    return response


def _sqlite_error(error: sqlite3.Error) -> Response:
    failure = from_sqlite(error, swarm().config.database)
    failure.__cause__ = error
    return _swarm_error(failure)


def _http_error(error: HTTPException) -> Response | HTTPException:
    """404, 405 and similar errors in our envelope. A bug arrives here as 500: Flask has logged it, and the answer gives no details."""
    status = error.code or 500
    if status < 400:
        return error
    known: SwarmError | None = SwarmError() if status >= 500 else {404: NotFound(), 413: TooLarge()}.get(status)
    body = known.as_json() if known else {"error": error.description or error.name, "code": _CODES.get(status, f"http_{status}")}
    if status == 405:
        body["error"] = f"{request.method} is not possible here."
    response = _render(body, status)
    for name, value in error.get_headers(request.environ):
        if name in ("Allow", "Retry-After"):
            response.headers[name] = value
    return response


def _render(body: dict[str, Any], status: int) -> Response:
    """JSON for programs, a page for people. A refused foreign request gets JSON."""
    drain()
    if status == Forbidden.status or request.path.startswith("/api/") or request.path in ("/api", "/ws"):
        response = jsonify(body)
    else:
        response = current_app.make_response(current_app.extensions["error_page"](body, status))
    response.status_code = status
    return response
