"""The session's story: a page that shows it as a document, and its Markdown as a download."""
from flask import Blueprint, Response

from hitl.pages import session_screen
from hitl.pages.frame import render
from hitl.views.notes import notes_markdown
from hitl.web import markdown
from hitl.web.context import swarm, tenant

notes_pages = Blueprint("notes_pages", __name__)


@notes_pages.get("/sessions/<session_id>/notes")
def notes(session_id: str) -> str:
    values = session_screen.head(session_id, "notes")
    return render("session/notes.html", "session", **values, notes=markdown.html(notes_markdown(swarm().db, tenant(), session_id)))


@notes_pages.get("/sessions/<session_id>/notes.md")
def notes_file(session_id: str) -> Response:
    text = notes_markdown(swarm().db, tenant(), session_id)
    return Response(text, content_type="text/markdown; charset=utf-8",
                    headers={"Content-Disposition": f'attachment; filename="session-{session_id[:8]}.md"'})
