"""A recheck run, in its own process. It merges changes that passed alone, one after the other, next to the integration branch, and
checks the result. engine/finish/landing.py decides whether they are merged."""
import time
from pathlib import Path

from engine.crash import point
from engine.errors import MergeConflict, Permanent
from engine.git.branches import merge_message
from engine.git.merge import combine
from engine.git.repository import Repository
from engine.jobs import Criterion, TicketChange
from engine.run.checks import check_all
from engine.run.phases import bundle_in
from engine.run.sandbox import Run

FOLDER = "swarm-recheck/"  # branches that exist only while their bundle is made


def recheck(run: Run) -> None:
    """Sets result.base (the head under it), .tip (the last merge), .merged and .conflicts. Raises AgentFailed if a check fails."""
    since, job = time.monotonic(), run.job
    repository = Repository(Path(job.repository))
    with repository.locked():
        for left in repository.branches(FOLDER):  # left by a run that was killed below
            repository.delete_ref(f"refs/heads/{left}")
        head = repository.head(f"refs/heads/{job.integration}")
        if head is None:
            raise Permanent(f"The integration branch {job.integration} is no longer in {job.repository}.")
        tip = _combined(run, repository, head)
        together = {each["run"] for each in run.result.merged}
        criteria = _criteria(repository, head, [change for change in job.waiting if change.run in together], job.landed)
        if criteria:
            run.job = job._replace(integration=FOLDER + job.run, criteria=criteria)
            repository.set_branch(run.job.integration, tip)
            bundle_in(run, run.folder / "checks" / "in" / "in.bundle", [])
            repository.delete_ref(f"refs/heads/{run.job.integration}")
    run.result.base, run.result.tip = head, tip
    run.timed("merge", since)
    point("before-checks")
    if criteria:
        check_all(run)
    run.result.outcome = "ok"


def _combined(run: Run, repository: Repository, head: str) -> str:
    """Merges the changes onto `head` in order -> the last merge. A change that conflicts with another of them waits for the next time; a change
    that conflicts with the head itself is recorded as a conflict."""
    tip = head
    for change in run.job.waiting:
        message = merge_message(change.ticket, change.title, run.job.session, change.run)
        try:
            tip = combine(repository, tip, change.tip, message, run.result.at)
        except MergeConflict as conflict:
            if tip == head:
                run.result.conflicts.append({"run": change.run, "sentence": conflict.sentence, **conflict.extra})
            continue
        run.result.merged.append({"run": change.run, "merge": tip})
    return tip


def _criteria(repository: Repository, head: str, waiting: list[TicketChange], landed: tuple[TicketChange, ...]) -> tuple[Criterion, ...]:
    """Criteria of the changes, and of changes that were merged after their runs started. Each command is used once."""
    since = {sha for base in {change.base for change in waiting} for sha in repository.merged_since(base, head)}
    found: dict[str, Criterion] = {}
    for change in [*waiting, *(change for change in landed if change.tip in since)]:
        for criterion in change.criteria:
            if criterion.check and not criterion.waived:
                found.setdefault(criterion.check, criterion._replace(text=f"{change.ticket}: {criterion.text}"))
    return tuple(found.values())
