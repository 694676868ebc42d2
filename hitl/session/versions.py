"""The versions of a session's card: all versions, one version, and the differences between two."""
import json
from typing import Any

from engine.errors import NotFound
from engine.store.db import Database
from engine.tickets.session_rows import SpecVersionRow
from hitl.card import diff as card_diff
from hitl.card.diff import CardChange
from hitl.session import sessions


def versions_view(db: Database, tenant: str, session_id: str) -> list[dict[str, Any]]:
    """[{version, sha256, source, created_at, features, approved}], newest first. Raises NotFound."""
    row = sessions.get(db, tenant, session_id)
    found = db.all("select version, sha256, source, created_at, json_array_length(card, '$.features') as features from spec_versions"
                   " where session_id = ? order by version desc", (session_id,), SpecVersionRow)
    return [{**dict(each), "approved": each["sha256"] == row["approved_sha256"]} for each in found]


def version_view(db: Database, tenant: str, session_id: str, version: int) -> dict[str, Any]:
    """{version, sha256, source, created_at, spec_card}. Raises NotFound."""
    sessions.get(db, tenant, session_id)
    found = db.one("select version, sha256, source, created_at, card from spec_versions where session_id = ? and version = ?",
                   (session_id, version), SpecVersionRow)
    if found is None:
        raise NotFound(f"There is no version {version} of this card.")
    return {"version": found["version"], "sha256": found["sha256"], "source": found["source"], "created_at": found["created_at"],
            "spec_card": json.loads(found["card"])}


def diff_view(db: Database, tenant: str, session_id: str, earlier: int, later: int) -> dict[str, Any]:
    """{"from", "to", "changes": as card_diff says}. Version 0 is the empty card. Raises NotFound."""
    sessions.get(db, tenant, session_id)
    before, after = (version_view(db, tenant, session_id, each)["spec_card"] if each else None for each in (earlier, later))
    return {"from": earlier, "to": later, "changes": card_diff.diff(before, after)}


def changes_of(db: Database, session_id: str, earlier: int | None, later: int | None) -> list[CardChange]:
    """The changes from one version to another; [] if no new version was made."""
    if earlier is None or later is None or earlier == later:
        return []
    cards = db.pairs("select version, card from spec_versions where session_id = ? and version in (?, ?)", (session_id, earlier, later))
    return card_diff.diff(*(json.loads(cards[each]) if each in cards else None for each in (earlier, later)))
