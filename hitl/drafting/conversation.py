"""The conversation of a session and the topics that are still missing: plain dicts, the same for JSON and for pages."""
from typing import Any

from engine.errors import InvalidCard
from engine.store.db import Database
from engine.tickets.session_rows import MessageRow, SessionRow
from hitl.card.coverage import LABELS, lacking
from hitl.session import questions, sessions
from hitl.session import versions as card_versions


def conversation_view(db: Database, tenant: str, session_id: str) -> dict[str, Any]:
    """{"state", "version", "messages": [{seq, body, created_at, from_version, to_version, changes}], and the values of questions_view}.

    changes: what a message or an answer changed in the card, in the form of card_diff. Raises NotFound."""
    row = sessions.get(db, tenant, session_id)
    found = db.all("select seq, body, from_version, to_version, created_at from messages where session_id = ? order by seq", (session_id,), MessageRow)
    messages = [{**dict(each), "changes": card_versions.changes_of(db, session_id, each["from_version"], each["to_version"])} for each in found]
    return {"state": row["state"], "version": row["spec_version"], "messages": messages, **_questions(db, row)}


def questions_view(db: Database, tenant: str, session_id: str) -> dict[str, Any]:
    """{"questions": [in order], "open": the number of the open question or None, "most": 5, "coverage": [{topic, label, state}]}.

    A question: {number, topic, body, options, recommended, state, answer, answered_by, answered_at, from_version, to_version, changes}.
    state of a topic: covered, assumed, open or lacking. Raises NotFound."""
    return _questions(db, sessions.get(db, tenant, session_id))


def _questions(db: Database, row: SessionRow) -> dict[str, Any]:
    asked = [questions.question_dict(each, card_versions.changes_of(db, row["id"], each["from_version"], each["to_version"]))
             for each in questions.asked(db, row["id"])]
    waiting = next((each["number"] for each in asked if each["state"] == "open"), None)
    return {"questions": asked, "open": waiting, "most": questions.MOST, "coverage": _coverage(row, {each["topic"]: each["state"] for each in asked})}


def _coverage(row: SessionRow, asked: dict[str, str]) -> list[dict[str, str]]:
    try:
        card = sessions.current_card(row)
    except InvalidCard:
        card = {}
    missing = set(lacking(card if isinstance(card, dict) else {}, row["repository"]))
    states = {"open": "open", "assumed": "assumed", "answered": "covered"}
    return [{"topic": topic, "label": label, "state": states.get(asked.get(topic, ""), "lacking" if topic in missing else "covered")}
            for topic, label in LABELS.items()]
