"""What the features of a build wait for once its repository is there: the environment of the repository, then the baseline.

It looks only at the current rows, so a step may be repeated after a crash in the middle of it. git work is done in a thread of its own.

Next: engine/loop/owned.py
"""
import threading
import time
from collections.abc import Callable

from engine.config import Config
from engine.environments import layers
from engine.environments.detecting import detected
from engine.environments.key import host_fingerprint, inputs_of, key_of
from engine.git.branches import repository_path
from engine.git.repository import Repository
from engine.git.tree import TreeAt
from engine.job import written
from engine.repositories import base_questions, requests, settings, snapshots, sources, versions
from engine.repositories.rows import EnvironmentVersionRow, RepositoryRow
from engine.runs import wanted
from engine.store.db import Database
from engine.tickets import settle
from engine.tickets.rows import TicketRow

# Epics with something to wait for, whose repository has no setup run, and whose session has no baseline run, at this moment. Every tick asks: the plus makes
# SQLite use the index of epics that wait instead of reading all tickets.
DUE = ("select e.* from tickets e join hitl_sessions s on s.id = e.session_id where e.waits_for is not null and e.status = 'running' and e.base_sha is not null"
       " and s.state = 'building' and not s.paused"
       " and not exists (select 1 from runs r where r.ticket_id is null and r.ended_at is null and r.kind in ('setup', 'baseline')"
       " and (r.owner_kind = 'repository' and r.owner = s.repository_id or r.owner_kind = 'session' and r.owner = s.id)) order by +e.seq")
REST_SECONDS = 30.0  # after an unexpected error


class Grounds:
    """note: called with the error of a thread. wake: called when it has ended. stands: True if sandboxes here can stand on a snapshot."""

    def __init__(self, db: Database, config: Config, note: Callable[..., None], wake: Callable[[], None], stands: Callable[[], bool]) -> None:
        self._db, self._config, self._note, self._wake, self._stands = db, config, note, wake, stands
        self._thread: threading.Thread | None = None
        self._resting: dict[str, float] = {}  # epics that had an unexpected error: until when they rest (monotonic)

    def send(self, inline: bool = False) -> None:
        """Does what is due. inline: in this thread, for an engine without its own thread."""
        if self._thread is not None and self._thread.is_alive():
            return
        due = [epic for epic in self._db.all(DUE, (), TicketRow) if self._resting.get(epic["id"], 0.0) < time.monotonic()]
        if inline:
            for epic in due:
                self.step(epic)
        elif due:
            self._thread = threading.Thread(target=self._go, args=(due,), name="grounds", daemon=True)
            self._thread.start()

    def _go(self, due: list[TicketRow]) -> None:
        try:
            for epic in due:
                try:
                    self.step(epic)
                except Exception as error:  # the outer edge of a thread: the epic waits on, and is looked at again
                    self._resting[epic["id"]] = time.monotonic() + REST_SECONDS
                    self._note(error, "grounds", ticket=epic["id"])
        finally:
            self._db.close()
            self._wake()

    def step(self, epic: TicketRow) -> None:
        """Lets the features of an epic go on, or starts what they wait for, or asks someone."""
        repository = sources.of_session(self._db, self._config, epic["session_id"])
        if repository is None:
            self._release(epic)
        elif epic["waits_for"] == "baseline":
            self._baseline(epic)
        elif not self._stands():
            self._found(epic, None)
        else:
            self._environment(epic, repository)

    def _environment(self, epic: TicketRow, repository: RepositoryRow) -> None:
        git, base = Repository(repository_path(self._config, epic["session_id"])), str(epic["base_sha"])
        self._obey(epic, repository)
        versions.drop_altered(self._db, repository)
        repository = sources.get(self._db, repository["tenant_id"], repository["id"])
        self._propose(repository, git, base)
        used, waiting = versions.approved(self._db, repository["id"]), versions.proposed(self._db, repository["id"])
        if settings.settings_of(repository).without or (used is None and waiting is None):
            self._found(epic, None)
        elif waiting is not None and used is None:
            with self._db.transaction():
                requests.ask_approval(self._db, epic, repository["name"], versions.steps_of(waiting))
        elif used is not None:
            self._stand(epic, repository, used, git, base)

    def _obey(self, epic: TicketRow, repository: RepositoryRow) -> None:
        """Does what the answer to the last request says, if it is not done yet."""
        with self._db.transaction():
            said = requests.take_answer(self._db, epic["id"])
            if said is None:
                return
            if said.text == requests.WITHOUT:
                settings.set_without(self._db, repository["id"], True)
            elif said.text == requests.APPROVE and said.sha256:
                waiting = versions.proposed(self._db, repository["id"])
                if waiting and waiting["sha256"] == said.sha256:  # else it is approved already, or someone wrote other steps and is asked about those
                    versions.approve(self._db, repository["id"], said.sha256, said.by)
                    requests.withdraw(self._db, repository["id"])

    def _propose(self, repository: RepositoryRow, git: Repository, base: str) -> None:
        """Proposes what WORKFLOW.md of the base says; otherwise, if nothing is approved yet, what the other files tell."""
        said = written.environment_at(git.path, base)
        if said.wrong:
            with self._db.transaction():
                requests.tell_wrong(self._db, repository, said.wrong)
        if said.steps is not None:
            used = versions.approved(self._db, repository["id"])
            proposal = versions.propose(self._db, repository, said.steps, "workflow", [written.FOUND])
            if proposal and used:
                with self._db.transaction():
                    requests.tell_newer(self._db, repository, proposal["sha256"])
        elif versions.approved(self._db, repository["id"]) is None:
            found = detected(TreeAt(git, base))
            if found.steps.setup:
                versions.propose(self._db, repository, found.steps, "detected", found.found)

    def _stand(self, epic: TicketRow, repository: RepositoryRow, used: EnvironmentVersionRow, git: Repository, base: str) -> None:
        """Uses the snapshot of the approved steps at the base, or has it made."""
        made_of = versions.steps_of(used)
        key = key_of(made_of, inputs_of(made_of, git.blobs(base)), host_fingerprint())
        snapshot = layers.read(layers.root(self._config.data) / key)
        if snapshot and layers.spoiled(self._config.data, snapshot):
            snapshot = None
        is_old = snapshots.is_old(self._db, repository["id"], key, made_of.days)
        if snapshot and snapshots.is_known(self._db, repository["id"], key) and not is_old:
            with self._db.transaction():
                snapshots.used(self._db, repository["id"], key)
            self._found(epic, key)
            return
        older = snapshots.newest(self._db, repository["id"])
        wanted.want(self._db, "setup", "repository", repository["id"], repository["tenant_id"],
                    {"commit": base, "sha256": used["sha256"], "session": epic["session_id"], "base": older["key"] if older and made_of.update else "",
                     "again": is_old},
                    epic["session_id"])

    def _found(self, epic: TicketRow, key: str | None) -> None:
        """The environment is known. Next is what the checks say at the base."""
        with self._db.transaction():
            self._db.execute("update tickets set waits_for = 'baseline', environment = ? where id = ? and waits_for is not null", (key, epic["id"]))
            self._baseline(self._db.the("select * from tickets where id = ?", (epic["id"],), TicketRow))

    def _baseline(self, epic: TicketRow) -> None:
        with self._db.transaction():
            if base_questions.step(self._db, epic):
                self._release(epic)

    def _release(self, epic: TicketRow) -> None:
        """The features may start."""
        with self._db.transaction():
            self._db.execute("update tickets set waits_for = null where id = ?", (epic["id"],))
            settle.session(self._db, epic["session_id"])


def failed(db: Database, run_id: str, repository: RepositoryRow, reason: str) -> None:
    """A setup run failed or was stopped: the builds that wait for it ask, or the repository itself does. In the caller's transaction."""
    waiting = db.all("select e.* from tickets e join hitl_sessions s on s.id = e.session_id where e.waits_for = 'environment' and e.status = 'running'"
                     " and s.state = 'building' and s.repository_id = ?", (repository["id"],), TicketRow)
    for epic in waiting:
        requests.ask_after_failure(db, epic, run_id, repository["name"], reason)
    if not waiting:
        requests.tell_repository(db, repository["tenant_id"], repository["id"], run_id, repository["name"], reason)

