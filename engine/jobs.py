"""The run folder: what the engine hands to a run, and what the run leaves behind.

Named tuples and a plain class, no dataclasses: a run's own process starts a third sooner without those and what they import.

    data/runs/<run id>/  job.json  lock  started.json  sandbox.lock  log  checks.json  result.json      (host only)
                         in/    read-only in the sandbox: in.bundle, prompt.md, job
                         out/   the only writable path shared with the sandbox: out.bundle, request.json
"""
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from engine.errors import Refused
from engine.files import write_json

# Of job.json and result.json, which say it; those of format 1 do not. It goes up when a name in them goes, or comes to mean something else;
# _read() then knows what the formats before called it, because a run outlives the program that began it.
FORMAT = 2
NOTHING: Mapping[str, Any] = MappingProxyType({})
OUT_BYTES, OUT_FILES = 512_000_000, 1000  # the most that a run may leave in its outputs, its bundle among them
TIMES = "log.times"      # beside a run's log: when each of its steps began
RECORDED = 10_000        # requests of a run to its gateway that have a line in its requests.jsonl; after that only sums go on
NOTICE = 0.8             # the part of a budget from which people are told


class Limits(NamedTuple):
    """What one run may use. Seconds of wall clock; MB are 10^6 bytes."""

    run_seconds: float
    stall_seconds: float
    check_seconds: float
    log_mb: int
    work_mb: int
    memory_mb: int
    processes: int


class VmSpec(NamedTuple):
    """The virtual machine that a run gets where it gets one. image: the folder of its image. disk_mb: swap space, on the host's disk.
    templates: whether it may be a clone of one that was booted before."""

    image: str
    memory_mb: int = 1024
    cpus: int = 1
    disk_mb: int = 4096
    templates: bool = True
    boot_seconds: float = 60.0   # by then it has to be up; longer where the host has more to do than it has cores


class Criterion(NamedTuple):
    """One acceptance criterion; `check` is a shell command, empty where only a person can judge. waived: why a person does without the check."""

    text: str
    check: str = ""
    waived: str = ""


class Source(NamedTuple):
    """Where an epic's repository comes from; url None: a fresh one."""

    url: str | None
    base_branch: str | None
    protocols: tuple[str, ...]


class Budget(NamedTuple):
    """What a run, and its session, may spend on models; 0: no limit. Money is in the currency of the price table, which may have a name.
    session_spent_…: what ended runs of the session have spent; its live runs are seen in their ledgers."""

    run_tokens: int = 0
    run_money: float = 0.0
    session_tokens: int = 0
    session_money: float = 0.0
    session_spent_tokens: int = 0
    session_spent_money: float = 0.0
    currency: str = ""


class Access(NamedTuple):
    """What a run may reach from its sandboxes, by a gateway of its own. models: {shape: base URL}, for the agent alone; their keys are
    not here: they come on the runner's standard input. hosts: for the proxy, of the checks too. authorities: a file of certificates."""

    models: dict[str, str]
    hosts: tuple[str, ...] = ()
    megabytes: int = 0
    budget: Budget = Budget()
    prices: Mapping[str, dict[str, float]] = NOTHING
    authorities: str = ""


class AgentSetup(NamedTuple):
    """What the agent of a run works with. tools: the folder of installed agents on the host. model: '' for the agent's own choice.
    command: the operator's, for an agent that takes one. session: of the agent, to go on in; home: the run whose session.tar has it. hooks: {name: shell
    text} of the repository's WORKFLOW.md, hook_seconds: the longest of each."""

    tools: str = ""
    model: str = ""
    command: str = ""
    session: str = ""
    home: str = ""
    hooks: Mapping[str, str] = NOTHING
    hook_seconds: float = 60.0


class TicketChange(NamedTuple):
    """A ticket's change, for a recheck run. run, tip, base: that made it, its commit, what it stands on; of a change that was merged
    before: '', its merge commit, ''."""

    ticket: str
    title: str
    run: str
    tip: str
    base: str
    criteria: tuple[Criterion, ...] = ()


class Job(NamedTuple):
    """One run, as job.json holds it. `repository` is the bare repository on the host; `integration` and `branch` are branch names."""

    run: str
    kind: str
    ticket: str
    session: str
    title: str
    description: str
    project: str
    repository: str
    integration: str
    branch: str
    runtime: str
    agent: str
    prompt: str
    limits: Limits
    criteria: tuple[Criterion, ...] = ()
    source: Source | None = None
    vm: VmSpec | None = None
    access: Access | None = None   # None: no gateway is needed
    means: AgentSetup = AgentSetup()
    waiting: tuple[TicketChange, ...] = ()   # of a recheck run: what is to be merged, in this order
    landed: tuple[TicketChange, ...] = ()    # and what was before

    def write(self, folder: Path) -> None:
        write_json(folder / "job.json", {"format": FORMAT, **as_json(self)})

    @classmethod
    def read(cls, folder: Path) -> "Job":
        """Of this format or an earlier one. Raises Refused for a later one."""
        values = _read(folder / "job.json")
        source, access, vm = values.pop("source"), values.pop("access", None), values.pop("vm", None)
        waiting, landed = (tuple(TicketChange(criteria=_criteria(change.pop("criteria")), **change) for change in values.pop(name, ()))
                           for name in ("waiting", "landed"))
        return cls(vm=VmSpec(**vm) if vm else None, means=AgentSetup(**values.pop("means", {})), limits=Limits(**values.pop("limits")),
                   criteria=_criteria(values.pop("criteria")), waiting=waiting, landed=landed,
                   source=Source(source["url"], source["base_branch"], tuple(source["protocols"])) if source else None,
                   access=Access(hosts=tuple(access.pop("hosts")), budget=Budget(**access.pop("budget")), **access) if access else None, **values)


def _read(path: Path) -> dict[str, Any]:
    """A job.json or result.json, with the names of this format."""
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    written = values.pop("format", 1)
    if written > FORMAT:
        raise Refused(f"{path} was written by a newer HITL Swarm (format {written}, this one knows {FORMAT}). It is left as it is: update the program.")
    if "machine" in values:  # format 1
        values["vm"] = values.pop("machine")
    return values


@lru_cache(maxsize=1000)
def format_of(folder: Path) -> int:
    """Of the job in a run's folder, which never changes. Raises OSError while there is none."""
    return int(json.loads((folder / "job.json").read_text(encoding="utf-8")).get("format", 1))


def _criteria(items: list[dict[str, Any]]) -> tuple[Criterion, ...]:
    return tuple(Criterion(**item) for item in items)


class Result:
    """What the runner, never the sandbox, says of a run.

    outcome: 'ok' (there is out/out.bundle with base..tip), 'no_change', 'needs_input' (request is set; a bundle if work was
    done), 'over_budget' (reason is set; a bundle if work was done), 'failed' (failure says 'transient',
    'rate_limited', 'agent' or 'permanent'). checks: [{text, command, exit, seconds, output, passed}].
    at: seconds since the epoch, the date of the merge commit, so that repeating the merge makes the same object."""

    def __init__(self, run: str, outcome: str, at: int, **known: Any) -> None:
        """known: of what follows. Raises TypeError for a name that is not there."""
        self.run, self.outcome, self.at = run, outcome, at
        self.base: str | None = None
        self.tip: str | None = None
        self.failure: str | None = None
        self.reason: str | None = None
        self.request: dict[str, Any] | None = None
        self.checks: list[dict[str, Any]] = []
        self.phases: dict[str, float] = {}
        self.said: dict[str, Any] = {}  # by the agent, of itself: session, tokens, message; {}: nothing
        self.usage: dict[str, Any] = {}  # of models and of the network, as engine/gateway/serving.py has it; {}: no gateway
        self.vm: dict[str, Any] = {}  # {accelerator, memory_mb, cpus, clone, boots, boot_ms: the longest}; {}: no VM
        self.wait: float = 0.0  # seconds that a model's provider asks to be left alone
        self.merged: list[dict[str, str]] = []  # of a recheck run: [{run, merge: the merge commit}], from base to tip
        self.conflicts: list[dict[str, Any]] = []  # [{run, sentence, paths, detail}], with the base
        for name, value in known.items():
            if name not in vars(self):
                raise TypeError(f"a result has no {name!r}")
            setattr(self, name, value)

    def write(self, folder: Path) -> None:
        write_json(folder / "result.json", {"format": FORMAT, **vars(self)})

    @classmethod
    def read(cls, folder: Path) -> "Result | None":
        """None: there is none yet. Raises Refused for one of a later format."""
        try:
            return cls(**_read(folder / "result.json"))
        except FileNotFoundError:
            return None


def ledgers_of(data: Path, session: str) -> Path:
    """The folder in the data folder in which each run of a session has its ledger: <run id>.json."""
    return data / "budgets" / session


def criteria_of(text: str) -> tuple[Criterion, ...]:
    """tickets.acceptance_criteria, as stored or as edited by hand, to criteria; what is not one is left out."""
    try:
        items = json.loads(text or "[]")
    except ValueError:
        return ()
    found = []
    for item in items if isinstance(items, list) else []:
        if isinstance(item, str):
            found.append(Criterion(item))
        elif isinstance(item, dict):
            check = str(item.get("check") or "")
            found.append(Criterion(str(item.get("text") or check), check, str(item.get("waived") or "")))
    return tuple(found)


def as_json(value: Any) -> Any:
    """A tuple with names, and what is in it, as dicts and lists."""
    if isinstance(value, tuple):
        return {name: as_json(each) for name, each in value._asdict().items()} if hasattr(value, "_asdict") else [as_json(each) for each in value]
    return dict(value) if isinstance(value, Mapping) else value
