"""Types of the rows of a build: one TypedDict per table, and the values that its CHECKs allow. Rows of a session: session_rows.py.

    ticket = db.one("select * from tickets where id = ?", (ticket_id,), TicketRow)

A row with only some columns also has the type of its table: columns that were not selected are missing. schema.sql is the source;
tests/engine/test_rows.py compares the two."""
from typing import Literal, TypedDict

TicketType = Literal["feature", "epic", "task", "bug"]
Status = Literal["pending", "blocked", "ready", "claimed", "running", "needs_input", "in_review", "completed", "failed", "cancelled"]
RunKind = Literal["prepare", "feature", "recheck", "integrate", "deliver", "resolve", "plan", "baseline", "setup", "install", "hello"]
RunState = Literal["intended", "running", "queued", "merging", "ended", "wanted"]
Outcome = Literal["prepared", "merged", "no_change", "integrated", "delivered", "needs_input", "in_review", "conflict", "failed",
                  "transient", "lost", "void", "over_budget", "cancelled", "stale", "brief", "done"]
EpicWaits = Literal["environment", "baseline"]
OwnerKind = Literal["ticket", "session", "repository", "installation"]
RequestKind = Literal["question", "isolation", "budget", "review", "failed", "delivery", "environment", "baseline", "base", "permission"]
RequestState = Literal["open", "answered", "withdrawn"]
Side = Literal["L", "R"]
CommentState = Literal["draft", "sent"]
SteerKind = Literal["message", "edited", "waived", "stopped"]
DeliveryState = Literal["intended", "pushed", "opened", "delivered", "watched", "done", "merged", "closed", "dropped"]
ForgeName = Literal["github", "gitlab"]
DeliveryWaits = Literal["person", "token"]
FactKind = Literal["merged", "closed", "ci", "remark"]


class TicketRow(TypedDict):
    seq: int
    id: str
    session_id: str
    tenant_id: str
    type: TicketType
    title: str
    description: str
    acceptance_criteria: str
    status: Status
    parent_id: str | None
    assigned_vm: str | None
    branch_name: str | None
    pr_url: str | None
    position: int
    priority: int
    agent: str | None
    supplied: int
    review: int
    approved_tip: str | None
    run_no: int
    failures: int
    conflicts: int
    transients: int
    not_before: str | None
    claim_token: str | None
    claimed_by: str | None
    base_sha: str | None
    merged_sha: str | None
    reason: str | None
    created_at: str
    updated_at: str
    waits_for: EpicWaits | None
    environment: str | None


class DependencyRow(TypedDict):
    ticket_id: str
    depends_on: str


class RunColumns(TypedDict):
    seq: int
    id: str
    tenant_id: str
    kind: RunKind
    state: RunState
    claim_token: str
    claimed_by: str
    run_no: int
    runtime: str | None
    agent: str | None
    base_sha: str | None
    tip_sha: str | None
    merge_group: int | None
    checked_by: str | None
    outcome: Outcome | None
    reason: str | None
    detail: str | None
    checks: str | None
    phases: str | None
    vm: str | None
    said: str | None
    usage: str | None
    created_at: str
    started_at: str | None
    ended_at: str | None
    owner_kind: OwnerKind
    owner: str | None
    owner_id: str
    task: str | None
    cancelled: int
    environment: str | None


class RunRow(RunColumns):
    """A run of a ticket."""

    ticket_id: str
    session_id: str


class OwnedRunRow(RunColumns):
    """Any run; also one that belongs to a session, a repository or the installation."""

    ticket_id: str | None
    session_id: str | None


class RequestColumns(TypedDict):
    seq: int
    tenant_id: str
    ticket_id: str | None
    run_id: str | None
    kind: RequestKind
    body: str
    options: str
    state: RequestState
    answer: str | None
    answered_by: str | None
    answered_at: str | None
    created_at: str
    owner_kind: OwnerKind
    owner: str | None
    owner_id: str


class RequestRow(RequestColumns):
    """A request of a session."""

    session_id: str


class OwnedRequestRow(RequestColumns):
    """Any request; also one that belongs to a repository or the installation."""

    session_id: str | None


class TurnRow(TypedDict):
    tenant_id: str
    session_id: str


class ReviewCommentRow(TypedDict):
    seq: int
    tenant_id: str
    ticket_id: str
    tip_sha: str
    path: str
    side: Side
    line: int
    quoted: str
    body: str
    state: CommentState
    created_at: str
    sent_at: str | None


class ReviewViewedRow(TypedDict):
    ticket_id: str
    tip_sha: str
    path: str


class SteerRow(TypedDict):
    seq: int
    tenant_id: str
    session_id: str
    ticket_id: str
    kind: SteerKind
    body: str
    created_at: str


class DeliveryRow(TypedDict):
    seq: int
    tenant_id: str
    session_id: str
    ticket_id: str
    state: DeliveryState
    repository: str
    branch: str
    base_branch: str | None
    tip_sha: str
    pushed_sha: str | None
    forge: ForgeName | None
    project: str | None
    number: int | None
    pr_url: str | None
    waiting: DeliveryWaits | None
    approved_sha: str | None
    cleared_sha: str | None
    tries: int
    rounds: int
    not_before: str | None
    reason: str | None
    created_at: str
    updated_at: str
    ready_number: int | None


class ForgeFactRow(TypedDict):
    seq: int
    delivery: int
    fingerprint: str
    kind: FactKind
    body: str
    ticket_id: str | None
    acted_at: str | None
    told_at: str | None
    created_at: str
