"""Types of the rows of a repository. schema.sql is the source; tests/engine/test_rows.py compares the two."""
from typing import Literal, TypedDict

RepositoryState = Literal["unknown", "reachable", "unreachable"]
StepsSource = Literal["page", "workflow", "detected"]
VersionState = Literal["proposed", "approved", "replaced"]
EnvironmentState = Literal["building", "ready", "failed", "removed"]
CheckOnBase = Literal["red", "green", "cannot_run", "flaky"]


class RepositoryRow(TypedDict):
    seq: int
    id: str
    tenant_id: str
    source: str
    url: str
    name: str
    default_branch: str | None
    state: RepositoryState
    reason: str | None
    settings: str
    looked_at: str | None
    created_at: str
    updated_at: str


class EnvironmentVersionRow(TypedDict):
    seq: int
    tenant_id: str
    repository_id: str
    steps: str
    sha256: str
    source: StepsSource
    found: str
    state: VersionState
    approved_by: str | None
    approved_at: str | None
    created_at: str


class EnvironmentRow(TypedDict):
    seq: int
    tenant_id: str
    repository_id: str
    key: str
    sha256: str
    ticket_id: str | None
    commit_sha: str
    state: EnvironmentState
    reason: str | None
    seconds: float | None
    bytes: int | None
    built_at: str | None
    used_at: str | None
    run_id: str | None
    created_at: str


class BaselineRow(TypedDict):
    seq: int
    tenant_id: str
    repository_id: str
    base_sha: str
    environment_key: str
    command: str
    result: CheckOnBase
    exit: int | None
    output: str
    seconds: float
    run_id: str | None
    created_at: str
