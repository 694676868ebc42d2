"""Review of a change before it is merged: comments on its lines, which are drafts until the review is sent, and viewed files.

Everything belongs to one commit, which the reviewer saw. A comment's line has a name like auth.py-R42: R is the line after the change, L before it."""

from engine.errors import BadRequest, NotFound, WrongState
from engine.store.db import Database
from engine.text import printable
from engine.tickets.rows import ReviewCommentRow, TicketRow
from engine.tickets.states import get
from engine.times import NOW

SIDES = {"L": "before the change", "R": "after the change"}
MOST_DRAFTS = 200
BODY_LIMIT = 10_000     # characters of a comment
QUOTED_LIMIT = 1_000    # of the commented line
PROMPT_LIMIT = 60_000   # of all comments in a prompt; the newest are kept


def tip_of(db: Database, ticket_id: str) -> str | None:
    """The commit that is in review, or was in review last."""
    tip = db.value("select tip_sha from runs where ticket_id = ? and outcome = 'in_review' order by seq desc limit 1", (ticket_id,))
    return None if tip is None else str(tip)


def in_review(db: Database, tenant: str, ticket_id: str, tip: str | None = None) -> TicketRow:
    """The row of a ticket in review. tip: the commit that must be in review, if given. Raises NotFound, WrongState."""
    ticket = get(db, tenant, ticket_id)
    state = {"currentState": ticket["status"], "since": ticket["updated_at"]}
    if ticket["status"] != "in_review":
        raise WrongState(f"{ticket_id} is not in review: it is {ticket['status'].replace('_', ' ')}.", **state)
    now = tip_of(db, ticket_id)
    if tip is not None and tip != (now or ""):
        raise WrongState(f"{ticket_id} has changed: commit {(now or 'none')[:12]} is in review now, not the one that you saw. Look at it first.",
                         code="tip_moved", tip=now, **state)
    return ticket


def save_draft(db: Database, tenant: str, ticket_id: str, *, tip: str, path: str, side: str, line: int, quoted: str, body: str) -> int:
    """Saves a draft on one line, or replaces the draft there -> its seq. Raises BadRequest, NotFound, WrongState."""
    if not body.strip() or len(body) > BODY_LIMIT:
        raise BadRequest(f"A comment must have 1 to {BODY_LIMIT:,} characters.")
    with db.transaction():
        in_review(db, tenant, ticket_id, tip)
        if db.value("select count(*) from review_comments where ticket_id = ? and tip_sha = ? and state = 'draft'", (ticket_id, tip)) >= MOST_DRAFTS:
            raise BadRequest(f"This change already has {MOST_DRAFTS} drafts. Send them first.")
        return int(db.execute(
            "insert into review_comments (tenant_id, ticket_id, tip_sha, path, side, line, quoted, body) values (?, ?, ?, ?, ?, ?, ?, ?)"
            f" on conflict (ticket_id, tip_sha, path, side, line) where state = 'draft' do update set body = excluded.body, created_at = {NOW}"
            " returning seq", (tenant, ticket_id, tip, path, side, line, quoted[:QUOTED_LIMIT], body.strip())).fetchall()[0][0])


def discard(db: Database, tenant: str, ticket_id: str, seq: int) -> None:
    """Deletes a draft. Raises NotFound; WrongState for a comment that was sent."""
    with db.transaction():
        row = db.one("select state, sent_at from review_comments where seq = ? and ticket_id = ? and tenant_id = ?", (seq, ticket_id, tenant), ReviewCommentRow)
        if row is None:
            raise NotFound("Comment not found")
        if row["state"] != "draft":
            raise WrongState("This comment was already sent with a review, so it cannot be deleted.", currentState="sent", since=row["sent_at"])
        db.execute("delete from review_comments where seq = ?", (seq,))


def set_viewed(db: Database, tenant: str, ticket_id: str, tip: str, path: str, viewed: bool) -> None:
    """Raises NotFound, WrongState."""
    with db.transaction():
        in_review(db, tenant, ticket_id, tip)
        if viewed:
            db.execute("insert or ignore into review_viewed (ticket_id, tip_sha, path) values (?, ?, ?)", (ticket_id, tip, path))
        else:
            db.execute("delete from review_viewed where ticket_id = ? and tip_sha = ? and path = ?", (ticket_id, tip, path))


def send(db: Database, ticket_id: str, tip: str | None) -> int:
    """Sends the drafts on this commit, inside the transaction that sends the ticket back. -> their number"""
    return db.execute(f"update review_comments set state = 'sent', sent_at = {NOW} where ticket_id = ? and tip_sha = ? and state = 'draft'",
                      (ticket_id, tip)).rowcount


def told(db: Database, ticket_id: str) -> list[str]:
    """Sent comments, oldest first, each with its place and the commented line: foreign text, for a prompt."""
    found: list[str] = []
    left = PROMPT_LIMIT
    for row in db.all("select * from review_comments where ticket_id = ? and state = 'sent' order by seq desc", (ticket_id,), ReviewCommentRow):
        text = (f"{printable(row['path'])}, line {row['line']} {SIDES[row['side']]}, at commit {row['tip_sha'][:12]}:\n"
                f"> {printable(row['quoted'])}\n{row['body']}")
        left -= len(text)
        if left < 0:
            break
        found.append(text)
    return found[::-1]
