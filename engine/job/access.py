"""What a run may reach: makes a job's Access from settings and rows, and passes the keys to the runner."""
import json
import os

from engine import secrets
from engine.access import Routes
from engine.agents import Agent
from engine.config import Config
from engine.forge import login_of
from engine.gateway import mirrors
from engine.gateway.shapes import SHAPES
from engine.jobs import Access, Budget, Job
from engine.store.db import Database
from engine.tickets.approved_card import approved_card, limits_of
from engine.tickets.session_rows import SessionRow
from engine.tickets.usage import spent


def configured(config: Config) -> dict[str, str]:
    """{shape: base URL} of the models for which the operator has set a URL or a key."""
    return {name: str(getattr(config, f"{name}_url") or shape.default_url) for name, shape in SHAPES.items() if config.reaches(name)}


def access_for(db: Database, config: Config, session: SessionRow, kind: str, agent: Agent) -> Access | None:
    """The Access of a run. session: its row. None if the run needs no gateway: its agent uses no model, and no hosts are allowed."""
    models = {name: url for name, url in configured(config).items() if name in agent.models} if kind == "feature" else {}
    needed = kind == "feature" and bool(agent.models)
    if kind == "prepare" or not (needed or config.egress_hosts):
        return None
    return Access(models, config.egress_hosts, config.egress_mb, budget(db, config, session), config.prices or {},
                  str(config.gateway_ca or ""), routes(config, config.egress_hosts))


def routes(config: Config, hosts: tuple[str, ...]) -> Routes:
    """The company's ways to these hosts, without the logins, which keys_file() hands over."""
    return Routes({name: mirrors.without_login(url) for name, url in (config.mirrors or {}).items() if name in hosts}, config.egress_private,
                  "{}:{}".format(*mirrors.endpoint(config.egress_proxy)) if config.egress_proxy else "", str(config.egress_ca or ""))


def budget(db: Database, config: Config, session: SessionRow) -> Budget:
    """The limits; each raise of the session's budget adds them once more."""
    times = 1 + session["budget_raises"]
    tokens, money = spent(db, session["id"])
    return Budget(config.run_tokens * times, config.run_money * times, *limits_of(config, approved_card(db, session["id"]), session["budget_raises"]),
                  tokens, money, getattr(config.prices, "currency", ""))


def used_up(limits: Budget) -> str | None:
    """A sentence if the session's budget is used up; then no run of it that needs a model may start. Otherwise None."""
    if limits.session_tokens and limits.session_spent_tokens >= limits.session_tokens:
        return f"The budget of this session is used up ({limits.session_spent_tokens:,} of {limits.session_tokens:,} tokens)."
    if limits.session_money and limits.session_spent_money >= limits.session_money:
        return f"The budget of this session is used up ({limits.session_spent_money:.2f} of {limits.session_money:g} {limits.currency or 'in money'})."
    return None


def keys_file(config: Config, job: Job) -> int:
    """A descriptor with the keys of the models that the run may use, the login for the repository that it fetches, the secrets that its setup
    names, and the logins of registries and of the proxy, as engine/keys.py reads them. It becomes the standard input of the run's process, so that none
    is in a file, in arguments or in an environment. It is empty if none are needed. The caller closes it. Raises Permanent if a secret is missing."""
    keys = {"models": {name: getattr(config, f"{name}_key") for name in job.access.models} if job.access else {},
            "forge": login_of(config, job.source.url) if job.source is not None and job.source.url else {},
            "secrets": secrets.all_of(config.data, job.setup.tenant, job.setup.secrets) if job.setup and job.kind == "setup" else {},
            "routes": _logins(config, job)}
    if not any(keys.values()):
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    descriptor = os.memfd_create("keys", os.MFD_CLOEXEC)
    os.write(descriptor, json.dumps(keys).encode())
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _logins(config: Config, job: Job) -> dict[str, str]:
    """Of a mirror only a run that sets something up gets the login: what agents write runs in all others."""
    access = job.access or job.setup_access
    if access is None:
        return {}
    used = {name: url for name, url in (config.mirrors or {}).items() if name in access.routes.mirrors} if job.kind == "setup" else {}
    return mirrors.logins(used, config.egress_proxy)
