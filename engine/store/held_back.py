"""Builds of other tenants that came with a database of the older form: which sessions wait until SWARM_TENANTS names their tenant."""
from collections.abc import Iterable

from engine.store.db import Database
from engine.store.older_form import MARKS

ALL = "*"
LISTED = 5  # tenants that a sentence names


def waiting(db: Database, tenants: Iterable[str]) -> str | None:
    """A sentence that says how many sessions wait, and what to set; None if none waits. tenants: names that are set already."""
    counts = db.pairs(f"select m.tenant, count(*) from ({MARKS}) m join hitl_sessions s on s.seq = m.seq"
                      " where s.paused and s.state = 'building' group by 1 order by 1")
    if not counts:
        return None
    shown = [f"{_sessions(count)} of tenant {tenant if _can_be_set(tenant) else repr(tenant)}" for tenant, count in list(counts.items())[:LISTED]]
    if len(counts) > LISTED:
        more = list(counts.values())[LISTED:]
        shown.append(f"{_sessions(sum(more))} of {len(more)} more tenant{'s' if len(more) > 1 else ''}")
    names = [*(tenant for tenant in tenants if tenant not in counts), *counts]
    exact = f"{','.join(names)} or " if len(counts) <= LISTED and all(map(_can_be_set, names)) else ""
    return f"{', '.join(shown)} {'wait' if sum(counts.values()) > 1 else 'waits'}: set SWARM_TENANTS={exact}{ALL} and start the server again."


def _sessions(count: int) -> str:
    return f"{count} session{'' if count == 1 else 's'}"


def _can_be_set(tenant: str) -> bool:
    return bool(tenant) and tenant == tenant.strip() and tenant.isprintable() and "," not in tenant
