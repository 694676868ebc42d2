"""What a run may reach, and what it may spend, as its job says it. Keys and logins are not here: the runner gets them on its standard input.

Named tuples, for the same reason as in engine/jobs.py."""
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

NOTHING: Mapping[str, Any] = MappingProxyType({})
PARENT = "proxy"  # name of the parent proxy's login; a mirror's has the name of its set


class Routes(NamedTuple):
    """mirrors: {set of registries: URL of what is used in its place}. private: names that may be at private addresses, as
    engine/gateway/mirrors.py parses them. parent: host:port of the proxy to everything that is public. authorities: a file of certificates that
    sandboxes trust, too."""

    mirrors: Mapping[str, str] = NOTHING
    private: tuple[str, ...] = ()
    parent: str = ""
    authorities: str = ""

    @classmethod
    def of(cls, value: Mapping[str, Any] | None) -> "Routes":
        return cls(**{**value, "private": tuple(value.get("private", ()))}) if value else cls()


class Budget(NamedTuple):
    """What a run and its session may spend on models; 0: no limit. Money is in the currency of the price table, which may have a name.
    session_spent_…: what the ended runs of the session have spent; the live runs are in their ledgers."""

    run_tokens: int = 0
    run_money: float = 0.0
    session_tokens: int = 0
    session_money: float = 0.0
    session_spent_tokens: int = 0
    session_spent_money: float = 0.0
    currency: str = ""


class Access(NamedTuple):
    """What the sandboxes of a run may reach, through the run's own gateway. models: {shape: base URL}, only for the agent; their keys are
    not here: the runner gets them on its standard input. hosts: for the proxy, also of checks. authorities: a file of certificates, for models.
    routes: a company's own ways to hosts."""

    models: dict[str, str]
    hosts: tuple[str, ...] = ()
    megabytes: int = 0
    budget: Budget = Budget()
    prices: Mapping[str, dict[str, float]] = NOTHING
    authorities: str = ""
    routes: Routes = Routes()

    @classmethod
    def of(cls, value: Mapping[str, Any] | None) -> "Access | None":
        if not value:
            return None
        return cls(**{**value, "hosts": tuple(value["hosts"]), "budget": Budget(**value["budget"]), "routes": Routes.of(value.get("routes"))})
