"""One request to a model: checked, given the real key, forwarded to the configured upstream, and its reply passed on as it streams.

The request is read whole, because it must be understood before it costs anything; the reply is streamed."""
import contextlib
import email.utils
import hmac
import json
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from engine.gateway import http1, shapes
from engine.gateway.egress import CONNECT_SECONDS, response_head
from engine.gateway.http1 import Gone, Head, Refusal, Wire
from engine.gateway.ledger import Entry, Ledger
from engine.gateway.meter import Meter, guess
from engine.gateway.record import Asked
from engine.gateway.shapes import Shape, Tokens

REQUEST_BYTES, ERROR_BYTES = 32_000_000, 1_000_000
LONGEST_WAIT = 86_400.0
# Not for the upstream: headers that the gateway sets itself, and headers that name the paying account.
OURS = (*shapes.CREDENTIALS, "host", "content-length", "accept-encoding", "openai-organization", "openai-project", "forwarded", "x-forwarded-for")


class Answer(NamedTuple):
    """The last answer of a provider. wait: seconds to wait before the next request."""

    shape: str
    status: int
    wait: float


@dataclass
class Models:
    """urls: {shape: base URL}. keys: {shape: key}; '' or missing for an upstream without a key."""

    urls: Mapping[str, str]
    keys: Mapping[str, str]
    token: str
    ledger: Ledger
    tls: ssl.SSLContext
    last: Answer | None = None
    secrets: tuple[bytes, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.secrets = tuple(key.encode() for key in self.keys.values() if key)

    def forward(self, client: Wire, head: Head, shape: Shape, asked: Asked) -> None:
        method, target, minor = head.start
        path, _, query = target.removeprefix(shape.prefix).partition("?")
        asked.method, asked.path = method, path
        if not hmac.compare_digest(shapes.credential(head, query).encode("utf-8", "replace"), self.token.encode()):
            raise Refusal(401, "wrong_token", "This is not the token of this run (SWARM_GATEWAY_TOKEN).")
        costs = next((costs for verb, pattern, costs in shape.routes if verb == method and pattern.fullmatch(path)), None)
        if costs is None or shape.name not in self.urls:
            raise Refusal(404, "no_such_path", f"The gateway does not forward {method} {target.partition('?')[0][:200]} to a model.")
        asked.host = urlsplit(self.urls[shape.name]).hostname or ""
        data = self._body(client, head, minor)
        entry = None
        if costs:
            data, entry = self._reserve(shape, path, data, asked)
        asked.allowed = True
        try:
            self._ask(client, head, shape, path + ("?" + kept if (kept := shapes.without_key(query)) else ""), data, entry, asked)
        finally:
            if entry is not None:
                self.ledger.settle(entry, Tokens(), False)  # does nothing once it has been settled

    def _body(self, client: Wire, head: Head, minor: str) -> bytes:
        length = http1.length_of(head, minor)
        if head.one("content-encoding") not in (None, "identity"):
            raise Refusal(415, "encoded", "The gateway accepts only requests without a Content-Encoding.")
        if head.one("expect"):
            client.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        data = bytearray()
        for piece in http1.body(client, length):
            data += piece
            if len(data) > REQUEST_BYTES:
                raise Refusal(413, "too_large", f"The request is larger than {REQUEST_BYTES // 1_000_000} MB.")
        client.sent = 0  # a 100 Continue is no answer yet
        return bytes(data)

    def _reserve(self, shape: Shape, path: str, data: bytes, asked: Asked) -> tuple[bytes, Entry]:
        try:
            value = json.loads(data)
            prompt = guess(value)
        except (ValueError, RecursionError):
            raise http1.malformed("The body is not JSON.") from None
        if not isinstance(value, dict):
            raise http1.malformed("The body is not a JSON object.")
        if path.endswith("/chat/completions") and value.get("stream") is True:
            options = value.get("stream_options")
            if not isinstance(options, dict) or options.get("include_usage") is not True:
                value["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
                data = json.dumps(value).encode()
        asked.model = shapes.model_of(shape, path, value)
        return data, self.ledger.reserve(asked.model, prompt, shapes.most_output(shape, value))

    def _ask(self, client: Wire, head: Head, shape: Shape, path: str, data: bytes, entry: Entry | None, asked: Asked) -> None:
        up = self._connect(shape, client)
        try:
            url = urlsplit(self.urls[shape.name])
            key = self.keys.get(shape.name, "")
            fields = [("host", url.netloc), *head.passed_on(*OURS), ("accept-encoding", "identity"), ("connection", "close")]
            fields += [shape.key(key)] if key else []
            fields += [("content-length", str(len(data)))] if head.start[0] == "POST" else []
            up.send(http1.head_bytes(f"{head.start[0]} {url.path.rstrip('/')}{path.removeprefix(shape.drop)} HTTP/1.1", fields) + data)
            asked.sent = len(data)
            up.reader = client
            answer = response_head(up)
            asked.status = int(answer.start[1])
            self.last = Answer(shape.name, asked.status, retry_after(answer))
            if asked.status >= 300:
                self._pass_error(client, up, answer, asked)
            else:
                self._pass_on(client, up, head, answer, shape, entry, asked)
        except Gone as gone:
            if not asked.status:
                self.last = Answer(shape.name, 502, 0.0)
                raise Refusal(502, "unreachable", f"The model's provider did not answer: {gone}.") from gone
            raise
        finally:
            up.close()

    def _connect(self, shape: Shape, client: Wire) -> Wire:
        url = urlsplit(self.urls[shape.name])
        secure, host = url.scheme == "https", url.hostname or ""
        try:
            sock = socket.create_connection((host, url.port or (443 if secure else 80)), CONNECT_SECONDS)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return Wire(self.tls.wrap_socket(sock, server_hostname=host) if secure else sock, client.end)
        except OSError as error:
            self.last = Answer(shape.name, 502, 0.0)
            raise Refusal(502, "unreachable", f"The model's provider at {host} could not be reached: {error}.") from error

    def _pass_error(self, client: Wire, up: Wire, answer: Head, asked: Asked) -> None:
        """Passes on an error. It is small and read whole, because a provider may repeat a wrong key. The agent must not follow a redirect either."""
        if asked.status < 400:
            raise Refusal(502, "redirected", "The model's provider redirects to another address, which is not followed. Fix the base URL in the settings.")
        data = b""
        with contextlib.suppress(Gone):  # cut off: what came will do
            for piece in http1.body(up, http1.length_of(answer, answer.start[0], to_the_end=True)):
                data += piece
                if len(data) > ERROR_BYTES:
                    break
        for secret in self.secrets:
            data = data.replace(secret, b"[redacted]")
        fields = [*answer.passed_on("content-length", "set-cookie"), ("content-length", str(len(data))), ("connection", "close")]
        client.send(http1.head_bytes(f"HTTP/1.1 {asked.status} -", fields) + data)
        asked.received = len(data)

    def _pass_on(self, client: Wire, up: Wire, head: Head, answer: Head, shape: Shape, entry: Entry | None, asked: Asked) -> None:
        """Passes on each piece before the next is read, and counts it."""
        length = http1.length_of(answer, answer.start[0], to_the_end=True)
        chunked = not isinstance(length, int) and head.start[2] == "1"
        fields = [*answer.passed_on("content-length", "set-cookie"), ("connection", "close")]
        fields += [("transfer-encoding", "chunked")] if chunked else [("content-length", str(length))] if isinstance(length, int) else []
        client.send(http1.head_bytes(f"HTTP/1.1 {asked.status} -", fields))
        events = (answer.one("content-type") or "").lower().startswith("text/event-stream")
        meter = Meter(shape, events, entry.reserved.input if entry else 0)
        complete = False
        try:
            for data in http1.body(up, length):
                meter.feed(data)
                # What does not stream has been made, and is paid for, before its first byte comes.
                if events and entry is not None and not self.ledger.update(entry, meter.live):
                    raise Gone("The budget was used up during this reply.")
                client.send(http1.chunk(data) if chunked else data)
                asked.received += len(data)
            complete = True
            if chunked:
                client.send(b"0\r\n\r\n")
        except Gone as gone:
            if up.buffer == b"" and str(gone) == "ended within a body":
                self.last = Answer(shape.name, 502, 0.0)
            if events and chunked and entry is not None and self.ledger.over:
                error = json.dumps(shape.error(402, "over_budget", str(gone)))
                client.send(http1.chunk(f"event: error\ndata: {error}\n\n".encode()) + b"0\r\n\r\n")
            raise
        finally:
            if entry is not None:
                tokens, estimated = meter.result(complete)
                asked.tokens = sum(tokens)
                self.ledger.settle(entry, tokens, estimated)


def retry_after(answer: Head) -> float:
    """Seconds; 0 where the answer does not say."""
    text = (answer.all("retry-after") or ["0"])[0]
    try:
        seconds = float(text)
    except ValueError:
        date: Any = email.utils.parsedate_tz(text)
        seconds = email.utils.mktime_tz(date) - time.time() if date else 0.0
    return min(max(0.0, seconds), LONGEST_WAIT) if seconds == seconds else 0.0
