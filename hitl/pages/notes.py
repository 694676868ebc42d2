"""The session's story: a page that shows it as a document, and its Markdown as a download."""
from flask import Blueprint, Response

from hitl.pages.frame import render
from hitl.pages.session_frame import head
from hitl.views.notes import notes_markdown
from hitl.web import markdown
from hitl.web.context import swarm, tenant

routes = Blueprint("notes", __name__)


@routes.get("/sessions/<session_id>/notes")
def notes(session_id: str) -> str:
    values = head(session_id, "notes")
    return render("session/notes.html", "session", **values, notes=markdown.html(_text(session_id)))


@routes.get("/sessions/<session_id>/notes.md")
def notes_file(session_id: str) -> Response:
    return Response(_text(session_id), content_type="text/markdown; charset=utf-8",
                    headers={"Content-Disposition": f'attachment; filename="session-{session_id[:8]}.md"'})


def _text(session_id: str) -> str:
    return notes_markdown(swarm().db, tenant(), session_id)
