"""git on the host: one bare repository per session, and no work tree that an agent could have written to."""
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import IO, NamedTuple, Unpack

from engine.errors import Permanent, Transient
from engine.files import fsync_folder
from engine.git.bundle import read_header
from engine.git.call import Options, Output, call_git, stream_git
from engine.git.ignored import TEXT
from engine.git.lock import hold
from engine.text import printable, shown

FETCH_SECONDS = 1800.0
BUNDLE_TRIES = 20
NOTHING: Mapping[str, str] = MappingProxyType({})
ZEROS = "0" * 40
PLAIN_DIFF = ("-M", "--no-ext-diff", "--no-textconv", "--ignore-submodules=none")
IDENTITY = {"GIT_AUTHOR_NAME": "HITL Swarm", "GIT_AUTHOR_EMAIL": "swarm@localhost",
            "GIT_COMMITTER_NAME": "HITL Swarm", "GIT_COMMITTER_EMAIL": "swarm@localhost"}


class ChangedFile(NamedTuple):
    """Added and removed lines; None for a binary file. A renamed file has its new path."""

    path: str
    added: int | None
    removed: int | None


class Repository:
    """A bare repository, data/repos/<session id>.git. Methods raise Permanent (git refuses) or Transient (network, disk, lock).

    Writing methods must be called inside `with repository.locked():`; readers need no lock."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._held = threading.local()  # the lock's descriptor, for the git children of its thread

    @contextmanager
    def locked(self, wait: float = 60) -> Iterator[None]:
        """Lets only this thread, among all processes, write here. Not re-entrant. Raises Transient after `wait` seconds."""
        with hold(self.path.with_name(self.path.name + ".lock"), self.path, wait) as descriptor:
            self._held.locks = (descriptor,)
            try:
                yield
            finally:
                self._held.locks = ()

    def call(self, *args: str, **options: Unpack[Options]) -> Output:
        """Runs git in this repository, with exit code; see engine.git.call.call_git."""
        return call_git(self.path, *args, **self._with_locks(options))

    def git(self, *args: str, **options: Unpack[Options]) -> bytes:
        """The output of git in this repository; see engine.git.call.run_git."""
        return self.call(*args, **options).out

    def stream(self, *args: str, **options: Unpack[Options]) -> AbstractContextManager[IO[bytes]]:
        """git's output as a file; see engine.git.call.stream_git."""
        return stream_git(self.path, *args, **self._with_locks(options))

    def _with_locks(self, options: Options) -> Options:
        return {**options, "locks": getattr(self._held, "locks", ())}

    def create(self) -> None:
        """Creates an empty bare repository; an existing one stays as it is."""
        import tempfile  # only here, like other imports below, because a run's process needs none of them before its agent starts

        self.path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="swarm-template-") as template:
            self.git("init", "--quiet", "--bare", "--initial-branch=main", f"--template={template}", "--object-format=sha1")

    def start_fresh(self, name: str, when: int) -> str:
        """Creates refs/heads/main with one commit, a README.md with the heading `name`; an existing branch stays. when: seconds since the epoch. -> sha"""
        there = self.head("refs/heads/main")
        if there:
            return there
        first = self.first_commit(name, when)
        self.set_branch("main", first)
        return first

    def first_commit(self, name: str, when: int) -> str:
        """Makes a commit with a .gitignore and a README.md with the heading `name`, on no branch. -> sha"""
        text = f"# {printable(name)}\n".encode("utf-8", "backslashreplace")
        entries = [b"100644 blob %s\t%s\n" % (self.git("hash-object", "-w", "-t", "blob", "--stdin", stdin=content).strip(), path)
                   for path, content in ((b".gitignore", TEXT.encode()), (b"README.md", text))]
        tree = self.git("mktree", stdin=b"".join(entries)).decode().strip()
        return self.commit(tree, (), "Initial commit", when)

    def commit(self, tree: str, parents: Sequence[str], message: str, when: int) -> str:
        """Makes a commit by HITL Swarm; the same inputs make the same object. -> sha"""
        dates = {"GIT_AUTHOR_DATE": f"@{when} +0000", "GIT_COMMITTER_DATE": f"@{when} +0000"}
        text = message.replace("\0", "").encode("utf-8", "backslashreplace")
        options = [part for parent in parents for part in ("-p", parent)]
        return self.git("commit-tree", *options, "-F", "-", tree, stdin=text, env={**IDENTITY, **dates}).decode().strip()

    def fetch(self, url: str, protocols: tuple[str, ...], login: Mapping[str, str] = NOTHING, without: str = "",
              **options: Unpack[Options]) -> None:
        """Fetches the heads of the repository at `url` to refs/remotes/origin/*, and its tags; refs that are gone there are removed here, their objects stay.
        It makes at most one pack, and no loose objects. A shallow repository can be fetched; then this one is shallow, too.
        login: more environment, from engine.git.remote.login. without: a folder of heads that are left out. options: `errors` for git's progress, `look`."""
        from engine.git.remote import reaching

        with reaching(url, protocols) as env:
            merged: Options = {**options, "env": {**env, **login}, "timeout": FETCH_SECONDS, "config": ("fetch.unpackLimit=1",)}
            self.git("fetch", "--progress" if "errors" in options else "--quiet", "--prune", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance",
                     "--no-recurse-submodules", "--update-shallow", "--", url, "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*",
                     *([f"^refs/heads/{without}/*"] if without else []),
                     **merged)
        self.git("pack-refs", "--all")  # thousands of loose refs would make later reads slow

    def head(self, ref: str, env: Mapping[str, str] = NOTHING) -> str | None:
        """The commit of `ref` (a full ref name or a sha), or None."""
        code, out = self.call("rev-parse", "--quiet", "--verify", "--end-of-options", f"{ref}^{{commit}}", ok=(0, 1, 128), env=env)
        return out.decode().strip() if code == 0 else None

    def is_ancestor(self, a: str, b: str, env: Mapping[str, str] = NOTHING) -> bool:
        """True if commit `b` contains commit `a`, also if they are the same."""
        return self.call("merge-base", "--is-ancestor", "--end-of-options", a, b, ok=(0, 1), env=env).code == 0

    def refs(self, *names: str) -> list[str]:
        """Full names of the refs that have one of these full names, or are in one of these folders, which end with a slash."""
        return self.git("for-each-ref", "--format=%(refname)", *names).decode("utf-8", "surrogateescape").split("\n")[:-1]

    def subjects(self, folder: str) -> list[tuple[str, str]]:
        """(last part of its name, short sha and subject of its commit) of each ref in `folder`, by number."""
        out = self.git("for-each-ref", "--sort=version:refname", "--format=%(refname)%09%(objectname:short) %(contents:subject)", folder)
        lines = (line.partition("\t") for line in out.decode("utf-8", "backslashreplace").split("\n")[:-1])
        return [(name.rpartition("/")[2], printable(subject)) for name, _, subject in lines]

    def branches(self, folder: str) -> list[str]:
        """Names of the branches in refs/heads/<folder>; the folder ends in a slash."""
        return self.git("for-each-ref", "--format=%(refname:lstrip=2)", f"refs/heads/{folder}").decode("utf-8", "surrogateescape").split("\n")[:-1]

    def merged_since(self, base: str, head: str) -> list[str]:
        """The branch's own commits from `base` to `head`, without commits that were merged into it."""
        return self.git("rev-list", "--first-parent", "--end-of-options", head, f"^{base}").decode().split()

    def merge_base(self, a: str, b: str) -> str | None:
        """The best common ancestor of two commits (or full ref names), or None."""
        code, out = self.call("merge-base", "--end-of-options", a, b, ok=(0, 1))
        return out.decode().strip() if code == 0 else None

    def set_branch(self, name: str, sha: str, old: str | None = None) -> None:
        """Sets refs/heads/<name> to `sha` if it is at `old` (None: if it does not exist). Does nothing if it is at `sha` already.
        Raises Transient if somebody else moved it."""
        ref = f"refs/heads/{name}"
        try:
            self.git("update-ref", "--end-of-options", ref, sha, old or ZEROS)
        except Permanent as error:
            now = self.head(ref)
            if now == sha:
                return
            if now == old and " but expected " not in error.sentence and ".lock" not in error.sentence:
                raise  # not a lost race; git refuses the name or the commit
            raise Transient(f"The branch {name} was moved by somebody else meanwhile. It will be tried again.") from error

    def delete_ref(self, ref: str) -> None:
        """Removes a ref by its full name; a missing ref is no error."""
        self.git("update-ref", "-d", "--end-of-options", ref)

    def bundle(self, target: Path, refs: list[str]) -> dict[str, str]:
        """Writes a bundle of these full refs and their history, for `git clone -b <branch>`. When it returns, the bundle is on the disk, whole or not at all.
        -> {ref: its commit in the bundle}"""
        if not refs or any(not ref.startswith("refs/") for ref in refs):
            raise Permanent(f"A bundle needs full ref names, not {refs}.")
        temporary = target.absolute().with_name(target.name + ".tmp")
        for _ in range(BUNDLE_TRIES):
            heads = self._bundle(temporary, refs)
            if len(heads) == len(set(refs)):
                break
        else:
            raise Transient(f"The branch {refs[0]} was moved by others {BUNDLE_TRIES} times in a row while it was read. It will be tried again.")
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.rename(temporary, target)
        fsync_folder(target.absolute().parent)
        return heads

    def _bundle(self, target: Path, refs: list[str]) -> dict[str, str]:
        """Some refs are missing in the result if they moved meanwhile: git resolves each twice, and leaves out a ref that has changed."""
        try:
            self.git("bundle", "create", "--quiet", str(target), *refs, timeout=FETCH_SECONDS)
        except Permanent as error:
            if "empty bundle" not in error.sentence:
                raise
            return {}
        with open(target, "rb") as file:
            return read_header(file.fileno()).refs

    def changed_files(self, base: str, tip: str) -> list[ChangedFile]:
        """Changed files between two commits, by path."""
        out = self.git("diff", "--numstat", "-z", *PLAIN_DIFF, "--end-of-options", base, tip)
        parts, found = iter(out.split(b"\0")), []
        for part in parts:
            if not part:
                continue
            added, removed, path = part.split(b"\t", 2)
            if not path:  # renamed: the old path and the new one follow
                next(parts)
                path = next(parts)
            found.append(ChangedFile(shown(path), *(None if number == b"-" else int(number) for number in (added, removed))))
        return found

    def count_deleted(self, base: str, tip: str) -> int:
        """Number of files of `base` that are neither in `tip` nor were renamed."""
        return self.git("diff", "--name-only", "-z", "--diff-filter=D", *PLAIN_DIFF, "--end-of-options", base, tip).count(b"\0")

    def blobs(self, commit: str, env: Mapping[str, str] = NOTHING) -> list[tuple[str, str]]:
        """(path, sha) of all files of a commit."""
        out = self.git("ls-tree", "-r", "-z", "--end-of-options", commit, env=env)
        rows = (row.split(b"\t", 1) for row in out.split(b"\0") if row)
        return [(path.decode("utf-8", "surrogateescape"), head.split()[2].decode()) for head, path in rows]

    def tree(self, commit: str, env: Mapping[str, str] = NOTHING) -> str:
        """The sha of a commit's tree."""
        return self.git("rev-parse", "--verify", "--end-of-options", f"{commit}^{{tree}}", env=env).decode().strip()

    def count_files(self, commit: str) -> int:
        return self.git("ls-tree", "-r", "-z", "--name-only", "--end-of-options", commit).count(b"\0")

    def diff(self, base: str, tip: str, limit_bytes: int, *options: str) -> str:
        """The unified diff between two commits. If it is longer than `limit_bytes`, it is cut after a whole line, and a last line says so."""
        with self.stream("diff", "--no-color", *PLAIN_DIFF, *options, "--end-of-options", base, tip) as stream:
            data = stream.read(limit_bytes + 1)
        text = data[:limit_bytes].decode("utf-8", "backslashreplace")
        if len(data) <= limit_bytes:
            return text
        return text[:text.rfind("\n") + 1] + f"\\ The diff is longer than {limit_bytes} bytes and is cut here.\n"

    def log_graph(self, branch: str, base: str | None, limit: int) -> str:
        """The commits of a branch since `base` (None: all), newest first, at most `limit`, as a text graph."""
        span = f"{base}..refs/heads/{branch}" if base else f"refs/heads/{branch}"
        out = self.git("log", "--graph", "--no-color", "--no-decorate", "--format=%h %s", f"--max-count={limit}", "--end-of-options", span, "--")
        return "\n".join(printable(line) for line in out.decode("utf-8", "backslashreplace").splitlines())

    def archive(self, branch: str, file: IO[bytes]) -> None:
        """Writes the files of a branch as a zip with one folder, which has the name of the branch's last part."""
        import shutil

        prefix = branch.rpartition("/")[2] or "archive"
        with self.stream("archive", "--format=zip", f"--prefix={prefix}/", f"refs/heads/{branch}") as stream:
            shutil.copyfileobj(stream, file, 1 << 20)
