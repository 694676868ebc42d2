"""Drafting: gives the whole conversation to a drafter and replaces the current card with the drafted one."""
from typing import Any

from engine.config import Config
from engine.errors import BadRequest
from engine.store.db import Database
from hitl.card.spec_card import validate
from hitl.drafting import interview
from hitl.drafting.drafters import Drafter
from hitl.drafting.drafters.model import ModelDrafter
from hitl.drafting.drafters.template import TemplateDrafter, card_of
from hitl.session import sessions
from hitl.session import versions as card_versions
from hitl.session.seen_card import Base, present_sha256

NAMES = ("auto", "template", "model")
MARKDOWN_LIMIT = 1_000_000  # characters


def choose(config: Config, wanted: Any = "auto") -> Drafter:
    """The drafter. auto: the model if one is configured, otherwise the template. Raises BadRequest."""
    if wanted not in NAMES:
        raise BadRequest(f"drafter must be one of: {', '.join(NAMES)}.")
    model = ModelDrafter(config)
    if wanted == "model" and not (config.model_url and config.model):
        raise BadRequest(str(model.why_not()))
    return model if wanted == "model" or (wanted == "auto" and config.model_url and config.model) else TemplateDrafter()


def draft(db: Database, config: Config, tenant: str, session_id: str, wanted: Any = "auto", base: Base | None = None) -> dict[str, Any]:
    """Writes the card again from all messages and answers -> {version, sha256, warnings, drafter, fallback, changes}.

    fallback: why the template drafted although a model was asked, or None. The earlier card stays as a version. The model is asked outside of
    any transaction; a change of the card in the meantime wins. Raises NotFound, BadRequest, WrongState (card_changed), InvalidCard."""
    drafter = choose(config, wanted)
    row = sessions.editable(sessions.get(db, tenant, session_id))
    (base or Base()).check(db, row, None)
    present = present_sha256(row)
    drafted = drafter.draft(interview.brief_of(db, row))
    checked = validate(drafted.card, config)
    with db.transaction():
        now = sessions.editable(sessions.get(db, tenant, session_id))
        (Base(version=0) if present is None else Base(tags=(present,))).check(db, now, drafted.card)
        version = sessions.store_card(db, now, checked, drafted.by)
        interview.advance(db, tenant, session_id)
    return {"version": version, "sha256": checked.sha256, "warnings": checked.warnings, "drafter": drafted.by, "fallback": drafted.fallback,
            "changes": card_versions.changes_of(db, session_id, row["spec_version"], version)}


def import_markdown(name: str, text: Any) -> dict[str, Any]:
    """A card from the Markdown of a PRD, spec.md or tasks.md. Raises BadRequest if it is not text. The card is not validated yet."""
    if isinstance(text, str):
        text = text.replace("\r\n", "\n")
    sessions.check_text("markdown", text, MARKDOWN_LIMIT, lines=True)
    return card_of(name, text)
