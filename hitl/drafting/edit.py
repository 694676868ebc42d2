"""Two ways to change a card before its build: single edits, and an import of a whole card."""
from typing import Any

from engine.config import Config
from engine.errors import BadRequest
from engine.store.db import Database
from hitl.card.edits import edit
from hitl.card.spec_card import validate
from hitl.drafting import interview
from hitl.drafting.draft import import_markdown
from hitl.session import sessions
from hitl.session import versions as card_versions
from hitl.session.seen_card import Base


def edit_card(db: Database, config: Config, tenant: str, session_id: str, edits: Any, base: Base | None = None, source: str = "api") -> dict[str, Any]:
    """Applies edits in the form of hitl/card/edits.py -> {version, sha256, warnings, changes}. The session keeps its state, and an interview continues.

    Raises NotFound, WrongState (card_changed), BadRequest for an edit that cannot be done, InvalidCard if the result is not valid."""
    with db.transaction():
        row = sessions.editable(sessions.get(db, tenant, session_id))
        (base or Base()).check(db, row, None)
        card = sessions.current_card(row)
        if not isinstance(card, dict):
            raise BadRequest("The stored card is not a JSON object. Save a whole card.")
        checked = validate(edit(card, edits), config)
        version = sessions.store_card(db, row, checked, source)
        interview.advance(db, tenant, session_id)
        return {"version": version, "sha256": checked.sha256, "warnings": checked.warnings,
                "changes": card_versions.changes_of(db, session_id, row["spec_version"], version)}


def import_card(db: Database, config: Config, tenant: str, session_id: str, *, markdown: Any = None, card: Any = None,
                base: Base | None = None, source: str = "import") -> dict[str, Any]:
    """Saves a whole card from Markdown or JSON -> {version, sha256, warnings, changes}. Raises the errors of put_card, and BadRequest for both or none."""
    if (markdown is None) == (card is None):
        raise BadRequest("Send one of: markdown (text), spec_card (an object).")
    row = sessions.get(db, tenant, session_id)
    given = import_markdown(row["project_name"], markdown) if card is None else card
    saved = sessions.put_card(db, config, tenant, session_id, given, source, base)
    return {**saved, "changes": card_versions.changes_of(db, session_id, row["spec_version"], saved["version"])}
