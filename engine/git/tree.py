"""The files of one commit, for whoever looks what is in a repository without a work tree."""
from functools import cached_property

from engine.git.repository import Repository

BYTES = 1_000_000  # longest file that is read


class TreeAt:
    """Names and contents in a commit. Nothing of the repository runs."""

    def __init__(self, repository: Repository, commit: str) -> None:
        self._repository, self._commit = repository, commit

    @cached_property
    def _blobs(self) -> dict[str, str]:
        return dict(self._repository.blobs(self._commit))

    def names(self) -> list[str]:
        """Paths of all files."""
        return list(self._blobs)

    def read(self, path: str) -> str | None:
        """The text of a file; None if it is absent, too long or no text."""
        sha = self._blobs.get(path)
        if sha is None or int(self._repository.git("cat-file", "-s", sha)) > BYTES:
            return None
        data = self._repository.git("cat-file", "blob", sha)
        return None if b"\0" in data else data.decode("utf-8", "replace")
