"""Builds of other tenants that were taken over with a database of the older form continue when SWARM_TENANTS names their tenant. Naming it once
is enough: the marks are then gone."""
from collections.abc import Iterable

from engine.store.db import Database
from engine.store.held_back import ALL
from engine.store.older_form import IS_MARK, MARKS
from engine.tickets import actions


def release(db: Database, tenants: Iterable[str]) -> None:
    """Lets the waiting sessions continue whose tenants are all among these names, or all of them for '*'."""
    named = set(tenants)
    if not named or db.value(f"select 1 from ({MARKS}) limit 1") is None:
        return
    with db.transaction():
        kept = {seq for seq, tenant in db.execute(MARKS) if not named & {tenant, ALL}}
        for seq, session in db.execute(f"select distinct m.seq, s.id from ({MARKS}) m join hitl_sessions s on s.seq = m.seq").fetchall():
            if seq not in kept:
                actions.resume_session(db, session)
                db.execute(f"delete from counters where {IS_MARK} and value = ?", (seq,))
