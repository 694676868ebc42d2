"""data/notes/<session>.md: each session's notes as a file that is whole, is about the present, and outlives restarts."""
import pytest
from conftest import until
from paging import build

from engine.store.journal import Changes
from engine.tickets import actions
from hitl.views.notes_files import NotesFiles


@pytest.fixture
def files(db, config):
    return NotesFiles(db, config, Changes())


def names(files):
    return sorted(path.name for path in files.folder.iterdir())


def test_a_session_s_notes_are_a_file_that_follows_what_happens(client, db, files):
    session = build(client).rpartition("/")[2]
    files.step()
    path = files.folder / f"{session}.md"
    assert names(files) == [".seen", path.name] and path.read_text() == client.get(f"/sessions/{session}/notes.md").text
    assert path.stat().st_mode & 0o077 == 0 or files.folder.stat().st_mode & 0o077 == 0
    before = path.stat().st_ino
    files.step()
    assert path.stat().st_ino == before, "nothing changed, nothing was written"
    actions.tell(db, "default", "TKT-002", "Be brief.")  # the journal has no event of it
    files.step()
    assert "Be brief." in path.read_text() and path.stat().st_ino != before, "the whole file was replaced"


def test_what_changed_without_a_server_is_written_by_the_next(client, db, config, files):
    first, second = (client.post("/api/hitl", json={"project_name": name}).json["id"] for name in ("One", "Two"))
    files.step()
    (files.folder / f"{second}.md").write_text("by hand")
    db.execute("update hitl_sessions set project_name = 'Uno', state = 'cancelled' where id = ?", (first,))
    later = NotesFiles(db, config, Changes())
    later.step()
    assert (files.folder / f"{first}.md").read_text().startswith("# Uno\n") and (files.folder / f"{second}.md").read_text() == "by hand"
    (files.folder / ".seen").write_text("a cursor that was cut")
    later.step()
    assert (files.folder / f"{second}.md").read_text().startswith("# Two\n"), "without a cursor all are looked at"
    db.execute("delete from events where seq < (select max(seq) from events)")
    db.execute("update hitl_sessions set project_name = 'Due' where id = ?", (second,))
    (files.folder / ".seen").write_text("1 0\n")
    later.step()
    assert (files.folder / f"{second}.md").read_text().startswith("# Due\n"), "the journal was pruned behind the cursor"


def test_a_deleted_session_has_no_file_and_a_crash_leaves_no_half_one(client, db, files):
    kept, gone = (client.post("/api/hitl", json={"project_name": name}).json["id"] for name in ("Kept", "Gone"))
    files.step()
    db.execute("delete from hitl_sessions where id = ?", (gone,))
    (files.folder / f".{kept}.md.tmp").write_text("hal")
    (files.folder / ".seen").unlink()
    files.step()
    db.execute("update hitl_sessions set state = 'cancelled' where id = ?", (kept,))
    files.step()
    assert names(files) == [".seen", f"{kept}.md"]


def test_the_thread_writes_them_and_its_end_writes_what_is_left(client, db, config, app):
    thread = NotesFiles(db, config, app.extensions["swarm"].changes)
    thread.start()
    one = client.post("/api/hitl", json={"project_name": "One"}).json["id"]
    until((thread.folder / f"{one}.md").is_file, what="the file is written")
    two = client.post("/api/hitl", json={"project_name": "Two"}).json["id"]
    thread.stop()
    assert (thread.folder / f"{two}.md").is_file()
