"""Every error that the product raises on purpose. Each class has an HTTP status, a code and a sentence for the user.

    SwarmError
    ├── BadRequest 400            the request itself is wrong
    │   ├── NotConfirmed 400      start-build without {"confirmed": true}
    │   ├── NotApproved 400       start-build of a session that is not approved
    │   ├── Forbidden 403         a foreign Host or Origin
    │   ├── NotFound 404          unknown here, or another tenant's
    │   ├── TooLarge 413
    │   ├── NotJson 415
    │   └── InvalidCard 422       with details: [{path, message}]
    ├── WrongState 409            the thing has moved on; the answer says where it is and since when
    ├── Unavailable 503           storage is busy or full: try again, nothing was saved
    ├── Refused                   this process does not start, or a command does nothing: bad setting, unknown database
    └── RunFailure                a run ended without its result; says whether an attempt is used up
        ├── Transient             not the agent's doing: back off and try again, no attempt used up
        │   └── RateLimited       a model's provider wants to be left alone: wait as long as it says, however often
        ├── AgentFailed           uses up an attempt; the next prompt says what failed
        ├── Permanent             no retry helps: bad repository, refused result
        │   ├── PolicyViolation   what came back, or is to be pushed, breaks a rule; names the path
        │   └── TokenRefused      the forge does not take our token: a person must give another
        └── MergeConflict         back to ready with the conflict in the prompt
"""
from typing import Any, Literal


class SwarmError(Exception):
    status, code, sentence = 500, "internal", "Something went wrong inside HITL Swarm. The log has the details."

    def __init__(self, sentence: str | None = None, **extra: object) -> None:
        self.sentence = sentence or self.sentence
        self.extra = extra
        super().__init__(self.sentence)

    def as_json(self) -> dict[str, Any]:
        """The one error envelope: {"error": sentence, "code": slug, …}."""
        return {"error": self.sentence, "code": self.code, **self.extra}  # extra may name a more exact code


class BadRequest(SwarmError):
    status, code, sentence = 400, "bad_request", "The request is not valid."


class NotConfirmed(BadRequest):
    code, sentence = "not_confirmed", "User confirmation required"


class NotApproved(BadRequest):
    code, sentence = "not_approved", "Session must be approved"


class Forbidden(BadRequest):
    status, code, sentence = 403, "forbidden", "This request came from a place that is not allowed."


class NotFound(BadRequest):
    status, code, sentence = 404, "not_found", "Not found"


class TooLarge(BadRequest):
    status, code, sentence = 413, "too_large", "The body is larger than 4 MB."


class NotJson(BadRequest):
    status, code, sentence = 415, "not_json", "The body must be JSON, sent with Content-Type: application/json."


class InvalidCard(BadRequest):
    status, code, sentence = 422, "invalid_card", "The spec card is not valid."


class WrongState(SwarmError):
    status, code, sentence = 409, "wrong_state", "That is not possible in the present state."


class Unavailable(SwarmError):
    status, code, sentence = 503, "unavailable", "Storage is busy. Nothing was saved; try again in a moment."


class Refused(SwarmError):
    code = "refused"


class RunFailure(SwarmError):
    code = "run_failed"
    outcome: Literal["failed", "transient", "conflict"] = "failed"  # of the run, as its row records it


class Transient(RunFailure):
    code = "transient"
    outcome = "transient"


class RateLimited(Transient):
    """extra["wait"]: seconds that the provider asks for; 0 where it does not say."""

    code = "rate_limited"


class AgentFailed(RunFailure):
    code = "agent_failed"


class Permanent(RunFailure):
    code = "permanent"


class PolicyViolation(Permanent):
    code = "policy"


class TokenRefused(Permanent):
    code = "token_refused"


class MergeConflict(RunFailure):
    code = "conflict"
    outcome = "conflict"
