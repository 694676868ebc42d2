"""A remote whose fetch does not go on before somebody lets it."""
import os
from pathlib import Path

from conftest import git


class HeldRemote:
    """A repository with one commit. While it is held, git waits where it reads the only file."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "remote"
        git(folder, "init", "-q", "-b", "main", "remote")
        (self.path / "file").write_text("content\n")
        git(self.path, "add", "file")
        git(self.path, "commit", "-q", "-m", "First")
        blob = git(self.path, "rev-parse", "HEAD:file").strip()
        self._stuck, self._away = self.path / ".git" / "objects" / blob[:2] / blob[2:], folder / "blob"

    def hold(self) -> None:
        self._stuck.rename(self._away)
        os.mkfifo(self._stuck)

    def let_go(self) -> None:
        """For the next fetch. One that waits now is not told."""
        self._stuck.unlink()
        self._away.rename(self._stuck)
