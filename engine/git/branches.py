"""Stores a finished run in its session's repository: keeps its work on the ticket's own branch, merges it into the integration branch.

Next: engine/finish/outcomes.py
"""
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engine.config import Config
from engine.crash import point
from engine.errors import AgentFailed, Permanent, PolicyViolation
from engine.git.branch_names import kept_folder
from engine.git.bundle import Unusable
from engine.git.harvest import keep_aside, take_in
from engine.git.merge import advance, merge
from engine.git.repository import Repository
from engine.jobs import Result

MASS = 20  # deleted files: fewer are nothing unusual, even in a small repository
REFUSED = "refused.bundle"  # in the folder of a run
ASIDE_BYTES = 25_000_000  # of a refused bundle; each later run of the ticket would have to copy a larger one


@dataclass(frozen=True)
class HandOver:
    """A run's result that goes into the repository. branch: the ticket's own; integration: the epic's.
    reviewed: the number of the run if its commit is reviewed; then the commit is kept, whatever happens to the branch."""

    run: str
    ticket: str
    title: str
    session: str
    branch: str
    integration: str
    result: Result
    reviewed: int | None = None


class Branches(Protocol):
    """All steps are repeatable: done again, also after a crash, they make the same commits."""

    def keep(self, work: HandOver) -> str:
        """Sets the ticket's own branch to the run's last commit. -> the tip. Raises AgentFailed (nothing new, or refused: by the policy, or because it
        does not build on its base), Permanent (the repository is damaged), Transient."""
    def keep_aside(self, work: HandOver) -> None:
        """Keeps the commits that the run made and did not deliver, for the ticket's next run. Raises AgentFailed (unusable), Permanent, Transient."""
    def deletion(self, work: HandOver, tip: str) -> str:
        """A sentence about a change that deletes most files of its base, so that someone must look at it; '' for any other change."""
    def merge(self, work: HandOver, tip: str, onto: str | None = None) -> str | None:
        """-> the head of the integration branch with `tip` in it; None, with nothing done, if the branch is not at `onto` and the
        tip is not in it. Raises MergeConflict, for any head of the branch; Transient."""
    def whole(self, session: str, integration: str) -> str:
        """-> the head of the integration branch. Raises Permanent if it is gone."""
    def advance(self, session: str, integration: str, result: Result) -> bool:
        """Moves the integration branch from a recheck run's base to its tip. False, with nothing done: it has moved meanwhile."""


class GitBranches:
    """Branches in the bare repositories under data/repos."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def keep(self, work: HandOver) -> str:
        """Takes in out.bundle, through the quarantine and the policy."""
        repository, folder = Repository(repository_path(self._config, work.session)), self._config.data / "runs" / work.run
        bundle, refused = folder / "out" / "out.bundle", folder / REFUSED
        with repository.locked():
            try:
                tip = self._keep(repository, bundle if bundle.exists() or not refused.exists() else refused, work)
            except (PolicyViolation, Unusable) as why:
                raise AgentFailed(f"{why.sentence} So the work was not taken. {_set_aside(repository, bundle, refused, work)}") from why
            if work.reviewed is not None:
                repository.git("update-ref", "--end-of-options", reviewed_ref(work.ticket, work.reviewed), tip)
            return tip

    def _keep(self, repository: Repository, bundle: Path, work: HandOver) -> str:
        if work.result.base is None:
            raise Permanent("The run does not name its base commit.")
        before = repository.head(f"refs/heads/{work.branch}")
        if before == work.result.tip and not bundle.exists():
            return str(work.result.tip)  # kept before, by this run or by the approved run
        point("before-harvest")
        for left in (repository.path / "refs" / "swarm" / "runs").glob("*"):  # by a run whose git was killed below
            repository.delete_ref(f"refs/swarm/runs/{left.name}")
        tip = take_in(repository, bundle, work.run, work.result.base)
        try:
            if tip != work.result.tip:
                raise AgentFailed(f"The run handed over commit {tip[:12]}, but {str(work.result.tip)[:12]} was checked.")
            if tip == work.result.base:
                raise AgentFailed("The run handed over no commit of its own.")
            repository.set_branch(work.branch, tip, before)
        finally:
            repository.delete_ref(f"refs/swarm/runs/{work.run}")  # here, where a failure only means another try; after a merge it would mean more
        point("after-harvest")
        return tip

    def keep_aside(self, work: HandOver) -> None:
        repository = Repository(repository_path(self._config, work.session))
        bundle = self._config.data / "runs" / work.run / "out" / "kept.bundle"
        if os.path.lexists(bundle):
            with repository.locked():
                try:
                    keep_aside(repository, bundle, work.run, str(work.result.base), kept_folder(work.branch))
                except Unusable as error:
                    raise AgentFailed(f"{error.sentence} So the commits that it did not deliver are not kept.") from error

    def deletion(self, work: HandOver, tip: str) -> str:
        repository, base = Repository(repository_path(self._config, work.session)), str(work.result.base)
        deleted, files = repository.count_deleted(base, tip), repository.count_files(base)
        return f"The change deletes {deleted} of the {files} files that were there." if deleted >= MASS and 2 * deleted > files else ""

    def merge(self, work: HandOver, tip: str, onto: str | None = None) -> str | None:
        repository = Repository(repository_path(self._config, work.session))
        with repository.locked():
            return merge(repository, tip, work.integration, merge_message(work.ticket, work.title, work.session, work.run), work.result.at, onto)

    def whole(self, session: str, integration: str) -> str:
        path = repository_path(self._config, session)
        head = Repository(path).head(f"refs/heads/{integration}") if path.is_dir() else None
        if head is None:
            raise Permanent(f"The integration branch {integration} is no longer in {path}. Put it back, or start a new session.")
        return head

    def advance(self, session: str, integration: str, result: Result) -> bool:
        repository = Repository(repository_path(self._config, session))
        with repository.locked():
            return advance(repository, integration, str(result.tip), str(result.base))


def _set_aside(repository: Repository, bundle: Path, refused: Path, work: HandOver) -> str:
    """Keeps a refused bundle: as commits for the ticket's next run if git can read it and it is not large, otherwise as a file. -> a sentence about it"""
    if bundle.exists() and bundle.stat().st_size <= ASIDE_BYTES:
        with suppress(Unusable):
            names = keep_aside(repository, bundle, work.run, str(work.result.base), kept_folder(work.branch))
            return f"The next attempt finds it in its clone as {', '.join(f'swarm-kept/{name}' for name in names)}."
    if bundle.exists():
        os.replace(bundle, refused)
    return f"It is in runs/{work.run}/{REFUSED} of the data folder." if refused.exists() else ""


def merge_message(ticket: str, title: str, session: str, run: str) -> str:
    return f"Merge {ticket}: {' '.join(title.split())[:200]}\n\nTicket: {ticket}\nSession: {session}\nRun: {run}\n"


def reviewed_ref(ticket: str, number: int) -> str:
    """The ref that keeps a reviewed commit, because review comments refer to it, even after the branch was rewritten."""
    return f"refs/swarm/reviewed/{ticket}/{number}"


def repository_path(config: Config, session_id: str) -> Path:
    return config.data / "repos" / f"{session_id}.git"
