"""The run folder: what the engine hands to a run, and what the run leaves behind.

    data/runs/<run id>/  job.json  lock  started.json  sandbox.lock  log  checks.json  result.json      (host only)
                         in/    read-only in the sandbox: in.bundle, prompt.md, job
                         out/   the only writable path shared with the sandbox: out.bundle, request.json
"""
import json
import os
import stat
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import Permanent

SMALL = 1 << 20  # bytes; the most that is read of a small file that a sandbox wrote


@dataclass(frozen=True)
class Limits:
    """What one run may use. Seconds of wall clock; MB are 10^6 bytes."""

    run_seconds: float
    stall_seconds: float
    check_seconds: float
    log_mb: int
    work_mb: int
    memory_mb: int
    processes: int


@dataclass(frozen=True)
class Criterion:
    """One acceptance criterion; `check` is a shell command, empty where only a person can judge."""

    text: str
    check: str = ""


@dataclass(frozen=True)
class Source:
    """Where an epic's repository comes from; url None: a fresh one."""

    url: str | None
    base_branch: str | None
    protocols: tuple[str, ...]


@dataclass(frozen=True)
class Job:
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

    def write(self, folder: Path) -> None:
        write_json(folder / "job.json", asdict(self))

    @classmethod
    def read(cls, folder: Path) -> "Job":
        values = json.loads((folder / "job.json").read_text(encoding="utf-8"))
        source = values.pop("source")
        return cls(limits=Limits(**values.pop("limits")), criteria=tuple(Criterion(**c) for c in values.pop("criteria")),
                   source=Source(source["url"], source["base_branch"], tuple(source["protocols"])) if source else None, **values)


@dataclass
class Result:
    """What the runner, never the sandbox, says of a run.

    outcome: 'ok' (there is out/out.bundle with base..tip), 'no_change', 'needs_input' (request is set; a bundle if work was
    done), 'failed' (failure says 'transient', 'agent' or 'permanent'). checks: [{text, command, exit, seconds, output, passed}].
    at: seconds since the epoch, the date of the merge commit, so that repeating the merge makes the same object."""

    run: str
    outcome: str
    at: int
    base: str | None = None
    tip: str | None = None
    failure: str | None = None
    reason: str | None = None
    request: dict[str, Any] | None = None
    checks: list[dict] = field(default_factory=list)
    phases: dict[str, float] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        write_json(folder / "result.json", asdict(self))

    @classmethod
    def read(cls, folder: Path) -> "Result | None":
        try:
            return cls(**json.loads((folder / "result.json").read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None


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
            found.append(Criterion(str(item.get("text") or check), check))
    return tuple(found)


def write_json(path: Path, value: object) -> None:
    """All or nothing, and on the disk when it returns: write beside it, fsync, rename, fsync the folder."""
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, path)
    fsync_folder(path.parent)


def fsync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_foreign(path: Path, limit: int) -> int:
    """A descriptor of a file that a sandbox wrote: a regular file with one link and at most `limit` bytes. Raises Permanent otherwise."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Permanent(f"The run left no usable {path.name}: {error.strerror}.") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1 or status.st_size > limit:
        os.close(descriptor)
        raise Permanent(f"The run left a {path.name} that is not a plain file of at most {limit // 1_000_000 or 1} MB.")
    return descriptor


def read_foreign(path: Path, limit: int = SMALL) -> bytes:
    """The bytes of a small file that a sandbox wrote; Permanent as for open_foreign."""
    with os.fdopen(open_foreign(path, limit), "rb") as file:
        return file.read(limit + 1)[:limit]
