"""Delivers a finished build to the repository that its card names: checks it for secrets, pushes it, opens a pull request, watches that.

    intended → pushed → opened → delivered → watched → merged or closed          done: a plain git remote, nothing to watch

Steps run on their own threads, never in a tick. Each step first looks at what exists already, so it may be repeated after a crash."""
from collections.abc import Callable

from engine.config import Config
from engine.crash import point
from engine.delivery import feedback as comeback
from engine.delivery import leaks
from engine.delivery.pull_request_text import body, known_secrets, title
from engine.delivery.push import Remote, branch_heads, push
from engine.delivery.tell import tell
from engine.errors import BadRequest, Permanent, PolicyViolation, RateLimited, RunFailure, TokenRefused, Transient
from engine.forge import Place, connect, login_of, place_of
from engine.forge.base import Forge
from engine.git.branches import repository_path
from engine.git.repository import Repository
from engine.git.source import validate_source
from engine.log import event
from engine.store.db import Database
from engine.tickets import deliveries, requests
from engine.tickets.approved_card import approved_card
from engine.tickets.delivery_answers import APPROVE, NO_SECRET, RETRY, STOP_WATCHING, WITHOUT, complete
from engine.tickets.rows import DeliveryRow, TicketRow
from engine.tickets.states import get
from engine.times import NOW, delay, utc

MOST_TRIES = 12   # transient failures in a row, over about half an hour; then a request is opened
FEATURES_SECONDS = 1.0


class NeedsApproval(PolicyViolation):
    """Protected paths were changed, and this commit is not approved yet."""


class Deliverer:
    """Does the steps of deliveries. Any thread may call it, but only one per delivery at a time."""

    def __init__(self, db: Database, config: Config) -> None:
        self.db, self.config = db, config
        self._steps: dict[str, Callable[[DeliveryRow], DeliveryRow | None]] = {
            "intended": self._push, "pushed": self._open, "opened": self._complete, "delivered": self._ready, "watched": self._look}

    def step(self, row: DeliveryRow) -> None:
        """Does all steps that are possible now, until the delivery must wait. Raises for bugs and storage failures.

        row: as it was read. If the delivery has moved on meanwhile, nothing is done, because an old step could open a second pull request."""
        now = deliveries.still(self.db, row)
        while now is not None and not deliveries.is_held(self.db, now):
            row = now
            try:
                now = (self._look if row["waiting"] else self._steps[row["state"]])(row)
            except RunFailure as error:
                self._stopped(row, error)
                return

    # Steps: each does one thing outside and records it -> the new row, or None if no further step is possible now

    def _push(self, row: DeliveryRow) -> DeliveryRow | None:
        url, protocols = self._source(row)
        repository, ticket = Repository(repository_path(self.config, row["session_id"])), self._ticket(row)
        place, only_new = place_of(self.config, url), self._by_feature(row)
        self._look_through(row, repository, ticket)
        remote = Remote(url, protocols, **login_of(self.config, url))
        if row["branch"] == (row["base_branch"] or ""):
            raise Permanent(f"{row['branch']} is also the base branch, and HITL Swarm never pushes to the base branch.")
        point("before-push")
        pushed = push(repository, remote, row["branch"], row["tip_sha"], row["pushed_sha"], only_new)
        point("after-push")
        event("pushed", ticket=row["ticket_id"], branch=row["branch"], tip=row["tip_sha"], anew=pushed)
        now = deliveries.move(self.db, row, "pushed", pushed_sha=row["tip_sha"], forge=place.forge if place else None, project=place.project if place else None)
        point("after-pushed")
        return now

    def _open(self, row: DeliveryRow) -> DeliveryRow | None:
        """Opens the pull request; a plain git remote has none."""
        place = self._place(row)
        if place is None:
            self._end_plain(row, f"The branch {row['branch']} is in {row['repository']}.")
            return None
        if self._by_feature(row):
            return deliveries.move(self.db, row, "opened")
        if not self._base_is_there(row):
            self._wait(row, None, FEATURES_SECONDS, 0)
            return None
        forge, ticket = connect(self.config, place), self._ticket(row)
        base = deliveries.onto(self.db, row) or forge.default_branch()
        self._check_base(row, ticket, base)
        point("before-open")
        change = forge.find_open_change(row["branch"]) or forge.open_change(row["branch"], base, title(self.config, ticket), body(self.db, self.config, ticket))
        point("after-open")
        event("opened", ticket=row["ticket_id"], number=change.number, url=change.url)
        with self.db.transaction():
            now = deliveries.move(self.db, row, "opened", number=change.number, pr_url=change.url,
                                  ready_number=row["ready_number"] if change.ours else change.number)
            if now:
                self.db.execute(f"update tickets set pr_url = ?, updated_at = {NOW} where id = ?", (change.url, row["ticket_id"]))
        point("after-opened")
        return now

    def _end_plain(self, row: DeliveryRow, said: str) -> None:
        point("before-complete")
        with self.db.transaction():
            if deliveries.move(self.db, row, "done", reason=said):
                self.db.execute(f"update tickets set pr_url = null, updated_at = {NOW} where id = ?", (row["ticket_id"],))
                complete(self.db, row["session_id"], said)
        point("after-complete")
        event("delivered", ticket=row["ticket_id"], branch=row["branch"])

    def _complete(self, row: DeliveryRow) -> DeliveryRow | None:
        """Completes the epic when all its pull requests are open."""
        point("before-complete")
        with self.db.transaction():
            now = deliveries.move(self.db, row, "delivered")
            if now:
                complete(self.db, row["session_id"])
        point("after-complete")
        event("delivered", ticket=row["ticket_id"], branch=row["branch"], url=row["pr_url"])
        return now if now and self.db.value("select 1 from hitl_sessions where id = ? and state = 'completed'", (row["session_id"],)) else None

    def _ready(self, row: DeliveryRow) -> DeliveryRow | None:
        """Marks the pull request as ready for review, once, with its current text, and answers the comments that were handled."""
        place = self._place(row)
        if place is not None and row["number"] is not None:
            forge, ticket = connect(self.config, place), self._ticket(row)
            forge.finish_draft(row["number"], title(self.config, ticket), body(self.db, self.config, ticket), ready=row["ready_number"] != row["number"])
            tell(self.db, row, forge)
        point("after-ready")
        deliveries.move(self.db, row, "watched", not_before=utc(after=self.config.forge_poll_seconds), ready_number=row["number"])
        return None

    def _look(self, row: DeliveryRow) -> None:
        place = self._place(row)
        if place is None and row["waiting"] is None:
            deliveries.move(self.db, row, "done", reason="No forge is configured now, so the pull request is no longer watched.")
        elif place is not None and row["number"] is None:  # each feature had its own pull request
            self._open_whole(row, place)
        elif now := comeback.take_in(self.db, self.config, row, self._moved(row, place)) if place else row:
            deliveries.look_later(self.db, now, utc(after=self.config.forge_poll_seconds))

    def _moved(self, row: DeliveryRow, place: Place) -> Forge:
        """The forge, where the pull request is onto the right branch: the one below it may have been merged."""
        forge, old, new = connect(self.config, place), row["base_branch"], deliveries.onto(self.db, row)
        if row["number"] is not None and old and new and old != new:
            forge.move_base(row["number"], old, new)
            self.db.execute("update deliveries set base_branch = ? where seq = ?", (new, row["seq"]))
        return forge

    def _open_whole(self, row: DeliveryRow, place: Place) -> None:
        """Opens the pull request of the integration branch, after all features' pull requests were merged into it on the forge."""
        if any(each["state"] != "merged" for each in deliveries.by_feature(self.db, row)):
            self._wait(row, None, self.config.forge_poll_seconds, 0)
            return
        forge, ticket = connect(self.config, place), self._ticket(row)
        base = row["base_branch"] or forge.default_branch()
        change = forge.find_open_change(row["branch"]) or forge.open_change(row["branch"], base, title(self.config, ticket), body(self.db, self.config, ticket))
        forge.finish_draft(change.number, title(self.config, ticket), body(self.db, self.config, ticket), ready=change.ours)
        with self.db.transaction():
            if deliveries.move(self.db, row, "watched", number=change.number, pr_url=change.url, ready_number=change.number):
                self.db.execute(f"update tickets set pr_url = ?, updated_at = {NOW} where id = ?", (change.url, row["ticket_id"]))

    # Helpers of the steps

    def _ticket(self, row: DeliveryRow) -> TicketRow:
        return get(self.db, row["tenant_id"], row["ticket_id"])

    def _source(self, row: DeliveryRow) -> tuple[str, tuple[str, ...]]:
        try:
            return validate_source(row["repository"], self.config.repository_roots, self.config.repository_url, self.config.repository_protocols)
        except BadRequest as error:
            raise Permanent(error.sentence) from error

    def _place(self, row: DeliveryRow) -> Place | None:
        return place_of(self.config, self._source(row)[0])

    def _by_feature(self, row: DeliveryRow) -> bool:
        """True for an epic whose features have their own pull requests; for the epic itself only the start of its branch is pushed."""
        card = approved_card(self.db, row["session_id"])
        return bool(card.get("pull_requests") == "feature" and self._ticket(row)["type"] == "epic" and place_of(self.config, self._source(row)[0]))

    def _base_is_there(self, row: DeliveryRow) -> bool:
        """True if the base of the pull request exists: a feature's base is the branch of another delivery of the build, which pushes it."""
        if self._ticket(row)["parent_id"] is None:
            return True
        return self.db.value("select 1 from deliveries where session_id = ? and branch = ? and pushed_sha is not null",
                             (row["session_id"], deliveries.onto(self.db, row))) is not None

    def _check_base(self, row: DeliveryRow, ticket: TicketRow, base: str) -> None:
        """A pull request needs its base branch, which may have been deleted since the build began. Raises Permanent."""
        url, protocols = self._source(row)
        repository = Repository(repository_path(self.config, row["session_id"]))
        if ticket["parent_id"] is None and base not in branch_heads(repository, Remote(url, protocols, **login_of(self.config, url)), base):
            raise Permanent(f"The branch {base} is not there any more, so no pull request can be opened for it. Create it there, then try again.")

    def _look_through(self, row: DeliveryRow, repository: Repository, ticket: TicketRow) -> None:
        """Checks the commits. Raises NeedsApproval for unapproved changes to files that control the forge; PolicyViolation for a secret."""
        base = ticket["base_sha"] or self.db.value("select base_sha from tickets where id = ?", (ticket["parent_id"],))
        tip = row["tip_sha"]
        if repository.head(tip) is None or base is None:
            raise Permanent(f"The commit {tip[:12]} is no longer in this installation's repository.")
        leaks.check_secrets(repository, base, tip, known_secrets(self.config), cleared=row["cleared_sha"] == tip)
        if row["approved_sha"] != tip:
            paths = leaks.check_paths(repository, base, tip, self.config.protected_paths)
            if paths:
                raise NeedsApproval(f"The change touches {', '.join(paths[:leaks.MOST_NAMED])}, which decides what runs on the forge with its permissions. "
                                    f"Look at the change, then approve commit {tip[:12]} for delivery.")

    # When a delivery cannot continue

    def _stopped(self, row: DeliveryRow, error: RunFailure) -> None:
        if isinstance(error, RateLimited):
            self._wait(row, error, float(str(error.extra.get("wait", 0.0))), row["tries"])
        elif row["waiting"]:  # a question about this pull request is open already
            tries = row["tries"] + 1
            self._wait(row, error, max(self.config.forge_poll_seconds, delay(tries, self.config.backoff_seconds)), tries)
        elif isinstance(error, Transient):
            self._again(row, error)
        else:
            self._ask(row, error)

    def _wait(self, row: DeliveryRow, why: RunFailure | None, seconds: float, tries: int) -> None:
        reason = row["reason"] if row["waiting"] else why.sentence if why else None  # what waits for a person says so
        deliveries.move(self.db, row, row["state"], tries=tries, not_before=utc(after=seconds), reason=reason)

    def _again(self, row: DeliveryRow, error: RunFailure) -> None:
        event("delivery_waits", ticket=row["ticket_id"], reason=error.sentence)
        if row["tries"] + 1 >= MOST_TRIES:
            self._ask(row, Permanent(f"{error.sentence} It was tried {MOST_TRIES} times."))
        else:
            self._wait(row, error, delay(row["tries"] + 1, self.config.backoff_seconds), row["tries"] + 1)

    def _ask(self, row: DeliveryRow, error: RunFailure) -> None:
        """Opens one request, with the possible answers."""
        there = row["number"] is not None and row["state"] in ("delivered", "watched")  # then the build is delivered
        options = [RETRY, STOP_WATCHING if there else WITHOUT]
        if isinstance(error, NeedsApproval):
            options = [APPROVE, WITHOUT]
        elif isinstance(error, PolicyViolation) and error.extra.get("known") is False:
            options = [RETRY, NO_SECRET, WITHOUT]
        more = " All deliveries to this repository wait until then." if isinstance(error, TokenRefused) else ""
        with self.db.transaction():
            if deliveries.move(self.db, row, row["state"], waiting="token" if isinstance(error, TokenRefused) else "person", reason=error.sentence):
                what = "looked at" if row["state"] == "watched" else "made ready for review"
                what = (f"The pull request #{row['number']} of {row['ticket_id']} could not be {what}." if there else
                        f"{row['ticket_id']} could not be delivered to {row['repository']}.")
                requests.open_delivery(self.db, self._ticket(row), f"{what} {error.sentence}{more}", options)
        event("delivery_asks", ticket=row["ticket_id"], reason=error.sentence)
