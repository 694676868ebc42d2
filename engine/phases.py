"""The steps of a run: what goes into a sandbox, the work in one, what comes out, and each check in another."""
import fcntl
import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from engine.agents import AGENTS, Agent, one_line, quoted
from engine.errors import AgentFailed, Permanent, Transient
from engine.jobs import Criterion, Job, Result, fsync_folder, open_foreign, read_foreign, write_json
from engine.repository import Repository
from engine.runtimes.base import Runtime, SandboxJob
from engine.watch import PHASE, Bounds, Log, Output, drain, look_at, watch

SCRIPTS = Path(__file__).resolve().parent / "scripts"
BUNDLE_BYTES = 512_000_000
NOT_COMMITTED = 113  # work.sh: the agent was done, its work could not be committed
UNUSABLE_BUNDLE = 113  # check.sh, before the check began
QUESTION_CHARACTERS, OPTIONS = 4096, 20


@dataclass
class Run:
    """A run in progress: its job, its folder and what is known of its result so far."""

    job: Job
    folder: Path
    runtime: Runtime
    result: Result
    log: Log
    began: float = field(default_factory=time.monotonic)

    def timed(self, phase: str, since: float) -> None:
        """Adds the milliseconds since `since` to a phase of the result."""
        self.result.phases[phase] = round(self.result.phases.get(phase, 0.0) + (time.monotonic() - since) * 1000, 1)

    def bounds(self, seconds: float | None = None, silence: float | None = None) -> Bounds:
        """The whole run's time, or `seconds` from now where that is less."""
        whole = self.job.limits.run_seconds
        if seconds is not None and time.monotonic() + seconds < self.began + whole:
            return Bounds(time.monotonic() + seconds, f"It took longer than {seconds:g} seconds, so it was stopped.", silence)
        return Bounds(self.began + whole, f"The run took longer than {whole:g} seconds, so it was stopped.", silence)


def bundle_in(run: Run, refs: list[str], target: Path) -> str:
    """The integration branch, and what else is named, as a bundle in a sandbox's inputs. -> the integration head that is in it"""
    target.parent.mkdir(parents=True, exist_ok=True)
    integration = f"refs/heads/{run.job.integration}"
    Repository(Path(run.job.repository)).bundle(target, [integration, *refs])
    with open(target, "rb") as file:
        return bundle_heads(file.read(1 << 16))[integration]


def work(run: Run) -> tuple[int, Output]:
    """The agent's work in one sandbox; run.result.base is set. -> its exit code and the end of its output"""
    job, inputs = run.job, run.folder / "in"
    agent = AGENTS.get(job.agent)
    script = agent.script(job) if agent else None
    if agent is None or script is None:
        raise Permanent(f"The agent {job.agent!r} is not one that can work on this ticket.")
    repository, branch = Repository(Path(job.repository)), f"refs/heads/{job.branch}"
    since = time.monotonic()
    resume = agent.resumes and repository.head(branch) is not None
    run.result.base = bundle_in(run, [branch] if resume else [], inputs / "in.bundle")
    _write(inputs / "prompt.md", job.prompt)
    _write(inputs / "agent.sh", script)
    _write(inputs / "message", _message(job, agent))
    _write_values(inputs / "job", integration=job.integration, branch=job.branch, base=run.result.base, resume="yes" if resume else "", agent=agent.name)
    _copy_scripts(inputs, "work.sh", "bin/swarm-ask")
    run.timed("inputs", since)
    since = time.monotonic()
    try:
        bounds = run.bounds(silence=job.limits.stall_seconds)
        return sandbox(run, inputs, run.folder / "out", "work.sh", _identity(agent), bounds, PHASE + b"agent")
    finally:
        run.timed("work", since)


def take_bundle(run: Run) -> Path | None:
    """A copy, out of reach of every sandbox, of the bundle that the work left; None if it left none. Sets run.result.tip."""
    source, copy = run.folder / "out" / "out.bundle", run.folder / "checks" / "in" / "out.bundle"
    if not os.path.lexists(source):
        return None
    with os.fdopen(open_foreign(source, BUNDLE_BYTES), "rb") as file:
        run.result.tip = bundle_heads(file.read(1 << 16)).get("refs/heads/swarm-out")
        if run.result.tip is None:
            raise AgentFailed("The run left a bundle without its branch swarm-out.")
        file.seek(0)
        copy.parent.mkdir(parents=True, exist_ok=True)
        with open(copy, "wb") as target:
            shutil.copyfileobj(file, target, 1 << 20)
            target.flush()
            os.fsync(target.fileno())
    return copy


def give_bundle(run: Run, copy: Path) -> None:
    """The copy takes the place of what the sandbox wrote: what was checked is then what is merged, byte for byte."""
    os.replace(copy, run.folder / "out" / "out.bundle")
    fsync_folder(run.folder / "out")


def bundle_heads(data: bytes) -> dict[str, str]:
    """{ref: sha} of a bundle's header, read without git. Raises AgentFailed for anything else."""
    header, end, _ = data.partition(b"\n\n")
    lines = header.decode("utf-8", "replace").split("\n")
    heads = {}
    for line in lines[1:]:
        sha, _, ref = line.partition(" ")
        if not line.startswith(("-", "@")):
            heads[ref] = sha
    if not end or lines[0] not in ("# v2 git bundle", "# v3 git bundle") or not all(_is_sha(sha) for sha in heads.values()):
        raise AgentFailed("The run left a bundle that cannot be read.")
    return heads


def question(run: Run) -> dict | None:
    """What the work asked a person, {question, options}, or None. Raises AgentFailed if that cannot be read."""
    path = run.folder / "out" / "request.json"
    if not os.path.lexists(path):
        return None
    try:
        value = json.loads(read_foreign(path).decode("utf-8", "replace"))
        text, options = value["question"].strip(), [str(option).strip() for option in value.get("options", [])]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, Permanent) as error:
        raise AgentFailed("The agent asked a question that cannot be read.") from error
    if not text:
        raise AgentFailed("The agent asked an empty question.")
    return {"question": text[:QUESTION_CHARACTERS], "options": [option[:QUESTION_CHARACTERS] for option in options if option][:OPTIONS]}


def check_all(run: Run) -> None:
    """Runs every criterion's command on a clean clone of the tip (of the base where nothing was changed), each in a sandbox of its own.
    Fills run.result.checks and checks.json; raises AgentFailed for the first that failed, after all have run."""
    todo, inputs = [criterion for criterion in run.job.criteria if criterion.check], run.folder / "checks" / "in"
    if not todo:
        return
    since = time.monotonic()
    if not (inputs / "in.bundle").exists():
        inputs.mkdir(parents=True, exist_ok=True)
        os.link(run.folder / "in" / "in.bundle", inputs / "in.bundle")
    _write_values(inputs / "job", integration=run.job.integration, tip=run.result.tip or run.result.base or "")
    _copy_scripts(inputs, "check.sh")
    for number, criterion in enumerate(todo, 1):
        run.result.checks.append(_check(run, inputs, number, criterion))
        write_json(run.folder / "checks.json", run.result.checks)
    run.timed("checks", since)
    for check in run.result.checks:
        if not check["passed"]:
            how = check["why"] or f"failed with exit code {check['exit']}"
            raise AgentFailed(f"The check “{one_line(check['command'])[:200]}” {how}.")


def _check(run: Run, inputs: Path, number: int, criterion: Criterion) -> dict:
    since = time.monotonic()
