"""The parts of the page of a ticket's changes: the view settings, a file with its rows and comments, and the list of files.

changes.js fetches some of them separately."""
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

from flask import Blueprint, render_template, request
from markupsafe import Markup

from engine.errors import BadRequest, NotFound
from engine.tickets import review_comments
from hitl.changes import change as changes
from hitl.changes import diff_html, diff_rows
from hitl.changes.change import ShownChange
from hitl.changes.parse import File
from hitl.pages.ticket import ticket_of
from hitl.web.context import swarm, tenant
from hitl.web.input import number_in
from hitl.web.numbers import whole_number

routes = Blueprint("review_parts", __name__)
MOST_FILES = 300  # of one page
WHY_FOLDED = {"generated": "Generated", "binary": "Binary", "large": "Large"}


@routes.get("/tickets/<ticket_id>/changes/rows")
def rows(ticket_id: str) -> str:
    """More rows of one file. Raises NotFound, WrongState if another commit is in review now."""
    query = DiffQuery.of(request.args)
    change = read_change(ticket_id, query)
    changes.check_tip(change, request.args.get("tip", ""))
    for place, file in enumerate(change.files, 1):
        if file.name == query.file:
            return render_template("changes/part.html", part="rows", ticket={"id": ticket_id}, change=change, query=query, begun=None,
                                   file=shown_file(change, file, place, query))
    raise NotFound("The change has no such file.")


@routes.get("/tickets/<ticket_id>/changes/facts")
def facts(ticket_id: str) -> str:
    """The list of files and the line above the buttons, after a mark was set. Raises the same errors as rows."""
    query = DiffQuery.of(request.args)
    change = read_change(ticket_id, query, only="")
    changes.check_tip(change, request.args.get("tip", ""))
    return render_template("changes/part.html", part="facts", ticket={"id": ticket_id}, **list_of_files(change, query))


@routes.get("/tickets/<ticket_id>/changes/newer")
def newer(ticket_id: str) -> str:
    """A notice that the page is out of date, or '' if it is not. ?tip=&status=: what that page shows. Raises NotFound."""
    now = ticket_of(ticket_id)
    change = read_change(ticket_id, DiffQuery(), only="")
    seen = request.args.get("tip", ""), request.args.get("status", "")
    return render_template("changes/part.html", part="newer", ticket=now) if seen != (change.tip or "", now["status"]) else ""


@routes.get("/tickets/<ticket_id>/changes/comment")
def begin_comment(ticket_id: str) -> str:
    """A form for a new comment on ?file=&side=&line=. Nothing is saved yet."""
    tip, side = request.args.get("tip", ""), request.args.get("side", "")
    review_comments.in_review(swarm().db, tenant(), ticket_id, tip)
    if side not in review_comments.SIDES:
        raise BadRequest("side must be L or R.")
    return comment_row(ticket_id, DiffQuery.of(request.args.get("look", "")), tip, {
        "seq": None, "path": request.args.get("file", ""), "side": side, "line": line_number(request.args.get("line", "")), "body": "", "state": "new",
        "anchor": request.args.get("anchor", "")})


def comment_row(ticket_id: str, query: "DiffQuery", tip: str, comment: dict[str, Any]) -> str:
    """One comment as a row: an existing draft, or a new one if seq is None."""
    return render_template("changes/part.html", part="comment", ticket={"id": ticket_id}, query=query, tip=tip, comment=comment)


def viewed_form(ticket_id: str, query: "DiffQuery", tip: str, name: str, viewed: bool) -> str:
    return render_template("changes/part.html", part="viewed", ticket={"id": ticket_id}, query=query, tip=tip, name=name, viewed=viewed)


def line_number(text: str) -> int:
    """The line number in a text. Raises BadRequest."""
    line = whole_number(text, most=2**31 - 1)
    if line is None:
        raise BadRequest("line must be a whole number.")
    return line


@dataclass(frozen=True)
class DiffQuery:
    """The view settings of a change, from the query. file: the only file whose rows are shown, starting at row `start`; at: '<place>-R42', the
    line of a new comment; page: how many files are skipped; space: 'hide' leaves out lines that differ only in white space."""

    view: str = "unified"
    since: str = ""
    file: str = ""
    start: int = 0
    page: int = 0
    space: str = ""
    at: str = ""  # the last one, because links append the line to it

    @classmethod
    def of(cls, values: Any) -> "DiffQuery":
        """From a query, or from the result of text(). Values that are not understood are ignored. Raises BadRequest for a number
        that is too large for any row."""
        if isinstance(values, str):
            values = dict(parse_qsl(values))
        start, page = (number_in(values, name, most=9_999_999) or 0 for name in ("start", "page"))
        at = values.get("at", "")
        return cls("split" if values.get("view") == "split" else "unified", values.get("since", "")[:64], values.get("file", ""), start, page,
                   "hide" if values.get("space") == "hide" else "", at if re.fullmatch(r"\d{1,6}-[LR]\d{1,9}", at) else "")

    def text(self, **differently: Any) -> str:
        """The query text to write after a '?', with the given values replaced. Default values are left out."""
        first = asdict(DiffQuery())
        return urlencode({name: value for name, value in (asdict(self) | {"at": ""} | differently).items() if value != first[name]})


@dataclass
class ShownFile:
    """A file as the page shows it. comments: {'R42': [comment]} for the shown rows; apart: the comments on other rows."""

    file: File
    place: int
    viewed: bool
    opened: bool
    why: str
    drafts: int
    lines: list[Any]
    ids: diff_html.Ids
    comments: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    apart: list[dict[str, Any]] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        return self.ids.anchor

    def rows(self) -> Iterator[tuple[Markup, list[str]]]:
        """(a row, its lines that can have comments)."""
        for line in self.lines:
            yield diff_html.split(line, self.ids) if isinstance(line, diff_rows.Pair) else diff_html.unified(line, self.ids), diff_html.keys(line)

    @property
    def next(self) -> int:
        return self.file.skipped + len(self.file.rows)


def shown_file(change: ShownChange, file: File, place: int, query: DiffQuery, begun: tuple[str, str, int] | None = None) -> ShownFile:
    """place: the file's number in the change. begun: (file, side, line) of a new comment that is not saved yet."""
    viewed = file.name in change.viewed
    comments = [comment for comment in change.comments if comment["path"] == file.name]
    wanted = query.file == file.name or (begun is not None and begun[0] == file.name)
    shown = ShownFile(file, place, viewed, opened=bool(file.rows or file.notes) and (wanted or not viewed), why=WHY_FOLDED.get(file.folded, ""),
                      drafts=sum(comment["state"] == "draft" for comment in comments), ids=_ids(change, file, place, query),
                      lines=diff_rows.split(file.rows) if query.view == "split" else diff_rows.unified(file.rows))
    there = {f"R{row.new}" for row in file.rows if row.new} | {f"L{row.old}" for row in file.rows if row.old and row.kind == "removed" and not change.since}
    for comment in comments:
        key = f"{comment['side']}{comment['now']}"
        if key in there:
            shown.comments.setdefault(key, []).append(comment)
        else:
            shown.apart.append(comment)
    return shown


def _ids(change: ShownChange, file: File, place: int, query: DiffQuery) -> diff_html.Ids:
    return diff_html.Ids(diff_html.anchor(file.path, place), f"?{query.text(at=f'{place}-')}" if change.reviewable else None, not change.since)


def read_change(ticket_id: str, query: DiffQuery, only: str | None = None) -> ShownChange:
    """only: the only file to read; '' reads none, None reads what the query says. Raises NotFound."""
    return changes.change(swarm().db, swarm().config, tenant(), ticket_id, query.since, only if only is not None else query.file or None,
                          query.start, not query.space)


def files_of_page(change: ShownChange, query: DiffQuery) -> list[tuple[int, File]]:
    return list(enumerate(change.files, 1))[query.page:query.page + MOST_FILES]


def list_of_files(change: ShownChange, query: DiffQuery) -> dict[str, Any]:
    folders: dict[str, list[tuple[int, File]]] = {}
    for place, file in files_of_page(change, query):
        folders.setdefault(file.path.rpartition("/")[0], []).append((place, file))
    return {"change": change, "query": query, "folders": list(folders.items()), "anchor": diff_html.anchor,
            "commented": {comment["path"] for comment in change.comments if comment["state"] == "draft"}}
