"""All errors that the product raises on purpose. Each class has an HTTP status, a code and a sentence for the user.

    SwarmError
    ├── BadRequest 400            the request itself is wrong
    │   ├── NotConfirmed 400      start-build without {"confirmed": true}
    │   ├── NotApproved 400       start-build of a session that is not approved
    │   ├── Forbidden 403         a foreign Host or Origin
    │   ├── NotFound 404          it does not exist, or it belongs to another tenant
    │   ├── Gone 410              it existed, and its files were removed since
    │   ├── TooLarge 413
    │   ├── NotJson 415
    │   └── InvalidCard 422       with details: [{path, message}]
    ├── WrongState 409            the state has changed; the answer says the current state and since when
    ├── Unavailable 503           storage is busy or full: nothing was saved, try again
    ├── Refused                   this process does not start, or a command does nothing: wrong setting, unknown database
    └── RunFailure                a run ended without a result; the class says whether an attempt is used up
        ├── Transient             not the agent's fault: wait and try again, no attempt is used up
        │   ├── RateLimited       a model provider limits requests: wait as long as it says; after some hours someone is asked
        │   ├── Unreachable       the host of a repository does not answer: a few more tries, then someone is asked
        │   └── GroundFailed      what the sandbox stands on cannot be used, such as a service: a few more tries, then someone is asked
        ├── ProviderRefused       the model's provider refuses until someone acts: quota, payment, key, model; no attempt is used up
        ├── AgentFailed           an attempt is used up; the next prompt says what failed, also of a result that is refused
        │   ├── UnchangedSinceBase  a check is as red as at the base: a person decides, and no attempt is used up
        │   └── CannotRun         a check failed because its network was refused: someone is asked, and no attempt is used up
        ├── Permanent             a retry does not help: a wrong or damaged repository, a deleted branch
        │   ├── PolicyViolation   a change to push breaks a rule; the sentence names the path. Of a run's result, it fails the attempt
        │   ├── Damaged           objects or refs of a repository are missing or broken; the sentence has git's own line
        │   ├── TokenRefused      the forge does not accept the token: the operator must set another
        │   └── NotStarted        it was found before an agent started, so no attempt is used up: a WORKFLOW.md that cannot be read, an absent agent
        └── MergeConflict         the ticket is ready again, with the conflict in its prompt
"""
from typing import Any, Literal

from engine.text import from_outside

LONGEST = 20_000  # characters of a sentence, because it may quote what came out of a sandbox


class SwarmError(Exception):
    status, code, sentence = 500, "internal", "Something went wrong inside HITL Swarm. Look for the details in the log."

    def __init__(self, sentence: str | None = None, **extra: object) -> None:
        self.sentence = from_outside(sentence or self.sentence, LONGEST)
        self.extra = extra
        super().__init__(self.sentence)

    def as_json(self) -> dict[str, Any]:
        """The one error envelope: {"error": sentence, "code": slug, …}."""
        return {"error": self.sentence, "code": self.code, **self.extra}  # extra may name a more exact code


class BadRequest(SwarmError):
    status, code, sentence = 400, "bad_request", "The request is not valid. Check it and send it again."


class NotConfirmed(BadRequest):
    code, sentence = "not_confirmed", "User confirmation required"


class NotApproved(BadRequest):
    code, sentence = "not_approved", "Session must be approved"


class Forbidden(BadRequest):
    status, code, sentence = 403, "forbidden", "This request came from an address that is not allowed. Open the pages at the server's own address."


class NotFound(BadRequest):
    status, code, sentence = 404, "not_found", "Not found"


class Gone(BadRequest):
    status, code, sentence = 410, "gone", "It was removed and does not come back."


class TooLarge(BadRequest):
    status, code, sentence = 413, "too_large", "The request body is larger than 4 MB. Send less."


class NotJson(BadRequest):
    status, code, sentence = 415, "not_json", "The request body must be JSON, with Content-Type: application/json."


class InvalidCard(BadRequest):
    status, code, sentence = 422, "invalid_card", "The spec card is not valid. Fix the fields below and send again."


class WrongState(SwarmError):
    status, code, sentence = 409, "wrong_state", "This is not possible in the current state. Reload the page to see the state."


class Unavailable(SwarmError):
    status, code, sentence = 503, "unavailable", "Storage is busy. Nothing was saved. Try again in a moment."


class Refused(SwarmError):
    code = "refused"


class RunFailure(SwarmError):
    code = "run_failed"
    outcome: Literal["failed", "transient", "conflict", "void"] = "failed"  # of the run, as stored in its row


class Transient(RunFailure):
    code = "transient"
    outcome = "transient"


class RateLimited(Transient):
    """extra["wait"]: seconds to wait, as the provider says; 0 if it does not say."""

    code = "rate_limited"


class Unreachable(Transient):
    """The host of a repository does not answer, or not in time."""

    code = "unreachable"


class GroundFailed(Transient):
    """What a sandbox stands on cannot be used, so neither agent nor check began."""

    code = "ground_failed"


class ProviderRefused(RunFailure):
    """The model's provider refuses until someone acts. The sentence names the provider, what it said and what to do."""

    code = "provider_refused"
    outcome = "transient"


class AgentFailed(RunFailure):
    code = "agent_failed"


class UnchangedSinceBase(AgentFailed):
    """Checks are red, and none of them because of the work: they were as red before it, or are so by now without it. A person decides."""

    code = "unchanged"


class CannotRun(AgentFailed):
    """A check failed, and the proxy had refused a host that it needs. The sentence names the host and the setting."""

    code = "cannot_run"


class Permanent(RunFailure):
    code = "permanent"


class PolicyViolation(Permanent):
    code = "policy"


class Damaged(Permanent):
    """Objects or refs of a repository are missing or broken. Another try reads the same."""

    code = "damaged"


class TokenRefused(Permanent):
    code = "token_refused"


class NotStarted(Permanent):
    code = "not_started"
    outcome = "void"


class MergeConflict(RunFailure):
    code = "conflict"
    outcome = "conflict"
