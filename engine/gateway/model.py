"""One request to a model: checked, given the real key, forwarded to the configured upstream, and its reply passed on as it streams.

The request is read whole, because it must be understood before it costs anything; the reply is streamed."""
import contextlib
import hmac
import json
import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

from engine.gateway import http1, shapes
from engine.gateway.egress import CONNECT_SECONDS, response_head
from engine.gateway.heard import Heard, retry_after
from engine.gateway.http1 import Gone, Head, Refusal, Wire
from engine.gateway.ledger import Entry, Ledger
from engine.gateway.meter import Meter, guess
from engine.gateway.record import Asked
from engine.gateway.shapes import Shape, Tokens
from engine.gateway.verdict import Answer, Meaning

REQUEST_BYTES, ERROR_BYTES = 32_000_000, 1_000_000
OPTIONS_REFUSED = (400, 422)
# Errors of servers that do not know the stream_options which the gateway added to a request. Other errors are not worth a second request.
_NO_OPTIONS = re.compile(rb"stream_options|include_usage|extra.{0,10}(?:forbidden|not permitted|not allowed|fields?|inputs?)"
                         rb"|(?:unknown|unrecognized|unsupported|unexpected|additional).{0,10}(?:fields?|param|argument|propert|keyword|key)", re.IGNORECASE)
# Not for the upstream: headers that the gateway sets itself, and headers that name the paying account.
OURS = (*shapes.CREDENTIALS, "host", "content-length", "accept-encoding", "openai-organization", "openai-project", "forwarded", "x-forwarded-for")


class Question(NamedTuple):
    """One request to a model. path: with its query. data: the body to send. own: the agent's body, if the gateway added stream_options to it.
    entry: its entry in the ledger, if it costs tokens."""

    head: Head
    shape: Shape
    path: str
    data: bytes
    own: bytes | None = None
    entry: Entry | None = None

    @property
    def costs(self) -> bool:
        return self.entry is not None


@dataclass
class Models:
    """urls: {shape: base URL}. keys: {shape: key}; '' or missing for an upstream without a key.
    without_options: shapes whose upstream refuses stream_options."""

    urls: Mapping[str, str]
    keys: Mapping[str, str]
    token: str
    ledger: Ledger
    tls: ssl.SSLContext
    without_options: set[str] = field(default_factory=set)
    secrets: tuple[bytes, ...] = field(init=False)
    heard: Heard = field(init=False)

    def __post_init__(self) -> None:
        self.secrets = tuple(key.encode() for key in self.keys.values() if key)
        self.heard = Heard(self.secrets)

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
        question = Question(head, shape, path + ("?" + kept if (kept := shapes.without_key(query)) else ""), data)
        if costs:
            question = self._reserve(question, path, asked)
        asked.allowed = True
        try:
            self._ask(client, question, asked)
        finally:
            if question.entry is not None:
                self.ledger.settle(question.entry, Tokens(), False)  # does nothing once it has been settled

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

    def _reserve(self, question: Question, path: str, asked: Asked) -> Question:
        try:
            value = json.loads(question.data)
            prompt = guess(value)
        except (ValueError, RecursionError):
            raise http1.malformed("The body is not JSON.") from None
        if not isinstance(value, dict):
            raise http1.malformed("The body is not a JSON object.")
        shape, data, own = question.shape, question.data, None
        asked.model = shapes.model_of(shape, path, value)
        most = shapes.most_output(shape, value)
        if path.endswith("/chat/completions") and value.get("stream") is True and shape.name not in self.without_options:
            options = value.get("stream_options")
            if not isinstance(options, dict) or options.get("include_usage") is not True:
                value["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
                try:
                    data, own = json.dumps(value).encode(), data
                except RecursionError:
                    raise http1.malformed("The body is nested too deeply.") from None
        return question._replace(data=data, own=own, entry=self.ledger.reserve(asked.model, prompt, most))

    def _ask(self, client: Wire, question: Question, asked: Asked) -> None:
        up, answer = self._sent(client, question, question.data, asked)
        try:
            body = self._error_body(up, answer) if asked.status >= 400 else b""
            if question.own is not None and asked.status in OPTIONS_REFUSED and _NO_OPTIONS.search(body):
                up.close()
                up, answer = self._sent(client, question, question.own, asked)
                body = self._error_body(up, answer) if asked.status >= 400 else b""
                if asked.status not in OPTIONS_REFUSED:
                    self.without_options.add(question.shape.name)  # its replies do not tell their usage: it is estimated
            if asked.status >= 300:
                self._pass_error(client, question, answer, body, asked)
            else:
                self._pass_on(client, up, question, answer, asked)
        finally:
            up.close()

    def _sent(self, client: Wire, question: Question, data: bytes, asked: Asked) -> tuple[Wire, Head]:
        """Asks the upstream. -> (its connection, the head of its answer); the body of the answer comes next"""
        shape, head = question.shape, question.head
        asked.status, url, key = 0, urlsplit(self.urls[shape.name]), self.keys.get(shape.name, "")
        up = self._connect(question, client, asked)
        try:
            fields = [("host", url.netloc), *head.passed_on(*OURS), ("accept-encoding", "identity"), ("connection", "close")]
            fields += [shape.key(key)] if key else []
            fields += [("content-length", str(len(data)))] if head.start[0] == "POST" else []
            up.send(http1.head_bytes(f"{head.start[0]} {url.path.rstrip('/')}{question.path.removeprefix(shape.drop)} HTTP/1.1", fields) + data)
            asked.sent += len(data)
            up.reader = client
            answer = response_head(up)
            asked.status = int(answer.start[1])
        except Gone as gone:
            up.close()
            if str(gone) == http1.LEFT:
                raise
            self.heard.note(self._answer(question, asked, "failing"), question.costs)
            raise Refusal(502, "unreachable", f"The model's provider did not answer: {gone}.") from gone
        except BaseException:
            up.close()
            raise
        return up, answer

    def _answer(self, question: Question, asked: Asked, meaning: Meaning = "good", wait: float = 0.0) -> Answer:
        return Answer(question.shape.name, asked.status or 502, wait, meaning, asked.host, asked.model)

    def _connect(self, question: Question, client: Wire, asked: Asked) -> Wire:
        url = urlsplit(self.urls[question.shape.name])
        secure, host = url.scheme == "https", url.hostname or ""
        try:
            sock = socket.create_connection((host, url.port or (443 if secure else 80)), CONNECT_SECONDS)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return Wire(self.tls.wrap_socket(sock, server_hostname=host) if secure else sock, client.end)
        except OSError as error:
            self.heard.note(self._answer(question, asked, "failing"), question.costs)
            raise Refusal(502, "unreachable", f"The model's provider at {host} could not be reached: {error}.") from error

    def _error_body(self, up: Wire, answer: Head) -> bytes:
        """The body of an error. It is small and read whole, because a provider may repeat a wrong key."""
        data = b""
        with contextlib.suppress(Gone):  # cut off: what came will do
            for piece in http1.body(up, http1.length_of(answer, answer.start[0], to_the_end=True)):
                data += piece
                if len(data) > ERROR_BYTES:
                    break
        for secret in self.secrets:
            data = data.replace(secret, b"[redacted]")
        return data

    def _pass_error(self, client: Wire, question: Question, answer: Head, data: bytes, asked: Asked) -> None:
        """Passes on an error. The agent must not follow a redirect either."""
        asked.why = self.heard.error(self._answer(question, asked, wait=retry_after(answer)), data, question.costs).said
        if asked.status < 400:
            raise Refusal(502, "redirected", "The model's provider redirects to another address, which is not followed. Fix the base URL in the settings.")
        fields = [*answer.passed_on("content-length", "set-cookie"), ("content-length", str(len(data))), ("connection", "close")]
        client.send(http1.head_bytes(f"HTTP/1.1 {asked.status} -", fields) + data)
        asked.received = len(data)

    def _pass_on(self, client: Wire, up: Wire, question: Question, answer: Head, asked: Asked) -> None:
        """Passes on each piece before the next is read, and counts it."""
        entry, length = question.entry, http1.length_of(answer, answer.start[0], to_the_end=True)
        chunked = not isinstance(length, int) and question.head.start[2] == "1"
        fields = [*answer.passed_on("content-length", "set-cookie"), ("connection", "close")]
        fields += [("transfer-encoding", "chunked")] if chunked else [("content-length", str(length))] if isinstance(length, int) else []
        client.send(http1.head_bytes(f"HTTP/1.1 {asked.status} -", fields))
        events = (answer.one("content-type") or "").lower().startswith("text/event-stream")
        meter = Meter(question.shape, events, entry.reserved.input if entry else 0)
        good, complete = self._answer(question, asked), False
        self.heard.note(good, question.costs)
        try:
            for data in self.heard.pieces(up, length, good, question.costs):
                meter.feed(data)
                self._look_for_error(question, meter, asked)
                # What does not stream has been made, and is paid for, before its first byte comes.
                if events and entry is not None and not self.ledger.update(entry, meter.live):
                    raise Gone("The budget was used up during this reply.")
                client.send(http1.chunk(data) if chunked else data)
                asked.received += len(data)
            complete = True
            if chunked:
                client.send(b"0\r\n\r\n")
        except Gone as gone:
            if events and chunked and entry is not None and self.ledger.over:
                error = json.dumps(question.shape.error(402, "over_budget", str(gone)))
                client.send(http1.chunk(f"event: error\ndata: {error}\n\n".encode()) + b"0\r\n\r\n")
            raise
        finally:
            if entry is not None:
                tokens, estimated = meter.result(complete)
                self._look_for_error(question, meter, asked)
                self.heard.answered = self.heard.answered or (complete and meter.error is None)
                asked.tokens = sum(tokens)
                self.ledger.settle(entry, tokens, estimated)

    def _look_for_error(self, question: Question, meter: Meter, asked: Asked) -> None:
        if meter.error is not None and not asked.why:
            asked.why = self.heard.error_within(self._answer(question, asked), meter.error, question.costs)
