"""Types of the rows of a session, its journal and the engine. Rows of a build: rows.py."""
from typing import Literal, TypedDict

SessionState = Literal["draft", "clarifying", "review", "approved", "building", "completed", "failed", "cancelled"]
ReviewWish = Literal["true", "false", "unchecked"]
Isolation = Literal["required", "waived"]
Topic = Literal["goal", "features", "acceptance", "scope", "technical", "repository", "checks", "risks"]
QuestionState = Literal["open", "answered", "assumed", "withdrawn"]
AmendmentState = Literal["proposed", "approved", "discarded"]


class CounterRow(TypedDict):
    name: str
    value: int


class EngineStateRow(TypedDict):
    id: int
    paused: int
    reason: str | None


class SessionRow(TypedDict):
    seq: int
    id: str
    tenant_id: str
    project_name: str
    description: str
    state: SessionState
    spec_card: str | None
    repository: str | None
    review: ReviewWish
    spec_version: int
    spec_sha256: str | None
    approved_sha256: str | None
    approved_at: str | None
    paused: int
    isolation: Isolation
    budget_raises: int
    reason: str | None
    created_at: str
    updated_at: str
    repository_id: str | None


class SpecVersionRow(TypedDict):
    session_id: str
    version: int
    card: str
    sha256: str
    source: str
    created_at: str


class MessageRow(TypedDict):
    seq: int
    tenant_id: str
    session_id: str
    body: str
    from_version: int
    to_version: int
    created_at: str


class QuestionRow(TypedDict):
    session_id: str
    number: int
    tenant_id: str
    topic: Topic
    body: str
    options: str
    state: QuestionState
    answer: str | None
    answered_by: str | None
    answered_at: str | None
    from_version: int | None
    to_version: int | None
    created_at: str


class AmendmentRow(TypedDict):
    seq: int
    tenant_id: str
    session_id: str
    base_sha256: str
    delta: str
    card: str
    sha256: str
    state: AmendmentState
    version: int | None
    decided_by: str | None
    decided_at: str | None
    created_at: str


class EventRow(TypedDict):
    seq: int
    at: str
    kind: str
    tenant_id: str
    session_id: str | None
    ticket_id: str | None
    run_id: str | None
    from_state: str | None
    to_state: str
