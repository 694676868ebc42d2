"""Questions of runs that need no new answer: another ticket of the session asked the same, or nobody answered for a set time."""
import json
import re

from engine.log import event
from engine.store.db import Database
from engine.tickets import requests
from engine.tickets.rows import RequestRow, TicketRow
from engine.times import NOW, utc

ASSUMED = "assumption"  # answered_by, when nobody answered


def key(question: str, options: list[str]) -> tuple[str, frozenset[str]]:
    """Key of a question. Questions are the same if their words are the same (without case and punctuation), and their options, in any order."""
    def words(text: str) -> str:
        return " ".join(re.findall(r"\w+", text.casefold()))
    return words(question), frozenset(map(words, options))


def earlier_answer(db: Database, session_id: str, ticket_id: str, question: str, options: list[str]) -> RequestRow | None:
    """The answered request of another ticket of this session with the same question, or None."""
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
    """Text for answered_by, when the answer was given to another ticket."""
    return f"the answer to {row['ticket_id']}"


def assume_overdue(db: Database, seconds: float) -> None:
    """Answers each question that has waited this long with its first, recommended option. seconds 0: questions wait forever."""
    if not seconds:
        return
    overdue = db.all("select * from requests where state = 'open' and kind = 'question' and options <> '[]' and created_at < ?",
                     (utc(after=-seconds),), RequestRow)
    for row in overdue:
        with db.transaction():
            if db.value("select state from requests where seq = ?", (row["seq"],)) == "open":
                option = json.loads(row["options"])[0]
                requests.close_question(db, row, option, ASSUMED)
                event("assumed", ticket=row["ticket_id"], answer=option)


def record_answered(db: Database, ticket: TicketRow, run_id: str, question: str, options: list[str], earlier: RequestRow) -> None:
    """Stores a question that was answered before, so that it is in the ticket's history and next prompt like any other."""
    db.execute("insert into requests (tenant_id, session_id, ticket_id, run_id, kind, body, options, state, answer, answered_by, answered_at)"
               f" values (?, ?, ?, ?, 'question', ?, ?, 'answered', ?, ?, {NOW})",
               (ticket["tenant_id"], ticket["session_id"], ticket["id"], run_id, question, json.dumps(options, ensure_ascii=False), earlier["answer"],
                as_for(earlier)))


def _key_of(row: RequestRow) -> tuple[str, frozenset[str]]:
    return key(row["body"], [str(option) for option in json.loads(row["options"])])
