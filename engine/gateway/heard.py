"""What a run's requests to models have come to: how its provider last answered, as far as that says anything about the run."""
import email.utils
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from engine.gateway import http1
from engine.gateway.http1 import Gone, Head, Refusal, Wire
from engine.gateway.verdict import Answer, Error, of_error, of_error_within

LONGEST_WAIT = 31 * 86_400.0  # seconds; a longer one is a mistake


@dataclass
class Heard:
    """last: what the last answer means for the run; None before the first. answered: there was a good reply. Any thread may use it."""

    secrets: tuple[bytes, ...]
    last: Answer | None = None
    answered: bool = False

    def note(self, answer: Answer, costs: bool) -> None:
        """costs: of a request that costs tokens. The others mean nothing once there was a good reply, and neither does a model that is
        refused: many agents also ask a second, smaller model, which need not be there."""
        if not costs and (self.answered or answer.meaning in ("good", "own", "access", "model", "address")):
            return
        if self.answered and answer.meaning in ("access", "model"):
            return
        said = answer.said
        for secret in self.secrets:
            said = said.replace(secret.decode(), "[redacted]")
        self.last = answer._replace(said=said)

    def error(self, answer: Answer, body: bytes, costs: bool) -> Answer:
        """Notes an answer with an error status. -> it, with its meaning"""
        meant = of_error(answer, body)
        self.note(meant, costs)
        return meant

    def error_within(self, answer: Answer, error: Error, costs: bool) -> str:
        """Notes an error that came inside a reply whose status was good. -> it in words, for the record"""
        meant = of_error_within(answer, error)
        self.note(meant, costs)
        return f"{meant.said} (as status {meant.status})".strip()

    def pieces(self, up: Wire, length: int | str, answer: Answer, costs: bool) -> Iterator[bytes]:
        """The pieces of a reply. Notes when the upstream breaks it off. Raises Gone or Refusal, as http1.body() does."""
        try:
            yield from http1.body(up, length)
        except (Gone, Refusal) as error:
            if str(error) != http1.LEFT:
                self.note(answer._replace(status=502, meaning="failing"), costs)
            raise


def retry_after(answer: Head) -> float:
    """Seconds; 0 where the answer does not say."""
    text = (answer.all("retry-after") or ["0"])[0]
    try:
        seconds = float(text)
    except ValueError:
        date: Any = email.utils.parsedate_tz(text)
        seconds = email.utils.mktime_tz(date) - time.time() if date else 0.0
    return min(max(0.0, seconds), LONGEST_WAIT) if seconds == seconds else 0.0
