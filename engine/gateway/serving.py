"""The gateway of a run: it is made before the sandboxes, has a socket for each of them, and says how the use of models ended."""
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.errors import RunFailure
from engine.gateway.addresses import Resolve, expanded, resolve
from engine.gateway.egress import Egress
from engine.gateway.ledger import Ledger
from engine.gateway.model import Models
from engine.gateway.record import Record
from engine.gateway.server import Gateway, tls_context
from engine.jobs import Access, Job, ledgers_of

GRACE_SECONDS = 20.0      # for an agent to end by itself once the budget is used up


class Service:
    """One per run. folder: the run's; requests.jsonl is written there, and the session's ledgers two folders up, in budgets/."""

    def __init__(self, job: Job, access: Access, folder: Path, keys: Mapping[str, str], names: Resolve = resolve) -> None:
        self.token = secrets.token_urlsafe(32)
        self._agent_door, self._check_door = folder / "agent.sock", folder / "checks.sock"
        self._record = Record(folder / "requests.jsonl")
        self._ledger = Ledger(access.budget, access.prices, ledgers_of(folder.parent.parent, job.session), job.run)
        self._models = Models(access.models, keys, self.token, self._ledger, tls_context(access.authorities)) if access.models else None
        self._gateway = Gateway(self._models, Egress(expanded(access.hosts), access.megabytes, names), self._record)
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

    def notices(self) -> list[str]:
        """Sentences for the log, each once."""
        found = self._ledger.notices[self._told:]
        self._told += len(found)
        return found

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
