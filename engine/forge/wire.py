"""How the forges' client libraries reach the network: one origin, bounded answers, and errors that say whether to try again.

The token is in a header of each request, so a request to any other origin is never sent, wherever a redirect or a link in an answer leads."""
import json
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from engine.errors import Permanent, RateLimited, TokenRefused, Transient
from engine.forge.base import origin_of
from engine.forge.words import words
from engine.text import json_from_outside

MOST_BYTES = 10_000_000
SECONDS = 30.0
LONGEST_WAIT = 3600.0
USUAL_WAIT = 60.0   # where a limit does not say how long; GitHub asks for at least a minute then
_LIMITS = re.compile(r"(secondary )?rate[- ]limit|abuse detection", re.I)  # GitHub's words for a limit that has no header


class OneOrigin(HTTPAdapter):
    """Raises from send(), before the library has seen the answer: TokenRefused, RateLimited, Transient, Permanent."""

    def __init__(self, origin: str) -> None:
        super().__init__(max_retries=0)
        self.origin = origin

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        if origin_of(request.url or "") != self.origin:
            raise Permanent(f"The forge points to another address than {self.origin}. Nothing was sent there, because the token is only for this address.")
        options["timeout"] = SECONDS
        request.headers["Connection"] = "close"  # requests are rare, so no connection stays open
        try:
            response = super().send(request, *args, **options)
            try:
                data = response.raw.read(MOST_BYTES + 1, decode_content=True)
            finally:
                response.raw.close()  # of an answer that is too long, or breaks off, the rest is not wanted
        except (requests.RequestException, OSError, ValueError) as error:
            raise Transient(f"The forge at {self.origin} did not answer ({type(error).__name__}).") from error
        except Exception as error:  # urllib3 has errors of its own for answers that break off
            if type(error).__module__.partition(".")[0] != "urllib3":
                raise
            raise Transient(f"The forge at {self.origin} did not answer in full ({type(error).__name__}).") from error
        finally:
            self.close()  # its connections: one that the server has closed meanwhile must not be taken for the next request
        if len(data) > MOST_BYTES:
            raise Permanent(f"The forge's answer is larger than {MOST_BYTES // 1_000_000} MB.")
        response._content, response._content_consumed = self._readable(response, data), True  # as requests itself keeps what it has read
        self._judge(response)
        return response

    def _readable(self, response: requests.Response, data: bytes) -> bytes:
        """An answer as it is; JSON without half characters, numbers beyond 64 bits and endless nesting, which the libraries would stumble over."""
        if not data or not response.headers.get("Content-Type", "").startswith("application/json"):
            return data
        try:
            return json.dumps(json_from_outside(data)).encode()
        except ValueError as error:
            if response.status_code >= 400:
                return data
            raise Permanent(f"The forge at {self.origin} answered with JSON that cannot be read: {error}.") from error

    def _judge(self, response: requests.Response) -> None:
        status, answer = response.status_code, _json(response)
        words_of = words(answer, 200).rstrip(".") if status >= 400 else ""
        said = f": {words_of}" if words_of else ""
        location = response.headers.get("Location", "")
        if status in (301, 302, 303, 307, 308) and "://" in location and origin_of(location) != self.origin and not (response.url or "").endswith("/logs"):
            raise Permanent(f"The forge redirects from {self.origin} to another address. Nothing was sent there. Set SWARM_FORGE_URL to its new address.")
        if status == 401:
            raise TokenRefused(f"The forge at {self.origin} does not accept SWARM_FORGE_TOKEN (401){said}. It may have expired; set another.")
        wait = _wait(response.headers)
        if status == 429 or (status == 403 and (wait is not None or _LIMITS.search(words_of))) or (status == 200 and _is_limit(answer)):
            raise RateLimited(f"The forge at {self.origin} limits requests for a while ({status}){said}.",
                              wait=min(USUAL_WAIT if wait is None else wait, LONGEST_WAIT))
        if status == 403:
            raise Permanent(f"The token may not do this on the forge (403){said}.")
        if status >= 500:
            raise Transient(f"The forge at {self.origin} has an internal problem ({status}){said}.")


def session(origin: str) -> requests.Session:
    """For libraries that take one. Nothing of this machine's netrc is read."""
    made = requests.Session()
    prepare(made, origin)
    return made


def prepare(made: requests.Session, origin: str) -> None:
    made.auth = _no_login
    made.mount("https://", OneOrigin(origin))
    made.mount("http://", OneOrigin(origin))


def _no_login(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that an answer asks us to wait, None if it does not ask."""
    after = headers.get("Retry-After", "")
    if after.isdigit():
        return float(after)
    if after:
        try:
            return max(1.0, parsedate_to_datetime(after).timestamp() - time.time())
        except ValueError:
            return USUAL_WAIT
    for name, rest in (("X-RateLimit-Reset", "X-RateLimit-Remaining"), ("RateLimit-Reset", "RateLimit-Remaining")):
        if headers.get(rest) == "0" and headers.get(name, "").isdigit():
            return max(1.0, float(headers[name]) - time.time())
    return None


def _json(response: requests.Response) -> Any:
    """The answer as JSON; None if it is none."""
    try:
        return response.json()
    except ValueError:
        return None


def _is_limit(answer: Any) -> bool:
    """True for an answer of GraphQL, which has the status 200 even where requests are limited."""
    errors = answer.get("errors") if isinstance(answer, dict) and not answer.get("data") else None
    return isinstance(errors, list) and any(isinstance(each, dict) and (each.get("type") == "RATE_LIMITED" or _LIMITS.search(words(each))) for each in errors)
