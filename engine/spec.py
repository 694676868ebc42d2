"""The approved card as the engine sees it: a few keys of a JSON object that hitl has validated."""
import json
from functools import lru_cache

from engine.db import Database


def approved_card(db: Database, session_id: str) -> dict:
    """The card that the build was approved for; {} where none is recorded (a database taken over from an older form)."""
    text = db.value("select v.card from hitl_sessions s join spec_versions v on v.session_id = s.id and v.sha256 = s.approved_sha256"
                    " where s.id = ? order by v.version desc limit 1", (session_id,))
    text = text or db.value("select spec_card from hitl_sessions where id = ?", (session_id,))
    return _parsed(text or "{}")


@lru_cache(maxsize=8)
def _parsed(text: str) -> dict:
    """Kept, because every ticket of a build asks for the same card: not to be written to."""
    try:
        card = json.loads(text)
    except ValueError:
        return {}
    return card if isinstance(card, dict) else {}
