"""What an agent does in its sandbox, for the tests of what the host takes from it: a clone, commits of any kind, a bundle."""
import os
import subprocess
from pathlib import Path

from conftest import GIT_ENV, git

from engine.git.repository import Repository

WHEN = 1_700_000_000


def fresh(folder: Path) -> tuple[Repository, str]:
    """A session's repository with one commit on main. -> it and that commit's sha"""
    repository = Repository(folder / "repos" / "session.git")
    with repository.locked():
        repository.create()
        return repository, repository.start_fresh("Demo", WHEN)


def upstream(folder: Path, commits: int = 3) -> Path:
    """A repository with `commits` commits on main and two further branches, made in one go by fast-import."""
    git(folder.parent, "init", "-q", "-b", "main", str(folder))
    lines = []
    for number in range(1, commits + 1):
        lines.append(f"commit refs/heads/main\nmark :{number}\ncommitter A Tester <tester@localhost> {WHEN + number} +0000\ndata 2\nc\n"
                     f"M 644 inline file{number % 7}.txt\ndata <<END\n{number}\nEND\n")
    lines.append(f"reset refs/heads/feature/a\nfrom :{commits}\n\nreset refs/heads/old\nfrom :{commits - 1}\n\n")
    git(folder, "fast-import", "--quiet", input="".join(lines))
    return folder


class Agent:
    """A clone of the repository with the branch swarm-out checked out at `start`."""

    def __init__(self, repository: Repository, folder: Path, start: str) -> None:
        self.folder = folder
        subprocess.run(["git", "clone", "-q", "--no-checkout", str(repository.path), str(folder)], check=True, env=GIT_ENV)
        git(folder, "checkout", "-q", "-b", "swarm-out", start)

    def commit(self, files: dict[str, str], message: str = "Work") -> str:
        for name, text in files.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(text)
        git(self.folder, "add", "-A")
        return self._commit(message)

    def _commit(self, message: str) -> str:
        git(self.folder, "commit", "-q", "--allow-empty", "-m", message)
        return self.tip()

    def plant(self, mode: str, path: str, content: bytes) -> str:
        """A commit with an entry that git add would not take, made from objects."""
        oid = content.decode() if mode == "160000" else self.blob(content)
        parts = path.split("/")
        kind = {"160000": "commit"}.get(mode, "blob")
        tree = self.tree([(mode, kind, oid, parts[-1])])
        for part in reversed(parts[1:-1]):
            tree = self.tree([("040000", "tree", tree, part)])
        if len(parts) > 1:
            mode, kind, oid = "040000", "tree", tree
        listing = git(self.folder, "ls-tree", "HEAD").splitlines()
        entries = [tuple(line.replace("\t", " ").split(" ", 3)) for line in listing if not line.endswith(f"\t{parts[0]}")]
        return self.commit_tree(self.tree([*entries, (mode, kind, oid, parts[0])]))

    def blob(self, content: bytes) -> str:
        argv = ["git", "-C", str(self.folder), "hash-object", "-w", "--stdin"]
        done = subprocess.run(argv, input=content, check=True, capture_output=True, env=GIT_ENV)
        return done.stdout.decode().strip()

    def tree(self, entries: list) -> str:
        text = "".join(f"{mode} {kind} {oid}\t{name}\n" for mode, kind, oid, name in entries)
        return git(self.folder, "mktree", "--missing", input=text).strip()

    def commit_tree(self, tree: str, *parents: str) -> str:
        options = [part for parent in parents or (self.tip(),) for part in ("-p", parent)]
        tip = git(self.folder, "commit-tree", "-m", "Planted", *options, tree).strip()
        git(self.folder, "update-ref", "refs/heads/swarm-out", tip)
        return tip

    def tip(self) -> str:
        return git(self.folder, "rev-parse", "refs/heads/swarm-out").strip()

    def bundle(self, base: str, ref: str = "refs/heads/swarm-out") -> Path:
        target = self.folder.parent / f"{self.folder.name}.bundle"
        git(self.folder, "bundle", "create", "-q", str(target), f"{base}..{ref}")
        return target


def state(repository: Repository) -> dict[str, int | str]:
    """Every ref with its value and every file under objects/: what must not change when a bundle is refused."""
    refs = repository.git("for-each-ref", "--format=%(refname) %(objectname)").decode()
    files = [os.path.join(folder, name) for folder, folders, names in os.walk(repository.path / "objects") for name in (*folders, *names)]
    return {"refs": refs, "objects": "\n".join(sorted(files))}
