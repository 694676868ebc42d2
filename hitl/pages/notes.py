"""The session's story: a page that shows it as a document, and its Markdown as a download."""
import re

from flask import Blueprint, Response
from markupsafe import Markup

from hitl.pages.frame import render
from hitl.pages.session_frame import head
from hitl.views.notes import notes_markdown
from hitl.web import markdown
from hitl.web.context import swarm, tenant

routes = Blueprint("notes", __name__)


@routes.get("/sessions/<session_id>/notes")
def notes(session_id: str) -> str:
    values = head(session_id, "notes")
    return render("session/notes.html", "session", **values, notes=_in_its_direction(markdown.html(_text(session_id))))


@routes.get("/sessions/<session_id>/notes.md")
def notes_file(session_id: str) -> Response:
    return Response(_text(session_id), content_type="text/markdown; charset=utf-8",
                    headers={"Content-Disposition": f'attachment; filename="session-{session_id[:8]}.md"'})


def _in_its_direction(html: Markup) -> Markup:
    """Each paragraph, entry and heading runs as its first letter says. The tags are those of markdown.html: texts have none, they are escaped."""
    return Markup(re.sub(r"<(p|li|h\d)>", r'<\1 dir="auto">', str(html)))


def _text(session_id: str) -> str:
    return notes_markdown(swarm().db, tenant(), session_id)
