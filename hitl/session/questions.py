"""The rows of the interview: a question is opened, then answered, assumed or withdrawn. This module does not check the session's state."""
import json
from dataclasses import dataclass
from typing import Any

from engine.errors import NotFound
from engine.store.db import Database
from engine.text import stored
from engine.tickets.session_rows import QuestionRow, SessionRow
from engine.times import NOW

MOST = 5  # of one session


@dataclass(frozen=True)
class Question:
    """options: the suggested answers, the recommended one first. Choosing an option and typing the same text mean the same."""

    body: str
    options: tuple[str, ...]


def open_number(db: Database, session_id: str) -> int | None:
    """The number of the open question, or None."""
    found: int | None = db.value("select number from questions where session_id = ? and state = 'open'", (session_id,))
    return found


def asked(db: Database, session_id: str) -> list[QuestionRow]:
    """All questions of a session, in order."""
    return db.all("select * from questions where session_id = ? order by number", (session_id,), QuestionRow)


def get(db: Database, session_id: str, number: int) -> QuestionRow:
    """One question. Raises NotFound."""
    row = db.one("select * from questions where session_id = ? and number = ?", (session_id, number), QuestionRow)
    if row is None:
        raise NotFound("Question not found")
    return row


def ask(db: Database, session: SessionRow, topic: str, question: Question) -> int:
    """Opens another question -> its number."""
    number = int(db.value("select coalesce(max(number), 0) + 1 from questions where session_id = ?", (session["id"],)))
    db.execute("insert into questions (session_id, number, tenant_id, topic, body, options) values (?, ?, ?, ?, ?, ?)",
               (session["id"], number, session["tenant_id"], topic, question.body, json.dumps(question.options, ensure_ascii=False)))
    return number


def close(db: Database, row: QuestionRow, state: str, answer: str, by: str, versions: tuple[int, int]) -> None:
    """Closes a question. state: answered or assumed; versions: the card's version before and after."""
    db.execute(f"update questions set state = ?, answer = ?, answered_by = ?, answered_at = {NOW}, from_version = ?, to_version = ?"
               " where session_id = ? and number = ?", (state, answer, by, *versions, row["session_id"], row["number"]))


def withdraw(db: Database, session_id: str) -> None:
    """Withdraws the open question, if there is one."""
    db.execute(f"update questions set state = 'withdrawn', answered_at = {NOW} where session_id = ? and state = 'open'", (session_id,))


def withdraw_covered(db: Database, session_id: str, lacking: list[str]) -> None:
    """Withdraws the open question if the card already covers its topic. lacking: the topics that the card does not cover."""
    topic = db.value("select topic from questions where session_id = ? and state = 'open'", (session_id,))
    if topic is not None and topic not in lacking:
        withdraw(db, session_id)


def options(row: QuestionRow) -> list[str]:
    return [str(each) for each in stored(row["options"], [])]


def question_dict(row: QuestionRow, changes: list[dict[str, Any]]) -> dict[str, Any]:
    """A question as a dict for JSON and pages. changes: what its answer changed in the card."""
    return {name: row[name] for name in ("number", "topic", "body", "state", "answer", "answered_by", "answered_at", "from_version", "to_version",
                                         "created_at")} | {"options": options(row), "recommended": next(iter(options(row)), None), "changes": changes}
