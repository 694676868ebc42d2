"""The form that begins a session: an idea in words, a document in Markdown, or a whole card as JSON. And the sample."""
import re
from typing import Any

from flask import Blueprint, Response, make_response

from engine.errors import SwarmError
from hitl.card import sample
from hitl.card.text import shorten
from hitl.drafting import interview
from hitl.pages import screens
from hitl.pages.page_card import parsed
from hitl.session import sessions
from hitl.web.context import swarm, tenant
from hitl.web.forms import go, typed_text

new_pages = Blueprint("new_pages", __name__)
FIELDS = ("kind", "project_name", "description", "markdown", "repository", "review", "spec_card")
REVIEW: dict[str, bool | str] = {"true": True, "unchecked": "unchecked"}
NAME_LENGTH = 60  # of a name that is taken from the idea


@new_pages.post("/sample")
def build_sample() -> Response:
    card = sample.card()
    session_id = sessions.create(swarm().db, swarm().config, tenant(), project_name=card["name"], description=card.get("description", ""),
                                 spec_card=card, source="sample")
    return go(f"/sessions/{session_id}")


@new_pages.post("/sessions")
def create_session() -> Response:
    typed = {name: typed_text(name) for name in FIELDS}
    try:
        session_id = _create(typed)
    except SwarmError as error:
        if error.status >= 500:
            raise
        return make_response(screens.home(new=True, error=error, typed=typed), error.status)
    return go(f"/sessions/{session_id}")


def _create(typed: dict[str, str]) -> str:
    """-> its id. Words and Markdown begin the interview at once; a card is in review. Raises as sessions.create and interview.say do."""
    db, config = swarm().db, swarm().config
    kind = typed["kind"] if typed["kind"] in ("words", "markdown", "card") else ""
    with_card = kind == "card" or (not kind and bool(typed["spec_card"]))
    said = {"markdown": typed["markdown"], "card": ""}.get(kind, typed["description"] or typed["markdown"])
    card: Any = parsed(typed["spec_card"]) if with_card else None
    description = typed["description"] if kind != "markdown" else ""
    if isinstance(card, dict):
        description = description or str(card.get("description", ""))
        if typed["repository"]:
            card.setdefault("repository", typed["repository"])
    name = typed["project_name"] or _name_of(card, said)
    with db.transaction():
        session_id = sessions.create(db, config, tenant(), project_name=name, description=description, repository=typed["repository"] or None,
                                     review=REVIEW.get(typed["review"], False), spec_card=card, source="page")
        if not with_card and said:
            interview.say(db, config, tenant(), session_id, typed["markdown"] if kind == "markdown" else None)
    return session_id


def _name_of(card: Any, said: str) -> str:
    """The card's name, or the first heading or sentence of what was said."""
    if isinstance(card, dict):
        return str(card.get("name", ""))
    heading = re.search(r"^#{1,2} +(.+?)[ #]*$", said, re.M)
    first = heading[1] if heading else re.split(r"(?<=[.!?])\s|\n", said, maxsplit=1)[0]
    return shorten(re.sub(r"[*_`]", "", first).strip(" .:"), NAME_LENGTH)
