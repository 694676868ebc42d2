"""Access to a remote repository: allowed protocols, the owner of a local folder, and the login."""
import base64
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from engine.git.layout import layout_of


@contextmanager
def reaching(url: str, protocols: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """The environment in which git may talk to `url`, only with these protocols.

    A local repository may belong to another user. git's upload-pack reads safe.directory only from a configuration file, neither
    from -c nor from GIT_CONFIG_COUNT, so it gets a file that names this one repository."""
    env = {"GIT_ALLOW_PROTOCOL": ":".join(protocols)}
    if protocols != ("file",):
        yield env
        return
    path = local_path(url)
    with tempfile.TemporaryDirectory(prefix="swarm-git-") as folder:
        file = Path(folder, "config")
        file.write_text("[safe]\n" + "".join(f"\tdirectory = {place}\n" for place in _places(path)), encoding="utf-8", errors="surrogateescape")
        yield {**env, "GIT_CONFIG_GLOBAL": str(file)}


def local_path(url: str) -> str:
    """The path of a local repository, which may be given as a file: URL."""
    return unquote(urlsplit(url).path) if url.startswith("file:") else url


def login(url: str, token: str, user: str) -> dict[str, str]:
    """The environment with which git sends this token to `url`, only over http and https; {} without a token. It is in no argument, URL or file.
    git follows no redirect with it, because a redirect could lead anywhere."""
    if not token or url.partition("://")[0] not in ("https", "http"):
        return {}
    basic = base64.b64encode(f"{user}:{token}".encode()).decode()
    return {"GIT_CONFIG_COUNT": "2", "GIT_CONFIG_KEY_0": f"http.{url}.extraHeader", "GIT_CONFIG_VALUE_0": f"Authorization: Basic {basic}",
            "GIT_CONFIG_KEY_1": "http.followRedirects", "GIT_CONFIG_VALUE_1": "false"}


def _places(path: str) -> list[str]:
    """The names that git may use for the folder: as given and with links resolved, bare or with .git, and where a .git file leads; quoted for a config file."""
    found = {place + end for place in (path.rstrip("/"), os.path.realpath(path)) for end in ("", "/.git")}
    with suppress(OSError):  # what may not be read has no further names; git then says so itself
        layout = layout_of(Path(path))
        found |= {str(folder) for folder in (layout.git_dir, layout.common)} if layout else set()
    return ['"' + place.replace("\\", "\\\\").replace('"', '\\"') + '"' for place in sorted(found)]
