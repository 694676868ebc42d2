"""A repository with an integration branch, and the real runner over it."""
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conftest import HANG, git, require

from engine.config import ROOT, Config
from engine.git.repository import Repository
from engine.host.processes import RUN_VARIABLE, is_held, members, take_lock
from engine.job.access import keys_file
from engine.jobs import Criterion, Job, Limits, Result
from engine.run.runner import command
from engine.runtimes import make

LIMITS = Limits(run_seconds=60, stall_seconds=60, check_seconds=60, log_mb=2, work_mb=64, memory_mb=2048, processes=256)
INTEGRATION, BRANCH = "swarm/5e5510aa/tkt-001-demo", "swarm/5e5510aa/tkt-002-greet"


@dataclass
class Bench:
    """A repository with an integration branch, and runs over it."""

    runtime: str
    folder: Path
    runs: list[subprocess.Popen] = field(default_factory=list)
    prefix: tuple[str, ...] = ()  # words before the runner's own: a program that changes its surroundings and becomes it

    def __post_init__(self) -> None:
        self.repository = Repository(self.folder / "repos" / "demo.git")

    def prepared(self) -> "Bench":
        self.repository.create()
        self.repository.set_branch(INTEGRATION, self.repository.start_fresh("Demo", 0))
        return self

    def job(self, script: str = "", kind: str = "feature", checks: tuple[str, ...] = (), **values: Any) -> Job:
        limits = LIMITS._replace(**{name: values.pop(name) for name in list(values) if hasattr(LIMITS, name)})
        job = Job(run=f"run-{self.runtime}-{os.getpid()}-{len(self.runs) + 1}", kind=kind, ticket="TKT-002", session="5e5510aa-session", title="Greet people",
                  description=f"Do this:\n\n```sh\n{script}\n```\n" if script else "Greet people.", project="Demo",
                  repository=str(self.repository.path), integration=INTEGRATION, branch=BRANCH, runtime=self.runtime, agent="runbook",
                  prompt="Greet people.", limits=limits, program=make(self.runtime).program, criteria=tuple(Criterion("works", check) for check in checks))
        return job._replace(**values)

    def start(self, job: Job) -> tuple[Path, subprocess.Popen]:
        folder = self.folder / "runs" / job.run
        folder.mkdir(parents=True)
        job.write(folder)
        lock = take_lock(folder / "lock")
        assert lock is not None
        with open(folder / "runner.err", "wb") as errors:
            runner = subprocess.Popen([*self.prefix, *command(ROOT, folder)], pass_fds=[lock], start_new_session=True, stdin=subprocess.DEVNULL, stdout=errors,
                                      stderr=errors, cwd="/", env={"PATH": os.environ["PATH"], RUN_VARIABLE: job.run})
        os.close(lock)
        self.runs.append(runner)
        return folder, runner

    def run(self, script: str = "", **values: Any) -> tuple[Result, Path]:
        """A run to its end, and what must hold after each: the locks are free, nothing of it lives, nothing went wrong unseen."""
        job = self.job(script, **values)
        folder, runner = self.start(job)
        runner.wait(HANG)
        result = Result.read(folder)
        assert result is not None and result.run == job.run
        assert not is_held(folder / "lock") and not is_held(folder / "sandbox.lock")
        assert list(members(job.run, folder)) == []
        assert (folder / "runner.err").read_text() == ""
        return result, folder

    def run_with_keys(self, job: Job, config: Config, folder: Path | None = None, wait: float = HANG) -> tuple[Result, Path]:
        """The job to its end, started as the engine starts it: what it may have of keys and secrets is on its standard input.
        folder: of the runs, if it is another one."""
        folder = (folder or self.folder / "runs") / job.run
        folder.mkdir(parents=True)
        job.write(folder)
        lock, keys = take_lock(folder / "lock"), keys_file(config, job)
        assert lock is not None
        with open(folder / "runner.err", "wb") as errors:
            runner = subprocess.Popen(command(ROOT, folder), pass_fds=[lock], start_new_session=True, stdin=keys, stdout=errors, stderr=errors, cwd="/",
                                      env={"PATH": os.environ["PATH"], RUN_VARIABLE: job.run})
        os.close(lock)
        os.close(keys)
        self.runs.append(runner)
        runner.wait(wait)
        result = Result.read(folder)
        assert result is not None and (folder / "runner.err").read_text() == ""
        return result, folder

    def take(self, folder: Path) -> Path:
        """A clone of what the run left, as the host would take it in."""
        git(self.folder, "clone", "-q", "-b", INTEGRATION, str(self.repository.path), f"taken-{folder.name}")
        clone = self.folder / f"taken-{folder.name}"
        git(clone, "fetch", "-q", str(folder / "out" / "out.bundle"), "refs/heads/swarm-out:refs/heads/swarm-out")
        return clone


def log_of(folder: Path) -> str:
    return (folder / "log").read_text(errors="replace")


def bench_of(runtime: str, folder: Path) -> Iterator[Bench]:
    """For a fixture: a prepared bench, whose runners are ended after the test."""
    if runtime == "bubblewrap":
        require("bwrap")
    bench = Bench(runtime, folder).prepared()
    yield bench
    for runner in bench.runs:
        runner.kill()
        runner.wait()
