"""Checks the repository that a card names, and makes a URL for git."""
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from engine.errors import BadRequest
from engine.git.layout import enclosing, layout_of, object_folders

LONGEST = 1000  # characters
_SHORT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*/[A-Za-z0-9_.][A-Za-z0-9._-]*")
_SCP = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9._-]*@)?([A-Za-z0-9][A-Za-z0-9.-]*):(?!/?-)[^:@]+")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*|[0-9a-fA-F:.]*:[0-9a-fA-F:.]+")  # the second is IPv6; urlsplit has removed the brackets


def validate_source(repository: str, roots: tuple[Path, ...], pattern: str, protocols: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """-> (URL or absolute path, the one git protocol that it needs). `pattern` is the URL that owner/repo stands for, `roots` are the folders
    under which local repositories may be used. Raises BadRequest, with a sentence that says what is allowed."""
    bad = BadRequest(f"repository {repository[:100]!r} cannot be used. Allowed: owner/repo, {_allowed(protocols)}"
                     + (f", or an absolute path under {' or '.join(map(str, roots))}." if roots else " (local paths: none)."))
    parts = re.split(r"[/:\\]", repository)
    if (not repository or len(repository) > LONGEST or repository.startswith("-") or "::" in repository.partition("[")[0] or ".." in parts
            or "\\" in repository or not repository.isprintable() or repository != repository.strip()):
        raise bad
    if repository.startswith("/"):
        return _local(repository, roots, bad), ("file",)
    if "://" in repository:
        url, protocol = repository, _check_url(repository, bad)
    elif _SHORT.fullmatch(repository):
        url = pattern.replace("{repository}", repository.removesuffix(".git") if pattern.endswith(".git") else repository)
        protocol = "file" if url.startswith("/") else url.partition("://")[0].lower() if "://" in url else "ssh"
    elif _SCP.fullmatch(repository) and " " not in repository:
        url, protocol = repository, "ssh"
    else:
        raise bad
    if protocol not in protocols:
        raise bad
    return url, (protocol,)


def _allowed(protocols: tuple[str, ...]) -> str:
    kinds = [name for name in protocols if name != "file"]
    return f"a URL that starts with {' or '.join(f'{name}://' for name in kinds)}" if kinds else "no URL"


def _check_url(text: str, bad: BadRequest) -> str:
    """Checks a URL from a card -> its scheme. It must have a host and a path, and no secret. Never file, for any setting: use a path instead."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port  # raises for a port that is not a number
    except ValueError:
        raise bad from None
    user, path = parts.netloc.rpartition("@")[0], parts.path.lstrip("/")
    if user and (parts.scheme != "ssh" or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", user)):
        raise BadRequest("repository: remove user names, passwords and tokens from the URL, because it is stored and shown. "
                         "Only ssh://user@host/… may name a user.")
    if (parts.scheme == "file" or not _HOST.fullmatch(host) or not path or path.startswith("-") or parts.query or parts.fragment
            or " " in text or "%" in text):
        raise bad
    return parts.scheme


def _local(text: str, roots: tuple[Path, ...], bad: BadRequest) -> str:
    """The real path, which must be a repository under a root, with all its parts; links are resolved first. Only of places under a root this
    says whether they exist."""
    name = f"repository {text[:100]!r}"
    try:
        path = Path(text).resolve()
        if not _inside(path, roots):
            raise bad
        if not os.path.lexists(path):
            raise BadRequest(f"{name} is not there: there is no such folder on this machine. Check the path, or put the repository back.")
        layout = layout_of(path)
        if layout is None:
            raise BadRequest(_no_repository(name, path, roots))
        for what, folder in (("keeps its files in", layout.git_dir), ("keeps its files in", layout.common),
                             *(("uses objects from", folder) for folder in object_folders(layout))):
            if not _inside(folder, roots):
                raise BadRequest(f"{name} {what} {folder}, which is not below {' or '.join(map(str, roots))}. Name a repository that has all its "
                                 "files there, or add that folder to SWARM_REPOSITORY_ROOTS.")
    except PermissionError as error:
        raise BadRequest(f"{name} cannot be read: {error.strerror} ({error.filename}). Give the user of this server access to it.") from None
    except (OSError, RuntimeError, ValueError):
        raise bad from None
    return str(path)


def _inside(path: Path, roots: tuple[Path, ...]) -> bool:
    return any(path.is_relative_to(root.resolve()) for root in roots)


def _no_repository(name: str, path: Path, roots: tuple[Path, ...]) -> str:
    if not path.is_dir():
        return f"{name} is a file, not the folder of a git repository."
    above = enclosing(path)
    if above and _inside(above, roots):
        return f"{name} is a folder inside the repository {above}. Name that repository instead."
    if (path / ".git").is_file():
        return f"{name} is not a git repository any more: its .git file names a folder that is not there. Repair it with git worktree repair."
    return f"{name} is not a git repository: it has no HEAD, and no .git folder with one."
