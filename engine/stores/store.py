"""One bare store for each repository of a tenant: what was fetched from its remote, once for all sessions. They borrow its objects.

    data/stores/<repository id>.git    refs/remotes/origin/*  refs/tags/*
    data/repos/<session>.git           what its runs made; objects/info/alternates names the store, relative to it

Only what a remote has goes into a store, so a session never sees another one's work. No object is ever removed from a store, because repositories that
borrow from it may need it after its ref is gone: no gc runs there, and extensions.preciousObjects stops one that somebody runs by hand."""
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from engine.errors import Transient
from engine.git.layout import Layout, object_folders
from engine.git.repository import FETCH_SECONDS, Repository

WAIT_SECONDS = FETCH_SECONDS + 60  # another build may be fetching
MANY_PACKS = 40  # each fetch adds one at most; then they become few


class Lent(NamedTuple):
    """A folder of objects, and the place where a sandbox sees it. The places fit the relative paths in alternates."""

    folder: Path
    place: str


def stores_of(data: Path) -> Path:
    return data / "stores"


def store_path(data: Path, repository_id: str) -> Path:
    return stores_of(data) / f"{repository_id}.git"


def fetch(store: Repository, url: str, protocols: tuple[str, ...], login: Mapping[str, str], messages: Path,
          look: Callable[[], None] = lambda: None, without: str = "") -> None:
    """Fetches the heads and tags of the repository at `url`, as Repository.fetch() does. Call it with the store locked.
    messages: the file that gets git's messages while it works, removed afterwards; look: called again and again meanwhile. without: a folder of heads that
    are left out: what other sessions delivered."""
    store.create()
    _keep_all(store, True)
    try:
        with open(messages, "w+b") as file:
            store.fetch(url, protocols, login, without, errors=file, look=look)
        os.utime(store.path)  # its last use
    finally:
        messages.unlink(missing_ok=True)
    if len(list((store.path / "objects" / "pack").glob("*.pack"))) > MANY_PACKS:
        _keep_all(store, False)
        store.git("repack", "--quiet", "--geometric=2", "-d", timeout=FETCH_SECONDS)  # keeps all objects, also of refs that are gone
        _keep_all(store, True)


def _keep_all(store: Repository, yes: bool) -> None:
    """Whether git must refuse to remove objects."""
    store.git("config", "core.repositoryFormatVersion", "1")
    store.git("config", "extensions.preciousObjects", "true" if yes else "false")


def borrow(repository: Repository, store: Repository, base: str, branch: str) -> None:
    """Lets a session's repository build on `base`, a commit of the store's origin/<branch>, with its tags. Repeatable. Call it with both locked."""
    info = repository.path / "objects" / "info"
    info.mkdir(exist_ok=True)
    relative = os.path.relpath(store.path / "objects", repository.path / "objects")
    (info / "alternates").write_bytes(os.fsencode(relative) + b"\n")
    if (store.path / "shallow").exists():
        shutil.copyfile(store.path / "shallow", repository.path / "shallow")
    tags = store.git("for-each-ref", "--format=update %(refname) %(objectname)", "refs/tags/")
    repository.git("update-ref", "--stdin", stdin=tags + f"update refs/remotes/origin/{branch} {base}\n".encode("utf-8", "surrogateescape"))
    repository.git("pack-refs", "--all")


def lent_to(repository: Path) -> tuple[Lent, ...]:
    """The folders of objects that a repository has: its own first, then those of its store. Raises Transient where one is missing."""
    own, found = repository.absolute(), []
    for folder in object_folders(Layout(own, own, False)):
        if not folder.is_dir():
            raise Transient(f"The objects that {own.name} borrows are gone: there is no {folder}. Put that folder back from a copy of the data folder.")
        found.append(Lent(folder, f"/git/{folder.parent.parent.name}/{folder.parent.name}/objects"))
    return tuple(found)


def borrowers(data: Path, store: Path) -> list[Path]:
    """The repositories that borrow from a store. With the store locked, no more of them come."""
    wanted = (store / "objects").resolve()
    return [path for path in (data / "repos").glob("*.git")
            if wanted in list(object_folders(Layout(path, path, False)))[1:]]

