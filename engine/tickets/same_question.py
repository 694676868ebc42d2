"""Questions of runs that need no new answer: another ticket of the session asked the same, or nobody answered for a set time."""
import json
import re

from engine.log import event
from engine.store.db import Database
from engine.text import stored
from engine.tickets import requests
from engine.tickets.rows import RequestRow, TicketRow
from engine.times import NOW, utc

ASSUMED = "assumption"  # answered_by begins so, when nobody answered: not for this ticket, and not for the one whose answer it got
OF_ANOTHER = "the answer to "  # answered_by begins so, when the answer was given to another ticket
MOST_GIVEN = 10         # answers in a row that a ticket gets without a person; then it waits for one


def key(question: str, options: list[str]) -> tuple[str, frozenset[str]]:
    """Key of a question. Questions are the same if their words are the same (without case and punctuation), and their options, in any order."""
    def words(text: str) -> str:
        return " ".join(re.findall(r"\w+", text.casefold()))
    return words(question), frozenset(map(words, options))


def earlier_answer(db: Database, session_id: str, ticket_id: str, question: str, options: list[str]) -> RequestRow | None:
    """The answered request of another ticket of this session with the same question, or None. None too for a ticket that asks without end."""
    if _asks_without_end(db, ticket_id):
        return None
    wanted = key(question, options)
    return next((row for row in db.all("select * from requests where session_id = ? and ticket_id <> ? and kind = 'question' and state = 'answered'"
                                       " order by seq", (session_id, ticket_id), RequestRow) if _key_of(row) == wanted), None)


def answer_alike(db: Database, answered: RequestRow, text: str) -> None:
    """Gives an answer also to the same open question of other tickets. answered: the row of the answered request."""
    for row in db.all("select * from requests where session_id = ? and seq <> ? and kind = 'question' and state = 'open' order by seq",
                      (answered["session_id"], answered["seq"]), RequestRow):
        if _key_of(row) == _key_of(answered):
            requests.close_question(db, row, text, as_for(answered))


def as_for(row: RequestRow) -> str:
    """Text for answered_by, when the answer was given to another ticket, or assumed for it."""
    return f"{ASSUMED}, as for {row['ticket_id']}" if is_assumed(row["answered_by"]) else f"{OF_ANOTHER}{row['ticket_id']}"


def is_assumed(answered_by: str | None) -> bool:
    """Whether an answer is the first option because nobody answered in time. answered_by: of the request."""
    return str(answered_by or "").startswith(ASSUMED)


def assume_overdue(db: Database, seconds: float) -> None:
    """Answers each question that has waited this long with its first, recommended option. seconds 0: questions wait forever. So do those of a ticket
    that asks without end."""
    if not seconds:
        return
    overdue = db.all("select * from requests where state = 'open' and kind = 'question' and options <> '[]' and created_at < ?"
                     " and ticket_id not in (select id from tickets where type = 'epic')",  # nothing is assumed about somebody's repository
                     (utc(after=-seconds),), RequestRow)
    for row in overdue:
        with db.transaction():
            if db.value("select state from requests where seq = ?", (row["seq"],)) == "open" and not _asks_without_end(db, row["ticket_id"]):
                option = str(next(iter(stored(row["options"], [])), ""))
                requests.close_question(db, row, option, ASSUMED)
                event("assumed", ticket=row["ticket_id"], answer=option)


def _asks_without_end(db: Database, ticket_id: str | None) -> bool:
    """True if the last MOST_GIVEN answers to a ticket came without a person: each one starts a run, so the next question is for a person."""
    last = db.all("select answered_by from requests where ticket_id = ? and kind = 'question' and state = 'answered' order by seq desc limit ?",
                  (ticket_id, MOST_GIVEN))
    return len(last) == MOST_GIVEN and all(is_assumed(by) or str(by).startswith(OF_ANOTHER) for by, in last)


def record_answered(db: Database, ticket: TicketRow, run_id: str, question: str, options: list[str], earlier: RequestRow) -> None:
    """Stores a question that was answered before, so that it is in the ticket's history and next prompt like any other."""
    db.execute("insert into requests (tenant_id, session_id, ticket_id, run_id, kind, body, options, state, answer, answered_by, answered_at)"
               f" values (?, ?, ?, ?, 'question', ?, ?, 'answered', ?, ?, {NOW})",
               (ticket["tenant_id"], ticket["session_id"], ticket["id"], run_id, question, json.dumps(options, ensure_ascii=False), earlier["answer"],
                as_for(earlier)))


def _key_of(row: RequestRow) -> tuple[str, frozenset[str]]:
    return key(row["body"], [str(option) for option in stored(row["options"], [])])
