"""The session's states before and during the build. Every move is a compare-and-set in one transaction.

    draft → clarifying → review ⇄ approved → building → completed | failed, and cancelled from any open state
"""
import re
import uuid
from typing import Any

from engine.config import Config
from engine.errors import BadRequest, NotFound, WrongState
from engine.git.source import validate_source
from engine.store.db import Database
from engine.tickets import actions, session_states
from engine.tickets.session_rows import SessionRow
from engine.tickets.session_states import EDITABLE, OPEN
from engine.times import NOW
from hitl.card import sample
from hitl.card.coverage import lacking
from hitl.card.review_rule import BY_WORD, word_of
from hitl.card.spec_card import Checked, invalid, validate
from hitl.card.text import text_problems
from hitl.session import questions
from hitl.session.seen_card import Base, present_sha256
from hitl.web import strict_json

NAME_LIMIT, DESCRIPTION_LIMIT = 200, 100_000
BY_HAND = "approved in the database"


def create(db: Database, config: Config, tenant: str, *, project_name: Any, description: Any = "", repository: Any = None,
           review: Any = False, spec_card: Any = None, source: str = "api") -> str:
    """Creates a session -> its id. It is in review if it has a valid card, otherwise a draft. Raises BadRequest or InvalidCard and then creates nothing.

    review: True, False or 'unchecked', the default for its card."""
    check_text("project_name", project_name, NAME_LIMIT)
    check_text("description", description, DESCRIPTION_LIMIT, may_be_empty=True)
    if repository is not None:
        check_text("repository", repository, 1000)
        validate_source(repository, config.repository_roots, config.repository_url, config.repository_protocols)
    review_word = word_of(review)
    checked = None if spec_card is None else validate(spec_card, config)
    session_id = str(uuid.uuid4())
    with db.transaction():
        db.execute("insert into hitl_sessions (id, tenant_id, project_name, description, repository, review, state, spec_card) values (?, ?, ?, ?, ?, ?, ?, ?)",
                   (session_id, tenant, project_name.strip(), description, repository, review_word, "draft" if checked is None else "review",
                    None if checked is None else strict_json.as_given(checked.card)))
        if checked is not None:
            record_version(db, session_id, checked.text, checked.sha256, _source(checked, source))
    return session_id


def check_text(name: str, value: Any, limit: int, may_be_empty: bool = False, lines: bool = False) -> None:
    """Raises BadRequest unless it is text of at most `limit` characters that people can see; `lines`: it may have more than one line."""
    if not isinstance(value, str) or len(value) > limit or not (may_be_empty or value.strip()):
        raise BadRequest(f"{name} must be text of {0 if may_be_empty else 1} to {limit:,} characters.")
    if problems := text_problems(value):
        raise BadRequest(f"{name}: {problems[0]['message']}")
    if not (may_be_empty or lines) and re.search(r"[\n\t]", value):
        raise BadRequest(f"{name} must be one line, without tabs.")


def get(db: Database, tenant: str, session_id: str) -> SessionRow:
    """The row. Raises NotFound for an unknown session and for another tenant's session."""
    row = db.one("select * from hitl_sessions where id = ? and tenant_id = ?", (session_id, tenant), SessionRow)
    if row is None:
        raise NotFound("Session not found")
    return row


def review_of(row: SessionRow) -> bool | str:
    """The session's review setting, used if its card has none: True, False or 'unchecked'."""
    return BY_WORD[row["review"]]


def put_card(db: Database, config: Config, tenant: str, session_id: str, card: Any, source: str = "api", base: Base | None = None) -> dict[str, Any]:
    """Saves a new version of the card and moves the session to review -> {version, sha256, warnings}. The same card again keeps its version.

    `source` says who wrote it, `base` which card was changed. Raises NotFound, WrongState (card_changed if it is another card now), InvalidCard."""
    editable(get(db, tenant, session_id))
    checked = validate(card, config)
    with db.transaction():
        row = editable(get(db, tenant, session_id))
        (base or Base()).check(db, row, card)
        version = store_card(db, row, checked, source)
        session_states.move(db, session_id, row["state"], "review")
    return {"version": version, "sha256": checked.sha256, "warnings": checked.warnings}


def editable(row: SessionRow) -> SessionRow:
    """The row. Raises WrongState if this session's card can no longer be changed."""
    _expect(row, EDITABLE, "The card cannot be changed")
    return row


def current_card(row: SessionRow) -> Any:
    """The stored card, parsed. Raises InvalidCard with path "" if there is no card, or if someone edited it into text that is not JSON."""
    if row["spec_card"] is None:
        raise invalid([{"path": "", "message": "This session has no spec card yet."}])
    try:
        return strict_json.parse(row["spec_card"].encode("utf-8"))
    except BadRequest as error:
        raise invalid([{"path": "", "message": error.sentence}]) from None


def current_sha256(row: SessionRow) -> str:
    """The hash of the stored card, whoever wrote it. Raises the same errors as current_card."""
    return strict_json.sha256(current_card(row))


def record_version(db: Database, session_id: str, card: str, sha256: str, source: str) -> int:
    """Records another version of the card as the session's version -> its number. `card` is canonical JSON."""
    version = int(db.value("select coalesce(max(version), 0) + 1 from spec_versions where session_id = ?", (session_id,)))
    db.execute("insert into spec_versions (session_id, version, card, sha256, source) values (?, ?, ?, ?, ?)",
               (session_id, version, card, sha256, source))
    db.execute("update hitl_sessions set spec_version = ?, spec_sha256 = ? where id = ?", (version, sha256, session_id))
    return version


def store_card(db: Database, row: SessionRow, checked: Checked, source: str) -> int:
    """Stores the session's card, inside a transaction that has read the row -> its version, a new one unless the card is the same.

    This withdraws the open question if the card now covers its topic."""
    if row["spec_version"] > 0 and row["spec_sha256"] == checked.sha256 == present_sha256(row):
        return int(row["spec_version"])
    db.execute(f"update hitl_sessions set spec_card = ?, updated_at = {NOW} where id = ?", (strict_json.as_given(checked.card), row["id"]))
    version = record_version(db, row["id"], checked.text, checked.sha256, _source(checked, source))
    questions.withdraw_covered(db, row["id"], lacking(checked.card, row["repository"]))
    return version


def _source(checked: Checked, source: str) -> str:
    return "sample" if checked.sha256 == sample.sha256() else source


def approve(db: Database, tenant: str, session_id: str, spec_sha256: Any) -> None:
    """review → approved, only for the card with this hash. Raises BadRequest without a hash, NotFound, WrongState with both hashes or with
    the number of an open question."""
    if not isinstance(spec_sha256, str) or not re.fullmatch(r"[0-9a-f]{64}", spec_sha256):
        raise BadRequest("spec_sha256 is required: the hash of the card that you looked at (64 hexadecimal digits).")
    with db.transaction():
        row = get(db, tenant, session_id)
        _expect(row, ("review",), "Only a session in review can be approved")
        if (number := questions.open_number(db, session_id)) is not None:
            raise WrongState(f"Question {number} is open. Answer or skip it, then approve.", code="question_open", currentState=row["state"],
                             since=row["updated_at"], question=number)
        check_hash(row, current_sha256(row), spec_sha256)
        if row["spec_sha256"] != spec_sha256:  # someone edited it with the sqlite3 shell while it was in review
            record_version(db, session_id, strict_json.canonical(current_card(row)), spec_sha256, BY_HAND)
        session_states.move(db, session_id, "review", "approved", approved_sha256=spec_sha256, approved_at=db.value(f"select {NOW}"))


def check_hash(row: SessionRow, present: str, given: Any) -> None:
    """Raises WrongState if the client looked at another card than the current one."""
    if given != present:
        raise WrongState("The card has changed since you looked at it. Load it again, then decide.", currentState=row["state"],
                         since=row["updated_at"], spec_sha256=present, given_sha256=given)


def reopen(db: Database, tenant: str, session_id: str) -> None:
    """approved → review. Raises NotFound, WrongState."""
    with db.transaction():
        _expect(get(db, tenant, session_id), ("approved",), "Only an approved session can be reopened")
        session_states.move(db, session_id, "approved", "review", approved_sha256=None, approved_at=None)


def cancel(db: Database, tenant: str, session_id: str, reason: str = "Cancelled by hand.") -> None:
    """Any open state → cancelled, together with the open tickets. Idempotent. Raises NotFound, WrongState for a session that has ended."""
    check_text("reason", reason, 1000)
    with db.transaction():
        row = get(db, tenant, session_id)
        if row["state"] == "cancelled":
            return
        _expect(row, OPEN, "A session that has ended cannot be cancelled")
        session_states.move(db, session_id, row["state"], "cancelled", reason=reason)
        questions.withdraw(db, session_id)
        actions.cancel_session(db, session_id, reason)


def pause(db: Database, tenant: str, session_id: str) -> None:
    """Pauses the build: nothing new starts, and current runs continue. Idempotent. Raises NotFound, WrongState."""
    with db.transaction():
        row = get(db, tenant, session_id)
        _expect(row, ("building",), "Only a build can be paused")
        if not row["paused"]:
            actions.pause_session(db, session_id)


def resume(db: Database, tenant: str, session_id: str) -> None:
    """Resumes the build. Idempotent. Raises NotFound, WrongState."""
    with db.transaction():
        row = get(db, tenant, session_id)
        _expect(row, ("building",), "Only a build can be resumed")
        if row["paused"]:
            actions.resume_session(db, session_id)


def _expect(row: SessionRow, states: tuple[str, ...], sentence: str) -> None:
    if row["state"] not in states:
        raise WrongState(f"{sentence}. This one has been {row['state']} since {row['updated_at']}.", currentState=row["state"], since=row["updated_at"])
