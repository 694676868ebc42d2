"""The page of a ticket's changes, and its parts: each gathers what its template shows."""
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

from flask import render_template
from markupsafe import Markup

from engine.errors import NotFound, SwarmError
from hitl.changes import change as review
from hitl.changes import diff_html, diff_rows
from hitl.changes import parse as diffs
from hitl.pages import screens, ticket_facts
from hitl.pages.frame import as_problem, journal_end, render
from hitl.web.context import swarm, tenant

MOST_FILES = 300  # of one page
WHY_FOLDED = {"generated": "Generated", "binary": "Binary", "large": "Large"}


@dataclass(frozen=True)
class Looking:
    """How a person looks at a change, from the query. file: the one file whose rows are shown, from row `start` on; at: '<place>-R42', the
    line on which a comment is begun; page: how many files are passed over; space: 'hide', what differs in white space alone is left out."""

    view: str = "unified"
    since: str = ""
    file: str = ""
    start: int = 0
    page: int = 0
    space: str = ""
    at: str = ""  # the last one: what comes behind it is added by whoever writes the link

    @classmethod
    def of(cls, values: Any) -> "Looking":
        """From a query, or from a text that query() made. What is not understood is as if it were not there."""
        if isinstance(values, str):
            values = dict(parse_qsl(values))
        start, page = (int(values.get(name, "")) if re.fullmatch(r"\d{1,7}", values.get(name, "")) else 0 for name in ("start", "page"))
        at = values.get("at", "")
        return cls("split" if values.get("view") == "split" else "unified", values.get("since", "")[:64], values.get("file", ""), start, page,
                   "hide" if values.get("space") == "hide" else "", at if re.fullmatch(r"\d{1,6}-[LR]\d{1,9}", at) else "")

    def query(self, **changes: Any) -> str:
        """As it is to be written behind a '?', with these changes; what is as at first is left out."""
        first = asdict(Looking())
        return urlencode({name: value for name, value in (asdict(self) | {"at": ""} | changes).items() if value != first[name]})


@dataclass
class Shown:
    """A file as the page shows it. comments: {'R42': [comment]} of rows that are there; apart: those of other rows."""

    file: diffs.File
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
        """(a row, the lines of it that can be commented)."""
        for each in self.lines:
            yield diff_html.split(each, self.ids) if isinstance(each, diff_rows.Pair) else diff_html.unified(each, self.ids), diff_html.keys(each)

    @property
    def next(self) -> int:
        return self.file.skipped + len(self.file.rows)


def found_change(ticket_id: str, looking: Looking, only: str | None = None) -> review.Change:
    return review.change(swarm().db, swarm().config, tenant(), ticket_id, looking.since, only if only is not None else looking.file or None,
                         looking.start, not looking.space)


def page(ticket_id: str, looking: Looking, error: SwarmError | None = None, kept: str = "") -> str:
    """All of it. kept: a text that was typed and not sent. Raises NotFound."""
    journal_end()
    ticket, runs = ticket_facts.ticket(ticket_id), ticket_facts.runs(ticket_id)
    found = found_change(ticket_id, looking)
    asked = ticket_facts.request_of(ticket)
    begun = _begun(found, looking)
    shown = [_shown(found, file, place, looking, begun) for place, file in list(enumerate(found.files, 1))[looking.page:looking.page + MOST_FILES]]
    names = {each.name for each in found.files}
    return render("changes/changes.html", "session", **screens.about(ticket, runs[0] if runs else None), view="changes", files=shown, error=as_problem(error),
                  **_facts(found, looking), kept=kept, begun=begun, runs_checks=next((each for each in runs if each["checks"]), None),
                  review=asked if asked and asked["kind"] == "review" else None,
                  elsewhere=[each for each in found.comments if each["path"] not in names], most_files=MOST_FILES,
                  nothing="No run of this ticket has handed over a commit yet." if found.tip is None else "The commit changes no file.")


def _facts(found: review.Change, looking: Looking) -> dict[str, Any]:
    folders: dict[str, list[tuple[int, diffs.File]]] = {}
    for place, file in list(enumerate(found.files, 1))[looking.page:looking.page + MOST_FILES]:
        folders.setdefault(file.path.rpartition("/")[0], []).append((place, file))
    return {"found": found, "looking": looking, "folders": list(folders.items()), "anchor": diff_html.anchor,
            "commented": {each["path"] for each in found.comments if each["state"] == "draft"}}


def _begun(found: review.Change, looking: Looking) -> tuple[str, str, int] | None:
    """(file, side, line) of the comment that is begun."""
    place, _, line = looking.at.partition("-")
    if not found.reviewable or not line or not 1 <= int(place) <= len(found.files):
        return None
    return found.files[int(place) - 1].name, line[0], int(line[1:])


def _shown(found: review.Change, file: diffs.File, place: int, looking: Looking, begun: tuple[str, str, int] | None = None) -> Shown:
    viewed = file.name in found.viewed
    own = [each for each in found.comments if each["path"] == file.name]
    wanted = looking.file == file.name or (begun is not None and begun[0] == file.name)
    shown = Shown(file, place, viewed, opened=bool(file.rows or file.notes) and (wanted or not viewed), why=WHY_FOLDED.get(file.folded, ""),
                  drafts=sum(each["state"] == "draft" for each in own),
                  ids=diff_html.Ids(diff_html.anchor(file.path, place), f"?{looking.query(at=f'{place}-')}" if found.reviewable else None, not found.since),
                  lines=diff_rows.split(file.rows) if looking.view == "split" else diff_rows.unified(file.rows))
    there = {f"R{row.new}" for row in file.rows if row.new} | {f"L{row.old}" for row in file.rows if row.old and row.kind == "removed" and not found.since}
    for each in own:
        key = f"{each['side']}{each['now']}"
        if key in there:
            shown.comments.setdefault(key, []).append(each)
        else:
            shown.apart.append(each)
    return shown


def rows(ticket_id: str, looking: Looking, tip: str) -> str:
    """Further rows of one file. Raises NotFound, WrongState when the change has moved on."""
    found = found_change(ticket_id, looking)
    review.check_tip(found, tip)
    for place, file in enumerate(found.files, 1):
        if file.name == looking.file:
            return render_template("changes/part.html", part="rows", ticket={"id": ticket_id}, found=found, looking=looking, begun=None,
                                   file=_shown(found, file, place, looking))
    raise NotFound("The change has no such file.")


def facts(ticket_id: str, looking: Looking, tip: str) -> str:
    """The list of files and the line above the buttons, after something was marked. Raises as rows does."""
    found = found_change(ticket_id, looking, only="")
    review.check_tip(found, tip)
    return render_template("changes/part.html", part="facts", ticket={"id": ticket_id}, **_facts(found, looking))


def comment(ticket_id: str, looking: Looking, tip: str, each: dict[str, Any]) -> str:
    """One comment as a row: a draft that is there, or (seq None) a new one."""
    return render_template("changes/part.html", part="comment", ticket={"id": ticket_id}, looking=looking, tip=tip, comment=each)


def viewed(ticket_id: str, looking: Looking, tip: str, name: str, is_viewed: bool) -> str:
    return render_template("changes/part.html", part="viewed", ticket={"id": ticket_id}, looking=looking, tip=tip, name=name, viewed=is_viewed)


def newer(ticket_id: str, tip: str, status: str) -> str:
    """'' or a word that the page is out of date. Raises NotFound."""
    now = ticket_facts.ticket(ticket_id)
    found = found_change(ticket_id, Looking(), only="")
    return render_template("changes/part.html", part="newer", ticket=now) if (tip, status) != (found.tip or "", now["status"]) else ""
