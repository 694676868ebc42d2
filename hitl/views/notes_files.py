"""Keeps the notes of each session as data/notes/<session>.md, too: for people without the server, and for backups."""
import fcntl
import logging
import os
import re
import threading
from pathlib import Path

from engine.config import Config
from engine.errors import NotFound
from engine.files import fsync_folder
from engine.log import event
from engine.store import journal
from engine.store.db import Database
from hitl.views.notes import notes_markdown

PAUSE = 1.0      # seconds between two looks: many changes of a build become one file
CURSOR = ".seen"  # what the files are about: the last event of the journal, and the last thing that a person did about a ticket
_NAME = re.compile(r"[A-Za-z0-9-]{1,100}")


class NotesFiles:
    """Writes the files of sessions that have changed. The cursor is written after them: a process that dies in between writes them again."""

    def __init__(self, db: Database, config: Config, changes: journal.Changes) -> None:
        self._db, self._changes, self.folder = db, changes, config.data / "notes"
        self._stopped, self._trouble = threading.Event(), ""
        self._thread = threading.Thread(target=self._run, name="notes", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Writes what has changed, then ends the thread."""
        self._stopped.set()
        self._changes.ring()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        seen = -1
        try:
            while not self._stopped.is_set():
                seen = self._changes.wait(PAUSE, seen)
                self._stopped.wait(PAUSE)
                self._try()
            self._try()
        finally:
            self._db.close()

    def _try(self) -> None:
        try:
            self.step()
            self._trouble = ""
        except Exception as error:  # a full disk, a locked database: the next look does it
            if str(error) != self._trouble:
                event("notes_not_written", level=logging.WARNING, why=error)
            self._trouble = str(error)

    def step(self) -> None:
        """Writes the files of the sessions that have changed since the last time; of all, if that is not known. Nothing if another process does it."""
        journal.bounds(self._db)  # raises if the database is gone: then no folder is made
        self.folder.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._write_changed()
        except BlockingIOError:
            return  # another process of this data folder writes them
        finally:
            os.close(descriptor)

    def _write_changed(self) -> None:
        oldest, newest = journal.bounds(self._db)
        steered = int(self._db.value("select max(seq) from ticket_steers") or 0)
        before = self._cursor()
        if before == (newest, steered):
            return
        if before is None or not oldest - 1 <= before[0] <= newest:
            changed = [row[0] for row in self._db.all("select id from hitl_sessions order by seq")]
            changed += [path.stem for path in self.folder.glob("*.md") if path.stem not in set(changed)]
        else:
            changed = [row[0] for row in self._db.all("select session_id from events where seq > ? and session_id is not null"
                                                      " union select session_id from ticket_steers where seq > ?", before)]
        for session_id in changed:
            self._write(session_id)
        _replace(self.folder / CURSOR, f"{newest} {steered}\n")

    def _cursor(self) -> tuple[int, int] | None:
        try:
            found = re.fullmatch(r"(\d{1,18}) (\d{1,18})\n", (self.folder / CURSOR).read_text(encoding="ascii"))
        except (FileNotFoundError, UnicodeDecodeError):
            return None
        return (int(found[1]), int(found[2])) if found else None

    def _write(self, session_id: str) -> None:
        """Writes the file if its text has changed; removes the file of a session that was deleted."""
        if not _NAME.fullmatch(session_id):
            return  # an id that was written by hand and is no name of a file
        path = self.folder / f"{session_id}.md"
        tenant = self._db.value("select tenant_id from hitl_sessions where id = ?", (session_id,))
        try:
            text = notes_markdown(self._db, str(tenant), session_id)
        except NotFound:
            path.unlink(missing_ok=True)
            return
        if not path.is_file() or path.read_text(encoding="utf-8", errors="replace") != text:
            _replace(path, text)


def _replace(path: Path, text: str) -> None:
    """Writes the whole file or nothing."""
    temporary = path.with_name(f".{path.name}.tmp")
    with open(temporary, "w", encoding="utf-8", errors="replace", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, path)
    fsync_folder(path.parent)
