"""What a job says of its repository: where it comes from, the snapshot on which its sandboxes stand, how one is made, and whose name its commits carry.

Named tuples, for the same reason as in engine/jobs.py."""
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

NOTHING: Mapping[str, Sequence[str]] = MappingProxyType({})


class Source(NamedTuple):
    """Where the repository of an epic comes from. url None: a new, empty repository. first_commit: someone wants one made there if it is empty."""

    url: str | None
    base_branch: str | None
    protocols: tuple[str, ...]
    first_commit: bool = False
    store: str = ""  # the bare repository that keeps what is fetched


class Ground(NamedTuple):
    """key: of the snapshot in data/environments; '' for none. disk_mb: most that a sandbox may write to its work tree, home and /tmp, which are then
    on the host's disk; 0: in memory, with fixed sizes. tree: name of the files of its base commit, in data/trees; they may be there.
    overlays: the program that can make overlays on this machine; '': none can; None: the run looks itself."""

    key: str = ""
    disk_mb: int = 0
    tree: str = ""
    overlays: str | None = None

    @classmethod
    def of(cls, value: Mapping[str, Any] | None) -> "Ground | None":
        return cls(**value) if value else None


class Setup(NamedTuple):
    """How a snapshot is made. steps: as in engine/environments/steps.py. commit: whose tree it is made in. base: key of an older snapshot that `update`
    begins with; '' to begin with nothing. ticket: the ticket whose commit it is; '' for the remote's branch. again: made even if there is one.
    seconds: time limit of all commands together. disk_mb: most that they may write. tenant: whose secrets the commands get. known: keys
    of snapshots that were made for commits before this one, and fit if their inputs do."""

    steps: Mapping[str, Any]
    commit: str = ""
    base: str = ""
    ticket: str = ""
    again: bool = False
    seconds: float = 1800.0
    disk_mb: int = 8192
    tenant: str = ""
    known: tuple[str, ...] = ()

    @property
    def secrets(self) -> tuple[str, ...]:
        """Names of the secrets that the commands get."""
        return tuple(self.steps.get("secrets", ()))

    @classmethod
    def of(cls, value: Mapping[str, Any] | None) -> "Setup | None":
        return cls(**{**value, "known": tuple(value.get("known", ()))}) if value else None


class Commits(NamedTuple):
    """As a repository's settings say. author: of the agent's commits, "Name <mail>"; '' for the agent's own profile. sign_off: the person who
    certifies them; '' for nobody."""

    author: str = ""
    sign_off: str = ""


class Before(NamedTuple):
    """What a check said at the base. result: red, green, cannot_run or flaky. exit: None if it took too long."""

    command: str
    result: str
    exit: int | None = None
    output: str = ""


class Baseline(NamedTuple):
    """What a run must know of the base. commit: the base; '' for the newest commit of the branch. checks: what is known of the job's own checks.
    times, known: of a baseline run: how often each check runs, and {"<commit> <key of the environment>": commands that need not run again}."""

    commit: str = ""
    checks: Sequence[Before] = ()
    times: int = 1
    known: Mapping[str, Sequence[str]] = NOTHING

    @classmethod
    def of(cls, value: Mapping[str, Any] | None) -> "Baseline | None":
        return cls(**{**value, "checks": tuple(Before(**each) for each in value["checks"])}) if value else None
