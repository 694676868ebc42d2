"""The gateway of a run: it is made before the sandboxes, has a socket for each of them, and says how the use of models ended."""
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.access import NOTHING, PARENT
from engine.errors import RunFailure
from engine.gateway.addresses import Resolve
from engine.gateway.egress import Egress
from engine.gateway.ledger import Ledger
from engine.gateway.mirrors import basic, secrets_of
from engine.gateway.model import Models
from engine.gateway.parent import Parent
from engine.gateway.reach import Reach
from engine.gateway.record import Record
from engine.gateway.server import Gateway, tls_context
from engine.jobs import Access, Job, ledgers_of

GRACE_SECONDS = 20.0      # for an agent to end by itself once the budget is used up


class Service:
    """One per run. folder: the run's; requests.jsonl is written there, and the session's ledgers two folders up, in budgets/. logins: {set of registries
    or proxy: user:password as in a URL}."""

    def __init__(self, job: Job, access: Access, folder: Path, keys: Mapping[str, str], names: Resolve | None = None,
                 logins: Mapping[str, str] = NOTHING) -> None:
        self.token = secrets.token_urlsafe(32)
        self._agent_door, self._check_door = folder / "agent.sock", folder / "checks.sock"
        self._record = Record(folder / "requests.jsonl")
        self._ledger = Ledger(access.budget, access.prices, ledgers_of(folder.parent.parent, job.session), job.run)
        self._models = Models(access.models, keys, self.token, self._ledger, tls_context(access.authorities)) if access.models else None
        self._reach, self._logins, routes = Reach(access.hosts, access.routes, job.kind == "setup"), logins, access.routes
        parent = Parent(routes.parent, logins.get(PARENT, "")) if routes.parent else None
        self._gateway = Gateway(self._models, Egress(self._reach, access.megabytes, names or self._reach.addresses, parent), self._record)
        self._told = 0
        self._over_since: float | None = None

    def open(self, agent: bool) -> Path:
        """-> the socket for a sandbox: SandboxJob.gateway. Only the agent's has the models behind it."""
        door = self._agent_door if agent else self._check_door
        self._gateway.open(door, models=agent)
        return door

    def close(self, door: Path) -> None:
        self._gateway.close(door)

    def environment(self) -> dict[str, str]:
        """Environment for the agent's sandbox, besides the variables of scripts/gateway.sh."""
        return {"SWARM_GATEWAY_TOKEN": self.token} if self._models else {}

    @property
    def mirrors(self) -> dict[str, str]:
        """{set: URL} of the registries that the run uses in the place of public ones, without logins."""
        return self._reach.mirrors

    def logins(self) -> dict[str, str]:
        """Environment for the sandbox of a setup: the login of each mirror, as scripts/mirrors.sh takes it."""
        found = {name: login for name, login in self._logins.items() if name in self._reach.mirrors}
        return {**{f"SWARM_LOGIN_{name.upper()}": login for name, login in found.items()},
                **{f"SWARM_AUTH_{name.upper()}": basic(login) for name, login in found.items()}}

    def secrets(self) -> dict[str, str]:
        """{setting: text of a login that must be seen nowhere}."""
        return secrets_of(self._logins)

    def take_troubles(self) -> list[tuple[str, str]]:
        """[(host, sentence)] of hosts that were refused or did not answer, since the last call."""
        return self._record.take_troubles()

    def notices(self) -> list[str]:
        """Sentences for the log, each once."""
        found = self._ledger.notices[self._told:]
        self._told += len(found)
        return found + self._record.untold()

    @property
    def over_budget(self) -> str | None:
        """The reason, after a request of the agent was refused for the budget. Work that was done with the last of the budget counts."""
        return self._ledger.over if self._ledger.refused else None

    def is_spent(self) -> bool:
        """True if the budget is used up, and the agent has had time to end."""
        if self.over_budget and self._over_since is None:
            self._over_since = time.monotonic()
        return self._over_since is not None and time.monotonic() - self._over_since > GRACE_SECONDS

    def trouble(self) -> RunFailure | None:
        """The provider's failure that explains a run without a result; None if its last answer was good."""
        last = self._models.heard.last if self._models else None
        return last.failure() if last else None

    @property
    def is_asking(self) -> bool:
        """True while a request to a model is being answered."""
        return self._ledger.is_open

    def usage(self) -> dict[str, Any]:
        """For result.json and the run's row: {requests, estimated, input, output, cache_read, cache_write, total, money, models: {name: the same},
        unpriced: [name], currency, notices: [sentence], over_budget: sentence or null, rate_limited: {shape, status, wait} or null,
        asked: {requests, refused, recorded}, egress: {requests, refused, sent, received, hosts: [{host, …}]}}."""
        last = self._models.heard.last if self._models else None
        limited = {"shape": last.shape, "status": last.status, "wait": last.wait} if last and last.meaning == "busy" else None
        return {**self._ledger.as_json(), "rate_limited": limited,
                "asked": self._record.counts(), "egress": self._record.as_json()}
