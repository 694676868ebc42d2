"""Protects a card that two people change at once: the second one gets an error with both versions, and nothing is overwritten."""
import json
import re
from dataclasses import dataclass
from typing import Any

from flask import request

from engine.errors import BadRequest, WrongState
from engine.store.db import Database
from engine.tickets.session_rows import SessionRow, SpecVersionRow
from hitl.card import diff as card_diff
from hitl.web import strict_json
from hitl.web.numbers import is_whole


@dataclass(frozen=True)
class Base:
    """The card that the client changed: a version (0: there was no card yet), or the hashes of an If-Match header. None: the client did not say."""

    version: int | None = None
    tags: tuple[str, ...] | None = None

    def check(self, db: Database, row: SessionRow, given: Any) -> None:
        """Raises WrongState (code card_changed) with `current`, `base`, `yours` and the `changes` from base to current, unless the
        session's card is still the one that the client changed. Call it in the transaction that writes."""
        text, present = row["spec_card"], present_sha256(row)
        if self.version is not None and (self.version != row["spec_version"] or (text is not None and present != row["spec_sha256"])):
            raise self._conflict(db, row, present, given)
        if self.tags is not None and (present is None or (present not in self.tags and "*" not in self.tags)):
            raise self._conflict(db, row, present, given)

    def _conflict(self, db: Database, row: SessionRow, present: str | None, given: Any) -> WrongState:
        known = db.one("select version, sha256, card from spec_versions where session_id = ? and (version = ? or sha256 in"
                       " (select value from json_each(?))) order by version desc limit 1", (row["id"], self.version, json.dumps(self.tags or ())),
                       SpecVersionRow)
        base = None if known is None else {"version": known["version"], "sha256": known["sha256"], "spec_card": json.loads(known["card"])}
        current = {"version": row["spec_version"], "sha256": present, "spec_card": _parsed(row["spec_card"])}
        return WrongState("Someone else has changed the card since you started. Nothing was overwritten. Look at both versions and save again.",
                          code="card_changed", currentState=row["state"], since=row["updated_at"], current=current, base=base, yours=given,
                          changes=card_diff.diff(base and base["spec_card"], current["spec_card"]))


def base_of(version: Any, if_match: str | None) -> Base:
    """The base from the body's base_version and the If-Match header. Raises BadRequest for invalid values."""
    if version is not None and not is_whole(version, 0, 2**31 - 1):
        raise BadRequest("base_version must be the number of the version that you changed, 0 if there was none.")
    if if_match is None:
        return Base(version)
    tags = tuple(part.strip() for part in if_match.split(","))
    if not all(re.fullmatch(r'\*|"[0-9a-f]{64}"', tag) for tag in tags):
        raise BadRequest('If-Match must be the ETag of the card that you changed: its hash in quotes, "…".')
    return Base(version, tuple(tag.strip('"') for tag in tags))


def base(body: dict[str, Any]) -> Base:
    """The card that this request changes: from base_version in its body and If-Match in its headers. Raises BadRequest."""
    return base_of(body.get("base_version"), request.headers.get("If-Match"))


def _parsed(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return strict_json.parse(text.encode("utf-8"))
    except BadRequest:
        return text  # someone edited it into text that is not JSON; it is shown as it is


def present_sha256(row: SessionRow) -> str | None:
    """The hash of the stored card, valid or not and whoever wrote it; None if there is no card."""
    return None if row["spec_card"] is None else strict_json.sha256(_parsed(row["spec_card"]))
