"""The part of a run that needs a sandbox for the work of a ticket. Its checks: engine/run/checks.py.

Next: engine/run/sandbox.py
"""
import signal
import time
from pathlib import Path

from engine.agents import AGENTS, Agent, session
from engine.agents.log import described, read, why_failed
from engine.errors import AgentFailed, Permanent, Transient
from engine.git import ignored
from engine.git.branch_names import kept_folder
from engine.git.repository import Repository
from engine.jobs import Job, Limits
from engine.run import services
from engine.run.checks import give_scripts, to_check
from engine.run.history import give_history
from engine.run.inputs import copy_relay, copy_scripts, give_ground, write, write_values
from engine.run.limits import OverLimit
from engine.run.output import PHASE, Output
from engine.run.outputs import read_report
from engine.run.sandbox import Run, run_sandbox
from engine.text import one_line

COMMIT = ("work-tree.sh", "commit.sh", "commit-tree.sh", "commit-nested.sh", "commit-lost.sh", "commit-history.sh")  # the commit phase
NOT_COMMITTED = 113    # commit.sh: the agent ended, but its work could not be committed
HOOK_FAILED = 114      # work.sh: after_create or before_run


def work(run: Run) -> None:
    """Runs the agent in one sandbox. Sets run.result.base. Raises AgentFailed when the agent gave up or a limit was exceeded."""
    job, inputs = run.job, run.folder / "in"
    agent = AGENTS.get(job.agent)
    script = agent.script(job) if agent else None
    if agent is None or script is None:
        raise Permanent(f"The agent {job.agent!r} cannot work on this ticket.")
    since = time.monotonic()
    own, refs = _earlier_work(job, agent)
    base = run.result.base = bundle_in(run, inputs / "in.bundle", refs)
    texts = {"prompt.md": job.prompt, "agent.sh": script, "message": message(job, agent), "ignored": ignored.TEXT}
    for name, text in {**texts, **{f"hook-{name}": text for name, text in job.means.hooks.items()}}.items():
        write(inputs / name, text)
    write_values(inputs / "job", integration=job.integration, branch=job.branch, base=base, resume="yes" if own in refs else "",
                  kept="yes" if set(refs) - {own} else "", agent=agent.name, keeps=" ".join(agent.keeps), sign_off=job.commits.sign_off,
                  hook_seconds=f"{job.means.hook_seconds:g}", service_seconds=services.seconds(job.limits))
    session.give(run.folder, job, inputs)
    copy_scripts(inputs, "work.sh", "clone.sh", "services.sh", "onto-base.sh", *COMMIT, "bin/swarm-ask")
    copy_relay(run, inputs)
    give_ground(run, inputs)
    if to_check(job):
        give_scripts(run)  # now, because the program may be updated while the agent works
    run.log.write("".join(f"{note}\n" for note in job.means.notes).encode())
    run.timed("inputs", since)
    since, output = time.monotonic(), Output(run.log, PHASE + b"agent ")
    environment = {**_identity(job.commits.author or agent.author), **(run.service.environment() if run.service else {})}
    try:
        code = run_sandbox(run, "work.sh", inputs, run.folder / "out", environment, output, run.bounds(silence=job.limits.stall_seconds), agent=True)
    except AgentFailed as error:
        raise services.blamed(error, inputs, output) from error
    finally:
        run.timed("work", since)
        report = read(agent, run.folder / "log")
        run.result.said = described(report)
        committed = read_report(run.folder / "out")
        run.result.notes, run.result.ignored = committed.notes, committed.ignored
        not_kept = session.keep(run.folder)
        if not_kept:
            run.log.write(f"The agent's session is not kept. {not_kept}\n".encode())
    _judge(code, output, job.limits, why_failed(agent, report, code) if output.reached else None, committed.failed)


def _earlier_work(job: Job, agent: Agent) -> tuple[str, list[str]]:
    """-> (full name of the ticket's own branch, refs of earlier work that the agent gets). Raises Permanent without a repository."""
    if not Path(job.repository).is_dir():
        raise Permanent(f"The repository of this session is not there: there is no {job.repository}. It may have been removed after its delivery. "
                        "Copy it back, or start a new session.")
    own = f"refs/heads/{job.branch}"
    return own, [ref for ref in Repository(Path(job.repository)).refs(own, kept_folder(job.branch)) if ref != own or agent.resumes or job.resume]


def _judge(code: int, output: Output, limits: Limits, why: str | None, uncommitted: list[str]) -> None:
    """Judges the exit code of work.sh, `why` from the agent's events, and `uncommitted`, what failed in the commit phase. All may be forged:
    success proves nothing, only the bundle and the checks count."""
    last = f": {output.last_line()}" if output.last_line() else "."
    services.refuse_failed(code, output)
    if code != 0 and not output.reached:
        raise Transient(f"The work tree could not be made{last}")
    if code in (128 + signal.SIGXFSZ, -signal.SIGXFSZ):
        raise OverLimit(f"The run wrote a file of more than {limits.work_mb} MB, so it was stopped.")
    if code == HOOK_FAILED:
        raise AgentFailed(f"WORKFLOW.md of the repository has a hook that failed{last}")
    if code and not (code == NOT_COMMITTED and uncommitted):
        if code == NOT_COMMITTED:
            why = f"The agent's work could not be committed{last}"
        words = output.last_line(before="commit")
        why = why or (f"The agent {f'ended with exit code {code}' if code > 0 else f'was ended by signal {-code}'}{f': {words}' if words else '.'}")
    reasons = [*([why] if why else []), *uncommitted]
    if reasons:
        raise AgentFailed(" ".join(reason if reason.endswith((".", "!", "?")) or reason is reasons[-1] else f"{reason}." for reason in reasons))


def bundle_in(run: Run, target: Path, further: list[str]) -> str:
    """Gives the integration branch and further refs to a sandbox, as give_history() does. -> the branch's head"""
    job = run.job
    repository, integration = Repository(Path(job.repository)), f"refs/heads/{job.integration}"
    try:
        return give_history(run, repository, target, [integration, *further])[integration]
    except Permanent:
        if not repository.refs(integration):
            raise Permanent(f"The integration branch {job.integration} is no longer in {job.repository}.") from None
        raise


def message(job: Job, agent: Agent) -> str:
    """Message of the commit for work that the agent left uncommitted."""
    trailers = f"Ticket: {job.ticket}\nSession: {job.session}\nAssisted-by: {agent.name}"
    return "\n\n".join(part for part in (one_line(job.title)[:200] or job.ticket, agent.note(job), trailers) if part) + "\n"


def _identity(author: str) -> dict[str, str]:
    name, _, email = author.rstrip(">").partition(" <")
    return {"GIT_AUTHOR_NAME": name, "GIT_AUTHOR_EMAIL": email, "GIT_COMMITTER_NAME": name, "GIT_COMMITTER_EMAIL": email}
