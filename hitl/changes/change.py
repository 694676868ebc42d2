"""A ticket's change for its review: the files, the comments on lines and the viewed files. For pages and for JSON."""
import itertools
from dataclasses import dataclass, field
from typing import Any

from engine.config import Config
from engine.errors import BadRequest, NotFound, RunFailure, WrongState
from engine.git.branches import repository_path
from engine.git.repository import Repository
from engine.result_values import checks_of
from engine.store.db import Database
from engine.text import stored
from engine.tickets import review_comments as store
from engine.tickets import states as tickets
from engine.tickets.rows import ReviewCommentRow, RunRow, TicketRow
from hitl.changes import files as change_files
from hitl.changes import parse as diffs
from hitl.changes.diff_text import visible
from hitl.changes.line_moves import Moves
from hitl.changes.names import path_of
from hitl.changes.span import span
from hitl.web import filters as formats


@dataclass
class ShownChange:
    """base None: there is no change yet. files: the files to show; with `since` only the differences from that commit, which was reviewed before;
    without white space if it is hidden. plain: all files of the change, unfiltered; whole: their names."""

    ticket: TicketRow
    base: str | None = None
    tip: str | None = None
    since: str | None = None
    files: list[diffs.File] = field(default_factory=list)
    plain: list[diffs.File] = field(default_factory=list)
    whole: dict[str, str] = field(default_factory=dict)      # name: the name before the change
    comments: list[dict[str, Any]] = field(default_factory=list)
    viewed: set[str] = field(default_factory=set)
    states: list[str] = field(default_factory=list)          # commits that were reviewed before, oldest first
    will: str = ""                                           # what approving does, as a sentence

    @property
    def reviewable(self) -> bool:
        return bool(self.ticket["status"] == "in_review" and self.tip)

    @property
    def drafts(self) -> int:
        return sum(each["state"] == "draft" and each["tip"] == self.tip for each in self.comments)


def change(db: Database, config: Config, tenant: str, ticket_id: str, since: str = "", only: str | None = None, start: int = 0,
           space: bool = True) -> ShownChange:
    """The change of a ticket. since: a commit of this ticket that was reviewed before. only, start: see diffs.parse. space False: leaves out lines
    that differ only in white space. Raises NotFound."""
    ticket = tickets.get(db, tenant, ticket_id)
    repository = Repository(repository_path(config, ticket["session_id"]))
    try:
        base, tip = span(db, repository, ticket)
        found = ShownChange(ticket, base, tip)
        if base is None or tip is None:
            return found
        found.states = [row[0] for row in db.all("select tip_sha from runs where ticket_id = ? and outcome = 'in_review' and tip_sha is not null"
                                                 " and tip_sha <> ? group by tip_sha order by max(seq)", (ticket_id, tip)) if repository.head(row[0])]
        _read(repository, found, since, only, start)
        if not space:
            found.files = change_files.without_space(repository, found.since or base, tip, found.files, only, start)
        moves = {state: Moves(repository, state, tip) for state in _marked(db, ticket_id, tip, found.states)}
    except RunFailure as failure:
        raise NotFound(f"The change cannot be shown. {failure.sentence}") from failure
    found.comments = [_comment(row, found, moves) for row in db.all("select * from review_comments where ticket_id = ? order by seq",
                                                                         (ticket_id,), ReviewCommentRow)]
    found.viewed = {path for at, path in db.all("select tip_sha, path from review_viewed where ticket_id = ?", (ticket_id,))
                    if path in found.whole and (at == tip or (at in moves and not moves[at].changed(path)))}
    found.will = _will(db, found)
    return found


def _read(repository: Repository, found: ShownChange, since: str, only: str | None, start: int) -> None:
    """Reads the files. Files that only other tickets changed since a reviewed state came from merging their work, so they are left out."""
    assert found.base and found.tip
    found.files = found.plain = change_files.read(repository, found.base, found.tip, only, start)
    found.whole = {each.name: each.old_name or each.name for each in found.plain}
    if since:
        if since not in found.states:
            raise NotFound("This commit of the change was not reviewed. Choose a reviewed one.")
        both = [*found.plain, *change_files.read(repository, repository.merge_base(found.base, since) or found.base, since, most_rows=0)]
        own = {each.name for each in both} | {each.old_name for each in both if each.old_name}
        found.since = since
        found.files = [each for each in change_files.read(repository, since, found.tip, only, start) if {each.name, each.old_name} & own]


def _marked(db: Database, ticket_id: str, tip: str, states: list[str]) -> list[str]:
    """The earlier states that have comments or marks."""
    rows = db.all("select tip_sha from review_comments where ticket_id = :id union select tip_sha from review_viewed where ticket_id = :id", {"id": ticket_id})
    return [row[0] for row in rows if row[0] != tip and row[0] in states]


def _comment(row: ReviewCommentRow, found: ShownChange, moves: dict[str, Moves]) -> dict[str, Any]:
    """A comment as a dict. now: its line in the shown change; None if that line has changed or is gone (outdated)."""
    now: int | None = row["line"]
    if row["tip_sha"] != found.tip and row["side"] == "L":
        now = _removed_line(found, row)
    elif row["tip_sha"] != found.tip:
        now = moves[row["tip_sha"]].line(row["path"], row["line"]) if row["tip_sha"] in moves and row["path"] in found.whole else None
    return {"seq": row["seq"], "tip": row["tip_sha"], "path": row["path"], "side": row["side"], "line": row["line"], "now": now,
            "anchor": f"{row['path']}-{row['side']}{row['line']}", "quoted": row["quoted"], "body": row["body"], "state": row["state"],
            "outdated": now is None, "created_at": row["created_at"], "sent_at": row["sent_at"]}


def _removed_line(found: ShownChange, row: ReviewCommentRow) -> int | None:
    """The new number of a line before the change, because the base has changed: the nearest removed line with the same text."""
    lines = [each.old for file in found.plain if file.name == row["path"] and not found.since for each in file.rows
             if each.kind == "removed" and each.old and each.raw[:store.QUOTED_LIMIT] == row["quoted"]]
    return min(lines, key=lambda line: abs(line - row["line"]), default=None)


def _will(db: Database, found: ShownChange) -> str:
    """What approving does, in one sentence."""
    run = db.one("select checks, ended_at from runs where ticket_id = ? and tip_sha = ? and ended_at is not null and checks is not null"
                 " order by seq desc limit 1", (found.ticket["id"], found.tip), RunRow)
    checks = checks_of(stored(run["checks"], [])) if run else []
    passed = sum(each.get("passed", False) for each in checks)
    ended = formats.parse(run["ended_at"] or "") if run else None
    said = f"{formats.number(passed, 'check')} passed" + (f" at {ended:%H:%M}" if ended else "") if checks else "no check ran"
    if passed < len(checks):
        said = f"{passed} of {formats.number(len(checks), 'check')} passed"
    return f"Merge {found.ticket['branch_name'] or 'this commit'} into the integration branch: {formats.number(len(found.whole), 'file')}, {said}."


def draft(db: Database, config: Config, tenant: str, ticket_id: str, tip: str, path: str, side: str, line: int, body: str) -> int:
    """Saves a draft on a line -> its seq. Raises BadRequest if the change has no such line, NotFound, WrongState."""
    store.in_review(db, tenant, ticket_id, tip)
    found = change(db, config, tenant, ticket_id)
    if path not in found.whole or side not in store.SIDES:
        raise BadRequest("The change has no such file. Name a line by path, side (L before the change, R after it) and number.")
    return store.save_draft(db, tenant, ticket_id, tip=tip, path=path, side=side, line=line, body=body,
                            quoted=quoted(config, found, path, side, line))


def quoted(config: Config, found: ShownChange, path: str, side: str, line: int) -> str:
    """The text of the line in the commit. Raises BadRequest if there is no such line."""
    commit, name = (found.base, found.whole[path]) if side == "L" else (found.tip, path)
    repository = Repository(repository_path(config, found.ticket["session_id"]))
    try:
        with repository.stream("cat-file", "blob", f"{commit}:{path_of(name).decode('utf-8', 'surrogateescape')}") as stream:
            text = next(itertools.islice(stream, line - 1, None), None) if line > 0 else None
    except RunFailure:
        text = None  # the file does not exist on that side
    if text is None:
        raise BadRequest(f"{visible(path)} has no line {line} {store.SIDES[side]}.")
    return text.rstrip(b"\r\n").decode("utf-8", "backslashreplace")[:store.QUOTED_LIMIT]


def set_viewed(db: Database, config: Config, tenant: str, ticket_id: str, tip: str, path: str, viewed: bool) -> None:
    """Marks a file as viewed or not viewed. Raises BadRequest if the change has no such file, NotFound, WrongState."""
    store.in_review(db, tenant, ticket_id, tip)
    if path not in change(db, config, tenant, ticket_id).whole:
        raise BadRequest("The change has no such file.")
    store.set_viewed(db, tenant, ticket_id, tip, path, viewed)


def check_tip(found: ShownChange, tip: str) -> None:
    """Raises WrongState if another commit is in review now."""
    if tip != found.tip:
        raise WrongState("The change has a new commit since you looked at it. Load the page again.", code="tip_moved", tip=found.tip,
                         currentState=found.ticket["status"], since=found.ticket["updated_at"])


def view(found: ShownChange) -> dict[str, Any]:
    """The change as JSON, with the same content as the page."""
    files = [{"path": each.name, "old_path": each.old_name, "change": each.change, "added": each.added, "removed": each.removed, "rows": each.total,
              "folded": each.folded or None, "notes": each.notes, "viewed": each.name in found.viewed} for each in found.files]
    return {"ticket": found.ticket["id"], "status": found.ticket["status"], "base": found.base, "tip": found.tip, "since": found.since,
            "reviewed": found.states, "will": found.will, "files": files,
            "comments": found.comments}
