"""The schemas of requests and answers, by name. Tickets and runs are rows, and they have more columns than these."""
from typing import Any

from hitl.api.openapi.operations import ref
from hitl.api.openapi.shapes import BOOLEAN, INTEGER, REVIEW, SHA256, TEXT, TIME, listed, maybe, one_of, open_shape, options, shape
from hitl.card.coverage import LABELS
from hitl.card.shape import SCHEMA

AT_BASE = ("not_run", "red", "green", "cannot_run", "flaky", "waived")
SESSION_STATES = ("draft", "clarifying", "review", "approved", "building", "completed", "failed", "cancelled")
TICKET_STATES = ("pending", "blocked", "ready", "claimed", "running", "needs_input", "in_review", "completed", "failed", "cancelled")
RUN_KINDS = ("prepare", "feature", "recheck", "integrate", "deliver", "resolve", "plan", "baseline", "setup", "install", "hello")
_COUNTS = {"type": "object", "additionalProperties": INTEGER}
_WAITING = {**maybe(TEXT), "description": "Builds of other tenants that wait until SWARM_TENANTS names them"}
_SUMMARY = {
    "id": TEXT, "project_name": TEXT, "description": TEXT, "state": one_of(*SESSION_STATES), "paused": BOOLEAN,
    "progress": {"type": "integer", "minimum": 0, "maximum": 100},
    "tickets": {**shape(total=INTEGER, by_status=_COUNTS), "description": "The features, counted by status; the epic is none"},
    "requests": {**INTEGER, "description": "How many wait for you"}, "reason": maybe(TEXT), "created_at": TIME, "updated_at": TIME,
}
_VERSION = {"version": INTEGER, "sha256": SHA256}
_WARNINGS = listed(ref("Problem"))
_CHANGES = listed(ref("Change"))
_QUESTIONS = {"questions": listed(ref("Question")), "open": maybe(INTEGER), "most": INTEGER,
              "coverage": listed(shape(topic=one_of(*LABELS), label=TEXT, state=one_of("covered", "assumed", "open", "lacking")))}


def _spec_card() -> dict[str, Any]:
    """spec_card.schema.json, with its definitions as separate schemas."""
    text = {name: value for name, value in SCHEMA.items() if name not in ("$schema", "$defs", "title")}
    features = {**text["properties"]["features"], "items": ref("Feature")}
    return {**text, "properties": {**text["properties"], "features": features}}


def _feature() -> dict[str, Any]:
    feature = SCHEMA["$defs"]["feature"]
    criteria = {**feature["properties"]["acceptance_criteria"], "items": SCHEMA["$defs"]["criterion"]}
    return {**feature, "properties": {**feature["properties"], "acceptance_criteria": criteria}}


_NUMBER: dict[str, Any] = {"type": "number"}
_USED = {
    "requests": INTEGER, "input": INTEGER, "output": INTEGER, "cache_read": INTEGER, "cache_write": INTEGER, "total": {**INTEGER, "description": "Tokens"},
    "money": {**maybe(_NUMBER), "description": "By the price table; null if no price is known"},
    "currency": {**TEXT, "description": "The currency of the price table"}, "estimated": {**INTEGER, "description": "Replies that did not report their tokens"},
}

_STORAGE = {**listed(TEXT), "description": "What people must know of the database: data that was lost, a restore that was finished"}
SCHEMAS: dict[str, Any] = {
    "SpecCard": _spec_card(),
    "Feature": _feature(),
    "Change": {**shape(path=TEXT, kind=one_of("added", "removed", "changed", "moved"), before={}, after={}),
               "description": "A path belongs to the later card; the path of a removed value belongs to the earlier card. "
                              "For a moved feature, before and after are places, from 1."},
    "SessionSummary": shape(**_SUMMARY),
    "SessionList": shape(sessions=listed(ref("SessionSummary")), next=maybe(INTEGER)),
    "Session": shape(
        **_SUMMARY, spec_card={}, spec_version=INTEGER, spec_sha256=maybe(SHA256), approved_sha256=maybe(TEXT), approved_at=maybe(TIME),
        warnings=_WARNINGS, isolation=one_of("required", "waived"), given_repository=maybe(TEXT), review=REVIEW, epic_id=maybe(TEXT), pr_url=maybe(TEXT),
        open_question=maybe(INTEGER), usage=ref("SessionUsage"),
        fetching={**maybe(TEXT), "description": "How far the fetch of the repository is, while a run fetches it"},
        repository=maybe(shape(clone=TEXT, branch=maybe(TEXT), gone={**maybe(TEXT), "description": "Why there is no result any more"}))),
    "Started": shape(success={"const": True}, state={"const": "building"}, epic_id=TEXT, ticket_ids=listed(TEXT), ticket_count=INTEGER, message=TEXT,
                     warnings={**_WARNINGS, "description": "What is known of the repository. What must be done first, the epic asks"}),
    "Repository": shape(
        repository=maybe(TEXT), base_branch=maybe(TEXT), sentence={**TEXT, "description": "Why a build cannot start, and what to do"}, notes=listed(TEXT),
        state=one_of("new", "not_allowed", "looking", "usable", "empty", "no_branch", "not_there", "unreachable", "refused", "unsupported", "damaged"),
        branch=maybe(TEXT), head=maybe(TEXT), branches=INTEGER, detached=BOOLEAN, shallow=BOOLEAN, partial=BOOLEAN, linked=BOOLEAN, format=maybe(TEXT),
        bytes=maybe(INTEGER)),
    "Question": shape(
        number=INTEGER, topic=one_of(*LABELS), body=TEXT, options=listed(TEXT), recommended=maybe(TEXT),
        state=one_of("open", "answered", "assumed", "withdrawn"), answer=maybe(TEXT), answered_by=maybe(TEXT), answered_at=maybe(TIME),
        from_version=maybe(INTEGER), to_version=maybe(INTEGER), created_at=TIME, changes=_CHANGES),
    "Questions": shape(**_QUESTIONS),
    "Conversation": shape(state=one_of(*SESSION_STATES), version=INTEGER, messages=listed(shape(
        seq=INTEGER, body=TEXT, from_version=INTEGER, to_version=INTEGER, created_at=TIME, changes=_CHANGES)), **_QUESTIONS),
    "Card": shape(**_VERSION, spec_card={}, warnings=_WARNINGS),
    "Saved": shape(**_VERSION, warnings=_WARNINGS),
    "Changed": shape(**_VERSION, warnings=_WARNINGS, changes=_CHANGES),
    "Drafted": shape(**_VERSION, warnings=_WARNINGS, changes=_CHANGES, drafter=one_of("template", "model"), fallback=maybe(TEXT)),
    "Versions": shape(versions=listed(shape(**_VERSION, source=TEXT, created_at=TIME, features=maybe(INTEGER), approved=BOOLEAN))),
    "Version": shape(**_VERSION, source=TEXT, created_at=TIME, spec_card=ref("SpecCard")),
    "Diff": shape(**{"from": INTEGER, "to": INTEGER, "changes": _CHANGES}),
    "Delta": shape(add=listed({"type": "object"}), change=listed(shape(ticket=TEXT, set={"type": "object"})), drop=listed(TEXT)),
    "Amendment": shape(
        seq=INTEGER, state=one_of("proposed", "approved", "discarded"), sha256=SHA256, base_sha256=SHA256, delta=ref("Delta"), changes=_CHANGES,
        version=maybe(INTEGER), started=listed(shape(ticket=TEXT, status=TEXT)), decided_by=maybe(TEXT), decided_at=maybe(TIME), created_at=TIME),
    "Amendments": shape(amendment=maybe(ref("Amendment")), history=listed(ref("Amendment"))),
    "Ticket": open_shape(
        id=TEXT, session_id=TEXT, type=one_of("epic", "feature", "task", "bug"), title=TEXT, description=TEXT, acceptance_criteria={"type": "array"},
        status=one_of(*TICKET_STATES), parent_id=maybe(TEXT), assigned_vm=maybe(TEXT), branch_name=maybe(TEXT), pr_url=maybe(TEXT),
        position=INTEGER, priority=INTEGER, run_no=INTEGER, failures=INTEGER, reason=maybe(TEXT), depends_on=listed(TEXT), created_at=TIME,
        updated_at=TIME),
    "TicketWithRun": {"allOf": [ref("Ticket"), open_shape(
        run=maybe(ref("Run")), checks={"type": "array"}, project_name=TEXT, dependents=listed(TEXT), usage=ref("Usage"), steers=listed(ref("Steer")),
        requests=listed(ref("Request")))]},
    "Tickets": shape(tickets=listed(ref("Ticket"))),
    "Run": open_shape(id=TEXT, ticket_id=maybe(TEXT), session_id=maybe(TEXT), kind=one_of(*RUN_KINDS), state=TEXT,
                      owner_kind=one_of("ticket", "session", "repository", "installation"), owner_id=TEXT, run_no=INTEGER,
                      outcome=maybe(TEXT), reason=maybe(TEXT), checks={"type": "array"}, phases={"type": "object"},
                      usage=maybe(options(**_USED)), created_at=TIME, started_at=maybe(TIME), ended_at=maybe(TIME)),
    "Usage": open_shape(runs=INTEGER, unpriced={**INTEGER, "description": "Runs that used a model without a price"}, refused=INTEGER, sent=INTEGER,
                        received=INTEGER, **_USED),
    "SessionUsage": {"allOf": [ref("Usage"), open_shape(budget={
        **shape(tokens=maybe(INTEGER), money=maybe(_NUMBER), raises=INTEGER), "description": "null: no limit; raises: how often it was raised"})]},
    "Steer": shape(seq=INTEGER, kind=one_of("message", "edited", "waived", "stopped"), body=TEXT, created_at=TIME,
                   told={**maybe(INTEGER), "description": "For a message: the number of the first run that got it"},
                   late={**BOOLEAN, "description": "No run got it, and the ticket is merged or dropped"}, note=TEXT),
    "Evidence": shape(counts=shape(passed=INTEGER, failed=INTEGER, waiting=INTEGER, waived=INTEGER, unchecked=INTEGER), next=maybe(INTEGER),
                      tickets=listed(shape(
        seq=INTEGER, ticket=TEXT, type=TEXT, title=TEXT, status=one_of(*TICKET_STATES), run=maybe(TEXT), criteria=listed(shape(
            number=INTEGER, text=TEXT, command=TEXT, state=one_of("passed", "failed", "waiting", "waived", "unchecked"), exit=maybe(INTEGER),
            seconds=maybe(_NUMBER), waived=TEXT, former=INTEGER,
            before={**maybe(one_of(*AT_BASE)), "description": "What its command said before any work; null in a repository of the session's own"}))))),
    "Baseline": shape(
        state=one_of("none", "not_run", "waiting", "running", "done", "failed"), reason={**TEXT, "description": "A sentence, if something is wrong or waits"},
        base_sha=maybe(TEXT), environment={**maybe(TEXT), "description": "Key of the environment that the checks stood on"},
        repository={**maybe(TEXT), "description": "Its id, once somebody has used it"},
        run={**maybe(TEXT), "description": "The newest baseline run"}, done=INTEGER, total=INTEGER, checks=listed(shape(
            path={**TEXT, "description": "The place in the card; during a build, the ticket"}, text=TEXT, command=TEXT, result=one_of(*AT_BASE),
            exit=maybe(INTEGER), output=TEXT, seconds=maybe(_NUMBER)))),
    "Asked": {**shape(
        run=maybe(TEXT), next={**maybe(INTEGER), "description": "The value for after"}, total=INTEGER, refused=INTEGER, recorded=INTEGER,
        requests=listed(shape(number=INTEGER, at=TEXT, side=TEXT, method=TEXT, host=TEXT, path=TEXT, allowed=BOOLEAN, why=TEXT, status=INTEGER,
                              model=TEXT, tokens=INTEGER, sent=INTEGER, received=INTEGER, seconds=_NUMBER))),
        "description": "side: model or egress. Hosts, paths and models come from the sandbox"},
    "Runs": shape(runs=listed(ref("Run"))),
    "Request": open_shape(seq=INTEGER, session_id=maybe(TEXT), ticket_id=maybe(TEXT), kind=TEXT, body=TEXT, options=listed(TEXT), state=TEXT,
                          answer=maybe(TEXT), answered_by=maybe(TEXT), answered_at=maybe(TIME), created_at=TIME),
    "Deliveries": shape(deliveries=listed(open_shape(
        ticket_id=TEXT, state=one_of("intended", "pushed", "opened", "delivered", "watched", "done", "merged", "closed", "dropped"), repository=TEXT,
        branch=TEXT, base_branch=maybe(TEXT), tip_sha=TEXT, pushed_sha=maybe(TEXT), forge=maybe(TEXT), number=maybe(INTEGER), pr_url=maybe(TEXT),
        waiting=maybe(TEXT), reason=maybe(TEXT), created_at=TIME, updated_at=TIME,
        not_taken_up=shape(people=listed(shape(head=TEXT, text=TEXT, why=TEXT)), more=INTEGER, bots={"type": "object", "additionalProperties": INTEGER})))),
    "Requests": shape(requests=listed(ref("Request"))),
    "Board": open_shape(session_id=TEXT, epic=maybe({"type": "object"}), branch=maybe(TEXT), counts=_COUNTS, total=INTEGER, done=INTEGER,
                        columns=listed(open_shape(key=TEXT, title=TEXT, who=TEXT, mine=BOOLEAN, tickets=listed({"type": "object"})))),
    "Events": shape(events=listed(shape(**{"seq": INTEGER, "at": TIME, "kind": TEXT, "session": maybe(TEXT), "ticket": maybe(TEXT), "run": maybe(TEXT),
                                           "from": maybe(TEXT), "to": TEXT})), next=INTEGER, oldest=INTEGER, newest=INTEGER),
    "Log": shape(run=maybe(TEXT), text=TEXT, size=INTEGER, next=INTEGER),
    "TicketDiff": shape(ticket=TEXT, base=maybe(TEXT), tip=maybe(TEXT), diff=TEXT,
                        files=listed(open_shape(path=TEXT, added=maybe(INTEGER), removed=maybe(INTEGER)))),
    "Comment": shape(
        seq=INTEGER, tip={**TEXT, "description": "The commit of the comment"}, path=TEXT, side=one_of("L", "R"), line=INTEGER, anchor=TEXT, quoted=TEXT,
        body=TEXT, state=one_of("draft", "sent"), now={**maybe(INTEGER), "description": "The line's number in the current change"},
        outdated={**BOOLEAN, "description": "The line has changed since then"}, created_at=TIME, sent_at=maybe(TIME)),
    "Comments": shape(tip=maybe(TEXT), comments=listed(ref("Comment"))),
    "Review": shape(
        ticket=TEXT, status=one_of(*TICKET_STATES), base=maybe(TEXT), tip=maybe(TEXT), since=maybe(TEXT), comments=listed(ref("Comment")),
        reviewed={**listed(TEXT), "description": "Commits that were reviewed before, oldest first"},
        will={**TEXT, "description": "What approving does, as a sentence"},
        files=listed(shape(path=TEXT, old_path=maybe(TEXT), change=one_of("changed", "new", "deleted", "renamed", "copied"), added=INTEGER,
                           removed=INTEGER, rows=INTEGER, folded=maybe(one_of("generated", "binary", "large")), notes=listed(TEXT), viewed=BOOLEAN))),
    "Engine": open_shape(engine=one_of("here", "elsewhere", "off"), paused=BOOLEAN, reason=maybe(TEXT), slots=INTEGER, busy=INTEGER,
                         notice={**maybe(TEXT), "description": "Active runs that another version of the program started"}, storage=_STORAGE,
                         waiting=_WAITING, last_tick_age={"type": ["number", "null"]}, errors={"type": "array"}, runs=listed(ref("Run")),
                         runtimes=listed({"type": "object"}), agents=listed({"type": "object"}), settings=listed({"type": "object"})),
    "Health": open_shape(status={"const": "ok"}, engine=one_of("here", "elsewhere", "off"), last_tick_age={"type": ["number", "null"]},
                         storage=_STORAGE, waiting=_WAITING),
}
