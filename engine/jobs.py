"""The run folder: what the engine gives to a run, and what the run leaves behind.

Named tuples and a plain class, no dataclasses: without dataclasses and their imports, the process of a run starts in two thirds of the time.

    data/runs/<run id>/  job.json  lock  started.json  sandbox.lock  log  checks.json  result.json      (host only)
                         in/    read-only in the sandbox: in.bundle, prompt.md, job
                         out/   the only writable path shared with the sandbox: out.bundle, request.json
"""
import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from engine.access import Access as Access
from engine.access import Budget as Budget
from engine.errors import Refused
from engine.files import write_json
from engine.ground import Baseline, Commits, Ground, Setup, Source
from engine.result_values import checked, parsed

# The format of job.json and result.json, which name it (format 1 does not). It increases when a name in them is removed or changes its meaning;
# _read() then knows the older names, because a run can outlive the program that started it.
FORMAT = 2
NOTHING: Mapping[str, Any] = MappingProxyType({})
OUT_BYTES, OUT_FILES = 512_000_000, 1000  # most outputs of a run, including its bundle
MESSAGES = "fetch.messages"  # in a run's folder while it fetches or waits for its turn: git's messages
TIMES = "log.times"      # next to a run's log: the start time of each step
RECORDED = 10_000        # requests of a run to its gateway that get a line in requests.jsonl; later ones are only counted
NOTICE = 0.8             # part of a budget after which a notice is shown


class Limits(NamedTuple):
    """Limits of one run. Seconds are wall clock time; MB are 10^6 bytes."""

    run_seconds: float
    stall_seconds: float
    check_seconds: float
    log_mb: int
    work_mb: int
    memory_mb: int
    processes: int


class VmSpec(NamedTuple):
    """The virtual machine of a run. image: its image's folder. disk_mb: swap space. templates: it may be a clone of a machine that was booted before."""

    image: str
    memory_mb: int = 1024
    cpus: int = 1
    disk_mb: int = 4096
    templates: bool = True
    boot_seconds: float = 60.0   # longest start; more when the host has more work than cores


class Criterion(NamedTuple):
    """One acceptance criterion. `check`: a shell command, or empty if only people can judge. waived: the reason why the check is not needed.
    kept: the reason why it may stay as red as it is at the base."""

    text: str
    check: str = ""
    waived: str = ""
    kept: str = ""


class AgentSetup(NamedTuple):
    """Set-up of a run's agent. tools: the folder of installed agents on the host. model: '' for the agent's own choice.
    command: the operator's, for an agent that takes one. session: the agent's session to continue; home: the run whose session.tar has it. hooks: {name: shell
    text} from the repository's WORKFLOW.md; hook_seconds: the time limit of each. notes: sentences about that file, for the log. own_tools: programs that the
    repository's own settings of the agent name may start: hooks, MCP servers."""

    tools: str = ""
    model: str = ""
    command: str = ""
    session: str = ""
    home: str = ""
    hooks: Mapping[str, str] = NOTHING
    hook_seconds: float = 60.0
    notes: Sequence[str] = ()
    own_tools: bool = False


class TicketChange(NamedTuple):
    """A ticket's change, for a recheck run. run: the run that made it; tip: its commit; base: the commit under it. For a change that was merged
    before: run is '', tip is its merge commit, base is ''."""

    ticket: str
    title: str
    run: str
    tip: str
    base: str
    criteria: tuple[Criterion, ...] = ()


class Job(NamedTuple):
    """One run, as stored in job.json. `repository` is the bare repository on the host; `integration` and `branch` are branch names."""

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
    waiting: tuple[TicketChange, ...] = ()   # in a recheck run: changes to merge, in this order
    landed: tuple[TicketChange, ...] = ()    # and changes that were merged before
    program: str = ""              # that makes the sandboxes, if the runtime has a choice of programs
    ground: Ground | None = None   # what the sandboxes stand on; None: only the system's programs
    setup: Setup | None = None     # the environment to look for, or to make; of a ticket's run: for a commit that changes what it depends on
    setup_access: Access | None = None   # what that setup reaches; None: no gateway is needed
    commits: Commits = Commits()
    baseline: Baseline | None = None  # what is known of the base; None: nothing
    resume: bool = False           # start from the ticket's own branch, whatever the agent's custom is, because the run before was stopped

    def write(self, folder: Path) -> None:
        write_json(folder / "job.json", {"format": FORMAT, **as_json(self)})

    @classmethod
    def read(cls, folder: Path) -> "Job":
        """Reads this format or an earlier one. Raises Refused for a later one."""
        values = _read(folder / "job.json")
        source, vm = values.pop("source"), values.pop("vm", None)
        means = {**(given := values.pop("means", {})), "notes": tuple(given.get("notes", ()))}
        waiting, landed = (tuple(TicketChange(criteria=_criteria(change.pop("criteria")), **change) for change in values.pop(name, ()))
                           for name in ("waiting", "landed"))
        return cls(vm=VmSpec(**vm) if vm else None, means=AgentSetup(**means), limits=Limits(**values.pop("limits")),
                   criteria=_criteria(values.pop("criteria")), waiting=waiting, landed=landed,
                   ground=Ground.of(values.pop("ground", None)), commits=Commits(**values.pop("commits", {})), setup=Setup.of(values.pop("setup", None)),
                   baseline=Baseline.of(values.pop("baseline", None)),
                   source=Source(**{**source, "protocols": tuple(source["protocols"])}) if source else None,
                   access=Access.of(values.pop("access", None)), setup_access=Access.of(values.pop("setup_access", None)), **values)


def _read(path: Path, parse: Callable[[bytes], Any] = json.loads) -> Any:
    """Content of a job.json or result.json, with the names of this format."""
    values = parse(path.read_bytes())
    written = values.pop("format", 1) if isinstance(values, dict) else None
    if not isinstance(written, int):
        raise ValueError("it does not name its format")
    if written > FORMAT:
        raise Refused(f"{path} was written by a newer HITL Swarm (format {written}, this one knows {FORMAT}). It was not changed. Update the program.")
    if "machine" in values:  # format 1
        values["vm"] = values.pop("machine")
    return values


@lru_cache(maxsize=1000)
def format_of(folder: Path) -> int:
    """Format of the job in a run's folder, which never changes. Raises OSError while there is no job."""
    return int(json.loads((folder / "job.json").read_text(encoding="utf-8")).get("format", 1))


def _criteria(items: list[dict[str, Any]]) -> tuple[Criterion, ...]:
    return tuple(Criterion(**item) for item in items)


class Result:
    """Result of a run, written by the runner, never by the sandbox.

    outcome: 'ok' (out/out.bundle has base..tip), 'no_change', 'needs_input' (request is set; with a bundle if work was
    done), 'over_budget' (reason is set; with a bundle if work was done), 'failed' (failure says 'transient',
    'rate_limited', 'unreachable', 'ground', 'provider', 'agent' or 'permanent'). checks: [{text, command, exit, seconds, output, passed}],
    and before, unchanged, moved of engine/run/checks.py.
    at: date of the merge commit, in seconds since the epoch; so a repeated merge makes the same commit."""

    def __init__(self, run: str, outcome: str, at: int, **known: Any) -> None:
        """known: values of the attributes below. Raises TypeError for an unknown name."""
        self.run, self.outcome, self.at = run, outcome, at
        self.base: str | None = None
        self.tip: str | None = None
        self.failure: str | None = None
        self.reason: str | None = None
        self.request: dict[str, Any] | None = None
        self.checks: list[dict[str, Any]] = []
        self.phases: dict[str, float] = {}
        self.said: dict[str, Any] = {}  # from the agent about itself: session, tokens, message; {}: nothing
        self.usage: dict[str, Any] = {}  # use of models and network, as in engine/gateway/serving.py; {}: no gateway
        self.vm: dict[str, Any] = {}  # {accelerator, memory_mb, cpus, clone, boots, boot_ms: the longest one}; {}: no VM
        self.wait, self.stopped = 0.0, False  # seconds to wait for the model's provider; True: a limit, a person or a shutdown ended the agent
        self.merged: list[dict[str, str]] = []  # from a recheck run: [{run, merge: the merge commit}], from base to tip
        self.conflicts: list[dict[str, Any]] = []  # [{run, sentence, paths, detail}], conflicts with the base
        self.ground: dict[str, Any] = {}  # of its environment: {key, …}, see engine/run/setup.py; {}: it has none
        self.notes, self.ignored = list[str](), ""  # sentences: what was not committed as it was left; the ignored files that the run made
        for name, value in known.items():
            if name not in vars(self):
                raise TypeError(f"a result has no {name!r}")
            setattr(self, name, value)

    def write(self, folder: Path) -> None:
        write_json(folder / "result.json", {"format": FORMAT, **vars(self)})

    @classmethod
    def read(cls, folder: Path) -> "Result | None":
        """The result, or None if there is no result yet. One that cannot be read is a failed run. Raises Refused for a later format."""
        try:
            values = checked(_read(folder / "result.json", parsed))
        except FileNotFoundError:
            return None
        except ValueError as error:
            return cls(folder.name, "failed", 0, failure="transient", reason=f"The run's result.json cannot be used: {error}.")
        return cls(**{name: values[name] for name in vars(cls("", "", 0)) if name in values})


def ledgers_of(data: Path, session: str) -> Path:
    """Folder of a session's ledgers, in the data folder. Each run has a file there: <run id>.json."""
    return data / "budgets" / session


def as_json(value: Any) -> Any:
    """A named tuple and its content, as dicts and lists."""
    if isinstance(value, tuple):
        return {name: as_json(each) for name, each in value._asdict().items()} if hasattr(value, "_asdict") else [as_json(each) for each in value]
    return dict(value) if isinstance(value, Mapping) else value
