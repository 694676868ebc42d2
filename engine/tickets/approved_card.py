"""The approved card for the engine: a few keys of a JSON object that hitl has validated."""
from typing import Any

from engine.config import Config
from engine.store.db import Database
from engine.store.kept import Kept
from engine.text import stored
from engine.tickets.states import BUSY

NO_LIMIT = 1_000_000  # more runs than any machine has
_KEPT = Kept[dict[str, Any]](8)  # every ticket of a build needs the same card


def approved_card(db: Database, session_id: str) -> dict[str, Any]:
    """The approved card of the build; {} if none is recorded (in a database from the older form). Do not change the result."""
    row = db.one("select v.version, v.sha256 from hitl_sessions s join spec_versions v on v.session_id = s.id and v.sha256 = s.approved_sha256"
                 " where s.id = ? order by v.version desc limit 1", (session_id,))
    if row is None:
        card: dict[str, Any] = stored(db.value("select spec_card from hitl_sessions where id = ?", (session_id,)), {})
        return card
    version, sha256 = row
    return _KEPT.get(db, (session_id, version, sha256),
                     lambda: stored(db.value("select card from spec_versions where session_id = ? and version = ?", (session_id, version)), {}))


def repository_of(db: Database, session_id: str) -> str | None:
    """The repository that the card or its session names; None for a new one, which has no place to deliver to."""
    given = db.value("select repository from hitl_sessions where id = ?", (session_id,))
    return approved_card(db, session_id).get("repository") or given or None


def most_parallel(db: Database, session_id: str) -> int:
    """How many runs the session may have at the same time: as its card and the settings of its repository say, the smaller of both."""
    own = db.value("select iif(json_valid(p.settings), iif(json_type(p.settings, '$.max_parallel') = 'integer',"
                   " json_extract(p.settings, '$.max_parallel'), null), null) from hitl_sessions s"
                   " join repositories p on p.id = s.repository_id where s.id = ?", (session_id,))
    said = (approved_card(db, session_id).get("max_parallel"), own)
    return min((most for most in said if isinstance(most, int) and not isinstance(most, bool) and most > 0), default=NO_LIMIT)


def room(db: Database, session_id: str) -> int:
    """How many more runs of the session may have a process now."""
    most = most_parallel(db, session_id)
    return most if most == NO_LIMIT else most - int(db.value(f"select count(*) from runs where {BUSY} and session_id = ?", (session_id,)))


def has_room(db: Database, ticket_id: str) -> bool:
    """False if as many runs of the ticket's session have a process as its card and its repository allow."""
    session = db.value("select session_id from tickets where id = ?", (ticket_id,))
    return session is None or room(db, session) > 0


def limits_of(config: Config, card: Any, raises: int) -> tuple[int, float]:
    """(tokens, money) that a session may use; 0: no limit. The card's limit counts if it is less than the operator's setting."""
    given = card.get("budget") if isinstance(card, dict) else None
    tokens, money = (given.get("tokens"), given.get("money")) if isinstance(given, dict) else (None, None)
    times = 1 + raises
    return int(_smaller(config.session_tokens, tokens)) * times, _smaller(config.session_money, money) * times


def _smaller(setting: float, own: Any) -> float:
    """own: the value from the card, which may be anything after an edit by hand."""
    if isinstance(own, bool) or not isinstance(own, int | float) or not own > 0:
        return setting
    return min(setting, own) if setting else own
