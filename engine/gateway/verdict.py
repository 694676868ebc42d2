"""What the answer of a model's provider means for a run: it is good, the agent itself failed, the run must wait, or someone must act.

The status decides, and the names in an error (code, type, status, reason). Words decide only for providers that have no name for an empty
account or a wrong key, and only at the beginning of their message: further on, a message may repeat what it was asked."""
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from engine.errors import ProviderRefused, RateLimited, RunFailure, Transient
from engine.text import from_outside, json_from_outside, one_line, printable

# good; own: the agent's request failed by its own fault; busy: a wait; failing: a wait, but not for long; the others need someone.
Meaning = Literal["good", "own", "busy", "failing", "quota", "key", "access", "model", "address"]
BUSY = (429, 503, 529)
REFUSED: tuple[Meaning, ...] = ("quota", "key", "access", "model", "address")
SAID = 300               # characters of a provider's message that are shown
NESTED = 20              # objects of an error that are looked at
Error = Mapping[str, Any]

_QUOTA = frozenset((
    "insufficient_quota", "exceeded_current_quota_error", "billing_hard_limit_reached", "billing_not_active", "billing_error", "billing_disabled",
    "insufficient_balance", "insufficient_credits", "payment_required", "usage_limit_reached", "usage_not_included", "consumer_suspended",
    "account_deactivated", "access_terminated", "organization_restricted", "arrearage"))
_KEY = frozenset(("invalid_api_key", "api_key_invalid", "authentication_error", "unauthenticated", "token_expired"))
_ACCESS = frozenset(("permission_error", "permission_denied", "api_key_service_blocked", "service_disabled", "failed_precondition"))
_MODEL = frozenset(("model_not_found", "invalid_model", "unknown_model", "model_not_available", "deploymentnotfound", "unsupported_model"))
_OVERLOADED = frozenset(("overloaded_error", "overloaded", "server_is_overloaded", "server_overloaded", "engine_overloaded", "engine_overloaded_error",
                         "model_overloaded", "slow_down", "service_unavailable", "unavailable"))
_LIMITED = frozenset(("rate_limit_exceeded", "rate_limit_error", "rate_limited", "too_many_requests", "resource_exhausted"))
_FAILING = frozenset(("server_error", "api_error", "internal", "internal_error", "internal_server_error", "timeout", "timeout_error",
                      "deadline_exceeded", "bad_gateway"))
_QUOTA_WORDS = re.compile(r"your (?:credit|account) balance is (?:too low|insufficient)|insufficient (?:account )?(?:balance|credits?|funds|quota)\b"
                          r"|billing hard limit has been reached|your account is not active|your prepayment credits are depleted"
                          r"|you have reached your specified (?:\w+ )?api usage limits|(?:this|your) organization (?:has been disabled|must be verified)"
                          r"|your project has exceeded its (?:\w+ )?spending cap", re.IGNORECASE)
_KEY_WORDS = re.compile(r"(?:incorrect|invalid) api key|api key not valid", re.IGNORECASE)
_MODEL_WORDS = re.compile(r"model not exist|invalid model\b|[\w./:@-]+ is not a valid model"
                          r"|(?:the )?model [`'\"“]?[\w./:@-]+[`'\"”]? (?:does not exist|(?:is )?not (?:found|available))", re.IGNORECASE)

_CAUSES: dict[Meaning, str] = {
    "quota": "has no quota or credit left for this account", "key": "does not accept the key", "access": "refuses access to the model{model}",
    "model": "does not offer the model{model}", "address": "is not at this address"}
_STEPS: dict[Meaning, str] = {
    "quota": "Add credit or raise the limit with the provider. Or set {name}_KEY to the key of another account and restart the server.",
    "key": "Set {name}_KEY to a key that it accepts, and restart the server.",
    "access": "Give the account access with the provider. Or set {name}_MODEL or {name}_KEY to others and restart the server.",
    "model": "Set {name}_MODEL to a model that it offers, or correct {name}_URL.",
    "address": "Correct {name}_URL, and restart the server."}


class Answer(NamedTuple):
    """How a provider last answered. status: of HTTP, or the one that an error inside a good reply stands for. wait: seconds that it asks for."""

    shape: str
    status: int
    wait: float = 0.0
    meaning: Meaning = "good"
    host: str = ""
    model: str = ""
    said: str = ""

    def failure(self) -> RunFailure | None:
        """The failure of a run that came to nothing, if this was the last answer it got."""
        who = f"The model's provider ({self.shape}{' at ' + self.host if self.host else ''})"
        said = f" It said: “{self.said}”" if self.said else ""
        if self.meaning == "busy":
            wait = f" for {_duration(self.wait)}" if self.wait else ""
            return RateLimited(f"{who} limits requests{wait} (status {self.status}).{said}", wait=self.wait)
        if self.meaning == "failing":
            return Transient(f"{who} failed or could not be reached (status {self.status}).{said}")
        if self.meaning in REFUSED:
            cause = _CAUSES[self.meaning].format(model=f" “{self.model}”" if self.model else "")
            return ProviderRefused(f"{who} {cause} (status {self.status}).{said} {_STEPS[self.meaning].format(name=f'SWARM_{self.shape.upper()}')}")
        return None


def of_error(answer: Answer, body: bytes) -> Answer:
    """The meaning of an answer with an error status. answer: what is known of it before its body."""
    try:
        value = json_from_outside(body)
    except ValueError:
        value = None
    errors = list(errors_in(value)) or ([value] if isinstance(value, dict) else [])
    error = errors[-1] if errors else {}
    text = _message(error) or ("" if b"<" in body[:20] else from_outside(body, SAID * 4))
    return answer._replace(meaning=_meaning(answer.status, error), said=_shown(text), wait=max(answer.wait, _retry_delay(error)))


def of_error_within(answer: Answer, error: Error) -> Answer:
    """The meaning of an error that came inside a reply whose status was good. Its status is the one that the error stands for."""
    names, status = _names(error), _own_status(error)
    if status is None:
        stands_for = ((_QUOTA, 402), (_LIMITED, 429), (_OVERLOADED, 503), (_FAILING, 500), (_KEY, 401), (_ACCESS, 403), (_MODEL, 404))
        status = next((number for known, number in stands_for if names & known), 400 if names else 500)
    return answer._replace(status=status, meaning=_meaning(status, error), said=_shown(_message(error)), wait=_retry_delay(error))


def errors_in(value: Any) -> Iterator[Error]:
    """The error objects in a reply, or in an event of one, of any shape."""
    for each in value if isinstance(value, list) else [value]:
        if not isinstance(each, dict):
            continue
        response = each.get("response")
        choices = each.get("choices")
        for holder in (each, response, *(choices if isinstance(choices, list) else ())):
            error = holder.get("error") if isinstance(holder, dict) else None
            if isinstance(error, dict):
                yield error
            elif isinstance(error, str) and error:
                yield {"message": error}
        if "error" in (each.get("type"), each.get("object")) and not isinstance(each.get("error"), dict):
            yield {name: found for name, found in each.items() if name != "type" or found != "error"}


def _meaning(status: int, error: Error) -> Meaning:
    names, text = _names(error), _message(error)
    if status < 400:
        return "address"  # a redirect
    if names & _QUOTA or status == 402 or (status < 500 and _QUOTA_WORDS.match(text)) or _is_daily(error):
        return "quota"
    if status == 401 or (status < 500 and status != 429 and (names & _KEY or _KEY_WORDS.match(text))):
        return "key"
    if status in (400, 403, 404, 405, 410) and (names & _MODEL or error.get("param") == "model" or _MODEL_WORDS.match(text)):
        return "model"
    if status == 403 or (status == 400 and names & _ACCESS):
        return "access"
    if status in (404, 405, 410) and not error.get("param"):  # with one, it is about a part of the request
        return "model" if error else "address"
    if status in BUSY or (status >= 500 and names & (_OVERLOADED | _LIMITED)):
        return "busy"
    return "failing" if status >= 500 or status == 408 else "own"


def _names(error: Error) -> set[str]:
    found = [error.get(name) for name in ("code", "type", "status")] + [each.get("reason") for each in _details(error)]
    return {name.lower().replace("-", "_") for name in found if isinstance(name, str)}


def _details(error: Error) -> list[Error]:
    """Gemini's: [{"@type": …, "reason", "retryDelay", "violations"}]."""
    details = error.get("details")
    return [each for each in details[:NESTED] if isinstance(each, dict)] if isinstance(details, list) else []


def _is_daily(error: Error) -> bool:
    """Gemini's quota of a day: it tells the same status and the same few seconds as the quota of a minute, only the name differs."""
    lists = [detail.get("violations") for detail in _details(error)]
    return any(isinstance(each, dict) and "PerDay" in str(each.get("quotaId")) for found in lists if isinstance(found, list) for each in found[:NESTED])


def _retry_delay(error: Error) -> float:
    found = [re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]+)?)s", str(each.get("retryDelay"))) for each in _details(error)]
    return max((float(each[1]) for each in found if each), default=0.0)


def _own_status(error: Error) -> int | None:
    code = str(error.get("code", ""))
    return int(code) if re.fullmatch(r"[45][0-9]{2}", code) else None


def _message(error: Error) -> str:
    found = error.get("message") or error.get("detail") or ""
    return (found if isinstance(found, str) else json.dumps(found))[:SAID * 4].strip()


def _shown(text: str) -> str:
    line = printable(one_line(text))
    return line if len(line) <= SAID else line[:SAID - 1] + "…"


def _duration(seconds: float) -> str:
    for size, name in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {name}"
    whole = max(1, round(seconds))
    return f"{whole} {'second' if whole == 1 else 'seconds'}"
