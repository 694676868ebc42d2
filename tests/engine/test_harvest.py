"""A run's bundle: taken in whole and repeatably, or refused with nothing of it kept."""
import hashlib
import os
import shutil
import struct
from pathlib import Path

import pytest
from agent_side import Agent, fresh, state
from conftest import git

from engine.errors import Permanent
from engine.git.bundle import REF, Unusable
from engine.git.harvest import keep_aside, take_in
from engine.git.policy import PolicyLimits
from engine.git.repository import Repository

RUN = "refs/swarm/runs/r1"


class Bench:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repository, self.base = fresh(folder)
        self.agent = Agent(self.repository, folder / "agent", self.base)
        self.tip = self.agent.commit({"a.txt": "a\n", "README.md": "# Demo\n\nMore.\n"})
        self.bundle = self.agent.bundle(self.base)

    def take_in(self, bundle: Path | None = None, base: str = "", run: str = "r1") -> str:
        with self.repository.locked():
            return take_in(self.repository, bundle or self.bundle, run, base or self.base, PolicyLimits())

    def refused(self, content: bytes | None = None, match: str = "^The run", **options: str) -> None:
        """`content` in place of the bundle, or the bundle itself."""
        before = state(self.repository)
        if content is not None:
            self.bundle.write_bytes(content)
        with pytest.raises(Permanent, match=match):
            self.take_in(**options)
        assert state(self.repository) == before


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def header(tip: str, needed: str = "", ref: str = REF, first: str = "# v2 git bundle") -> bytes:
    return f"{first}\n{f'-{needed} x{chr(10)}' if needed else ''}{tip} {ref}\n\n".encode()


def pack(objects: int = 0, body: bytes = b"") -> bytes:
    data = b"PACK" + struct.pack(">II", 2, objects) + body
    return data + hashlib.sha1(data).digest()


def test_what_a_run_made_stands_at_its_own_ref_and_the_rest_is_untouched(bench: Bench) -> None:
    assert bench.take_in() == bench.tip
    assert bench.repository.head(RUN) == bench.tip and bench.repository.head("refs/heads/main") == bench.base
    assert git(bench.repository.path, "show", f"{RUN}:a.txt") == "a\n"
    git(bench.repository.path, "fsck", "--strict", "--full")
    assert not list(bench.repository.path.glob("objects/incoming-*"))


def test_taking_in_twice_is_the_same_as_once(bench: Bench) -> None:
    bench.take_in()
    before = state(bench.repository)
    assert bench.take_in() == bench.tip
    assert state(bench.repository) == before


@pytest.mark.parametrize("died", ["in the quarantine", "pack moved, no index", "all moved, no ref"])
def test_after_a_death_in_between_taking_in_again_gives_the_same(tmp_path: Path, died: str) -> None:
    bench, other = Bench(tmp_path / "one"), Bench(tmp_path / "two")
    bench.take_in()
    other.take_in()
    assert state(bench.repository)["refs"] == state(other.repository)["refs"]
    other.repository.delete_ref(RUN)
    packs = other.repository.path / "objects" / "pack"
    if died == "in the quarantine":
        folder = other.repository.path / "objects" / "incoming-r1"
        shutil.copytree(packs, folder / "pack")
        shutil.rmtree(packs)
        packs.mkdir()
    elif died == "pack moved, no index":
        next(packs.glob("*.idx")).unlink()
    assert other.take_in() == bench.tip
    files = [sorted(path.name for path in b.repository.path.glob("objects/**/*")) for b in (bench, other)]
    assert files[0] == files[1]
    git(other.repository.path, "fsck", "--full")


def test_a_pack_without_objects_works_when_the_tip_is_there_already(bench: Bench) -> None:
    bench.take_in()
    bench.bundle.write_bytes(header(bench.tip, bench.base) + pack())
    assert bench.take_in(run="r2") == bench.tip
    bench.bundle.write_bytes(header(bench.base, bench.base) + pack())
    assert bench.take_in(run="r3") == bench.base


def test_a_bundle_of_version_3_and_a_long_subject_are_fine(bench: Bench) -> None:
    git(bench.agent.folder, "bundle", "create", "-q", "--version=3", str(bench.bundle), f"{bench.base}..{REF}")
    assert bench.bundle.read_bytes().startswith(b"# v3") and bench.take_in() == bench.tip
    long = bench.agent.commit({"b": "1"}, "x" * 20_000)
    bench.take_in(bench.agent.bundle(bench.base))
    last = bench.agent.commit({"b": "2"})
    assert bench.take_in(bench.agent.bundle(long), base=long) == last


@pytest.mark.parametrize("content", [
    b"", b"junk", b"\n\n", os.urandom(5000), b"# v2 git bundle\n\n" + pack(), b"# v4 git bundle\n\n", b"# v2 git bundle\n" + b"x" * (2 << 20),
    b"# v2 git bundle\nnot a line\n\n" + pack(), header("1" * 40, first="# v3 git bundle\n@filter=blob:none") + pack(),
    header("1" * 40, first="# v3 git bundle\n@object-format=sha256") + pack(),
    header("1" * 40, first="# v2 git bundle\n@object-format=sha1") + pack(),
    b"# v2 git bundle\n" + b"".join(b"%040x refs/heads/%d\n" % (n, n) for n in range(101)) + b"\n" + pack(),
    b"# v2 git bundle\n" + b"-%040x x\n" % 1 * 101 + b"1" * 40 + b" " + REF.encode() + b"\n\n" + pack(),
    header("1" * 40), header("1" * 40) + b"PACK", header("1" * 40) + pack(), header("1" * 40) + pack(5, b"\x00" * 100),
    header("1" * 40) + b"PACK" + struct.pack(">II", 2, 0xFFFFFFFF) + b"\0" * 100,
])
def test_junk_is_refused(bench: Bench, content: bytes) -> None:
    bench.refused(content)


def test_a_truncated_or_damaged_pack_is_refused(bench: Bench) -> None:
    whole = bench.bundle.read_bytes()
    for size in (len(whole) - 1, len(whole) - 25, len(whole) // 2):
        bench.refused(whole[:size])
    damaged = bytearray(whole)
    damaged[-40] ^= 0xFF
    bench.refused(bytes(damaged))


def test_another_ref_or_a_further_one_is_refused(bench: Bench) -> None:
    git(bench.agent.folder, "branch", "other")
    bench.bundle = bench.agent.bundle(bench.base, "refs/heads/other")
    bench.refused(match="must contain only refs/heads/swarm-out")
    git(bench.agent.folder, "bundle", "create", "-q", str(bench.bundle), f"{bench.base}..{REF}", "refs/heads/other")
    bench.refused(match="must contain only")


def test_a_needed_commit_that_is_unknown_is_refused(bench: Bench) -> None:
    later = bench.agent.commit({"b": "1"})
    bench.bundle = bench.agent.bundle(bench.tip)
    bench.refused(match=f"builds on the commit {bench.tip[:12]}")
    bench.refused(bench.bundle.read_bytes().replace(b"-" + bench.tip.encode(), b"-" + bench.base.encode()), match="cannot be used")
    assert bench.take_in(bench.agent.bundle(bench.base)) == later


def test_a_tip_that_does_not_contain_the_base_is_refused(bench: Bench) -> None:
    bench.take_in()
    other = bench.repository.commit(f"{bench.base}^{{tree}}", (), "Unrelated", 1)
    bench.refused(match="is not based on", base=other, run="r2")
    bench.refused(match="no longer has the commit", base="1" * 40)


def test_a_tip_that_is_missing_or_is_no_commit_is_refused(bench: Bench) -> None:
    blob = bench.repository.git("rev-parse", f"{bench.base}:README.md").decode().strip()
    bench.refused(header(blob, bench.base) + pack(), match="not a commit")
    bench.refused(header("2" * 40, bench.base) + pack(), match="not a commit")


def test_a_history_with_a_hole_is_refused(bench: Bench) -> None:
    tree = bench.agent.tree([("100644", "blob", "3" * 40, "gone")])
    tip = git(bench.agent.folder, "commit-tree", "-m", "Hole", "-p", bench.base, tree).strip()
    body = git_pack(bench.agent, [tip, tree])
    bench.refused(header(tip, bench.base) + body)


def test_a_tip_whose_tree_is_missing_from_what_is_here_already_is_refused(bench: Bench) -> None:
    """Not in the pack, so index-pack does not see it: an object without a ref, left by somebody, need not be complete."""
    text = f"tree {'3' * 40}\nparent {bench.base}\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\nHole\n".encode()
    tip = bench.repository.git("hash-object", "-t", "commit", "-w", "--stdin", stdin=text).decode().strip()
    bench.refused(header(tip, bench.base) + pack(), match="an object that it needs is missing")


def test_a_malformed_object_is_refused(bench: Bench) -> None:
    tree = git(bench.agent.folder, "rev-parse", f"{bench.base}^{{tree}}").strip()
    text = f"tree {tree}\nparent {bench.base}\nauthor A <a@b> 1 +0000\nauthor B <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\nTwo authors\n"
    tip = git(bench.agent.folder, "hash-object", "-t", "commit", "-w", "--stdin", "--literally", input=text).strip()
    bench.refused(header(tip, bench.base) + git_pack(bench.agent, [tip]), match="multipleAuthors")


def git_pack(agent: Agent, objects: list[str]) -> bytes:
    """A pack of exactly these objects, whatever they need."""
    name = git(agent.folder, "pack-objects", "-q", "made", input="\n".join(objects) + "\n").strip()
    return (agent.folder / f"made-{name}.pack").read_bytes()


@pytest.mark.parametrize("kind", ["symlink", "pipe", "hard link", "folder", "nothing", "device"])
def test_anything_but_a_plain_file_is_refused(bench: Bench, kind: str) -> None:
    real = bench.bundle.rename(bench.folder / "real")
    if kind == "symlink":
        bench.bundle.symlink_to(real)
    elif kind == "pipe":
        os.mkfifo(bench.bundle)
    elif kind == "hard link":
        os.link(real, bench.bundle)
    elif kind == "folder":
        bench.bundle.mkdir()
    elif kind == "device":
        bench.bundle.symlink_to("/dev/zero")
    bench.refused()


def test_a_bundle_beyond_the_size_limit_is_refused_unread(bench: Bench) -> None:
    with open(bench.bundle, "r+b") as file:
        file.truncate(513_000_000)
    bench.refused(match="not a plain file of at most 512 MB")


def test_a_run_id_that_is_no_name_is_refused(bench: Bench) -> None:
    for run in ("../x", "", "a/b", "-x", "a\nb"):
        bench.refused(match="is not the id of a run", run=run)


def test_a_data_folder_with_odd_characters_works(tmp_path: Path) -> None:
    odd = tmp_path / 'a:b "c" \\d'
    odd.mkdir()
    repository, base = fresh(odd)
    agent = Agent(repository, tmp_path / "agent", base)
    tip = agent.commit({"README.md": "# Demo\nchanged\n"})
    assert take_in(Repository(repository.path), agent.bundle(base), "r1", base) == tip


def kept_bundle(bench: Bench, *names: str, ref: str = "refs/heads/swarm-kept/") -> list[str]:
    """kept.bundle in place of the bundle: a commit of its own for each name, upon the base. -> their shas"""
    shas = []
    for number, name in enumerate(names, 1):
        git(bench.agent.folder, "checkout", "-q", "-B", "swarm-out", bench.base)
        shas.append(bench.agent.commit({name: f"{name}\n"}))
        git(bench.agent.folder, "update-ref", f"{ref}{number}", shas[-1])
    git(bench.agent.folder, "bundle", "create", "-q", str(bench.bundle), f"--glob={ref}*", f"^{bench.base}")
    return shas


def set_aside(bench: Bench) -> list[str]:
    with bench.repository.locked():
        keep_aside(bench.repository, bench.bundle, "r1", bench.base, "refs/swarm/kept/swarm/x/tkt-002/")
    refs = bench.repository.refs("refs/swarm/kept/swarm/x/tkt-002/")
    assert [ref.rpartition("/")[2] for ref in refs] == [str(number + 1) for number in range(len(refs))]
    return [bench.repository.head(ref) or "" for ref in refs]


def test_commits_that_were_not_delivered_are_kept_once_and_numbered_on(bench: Bench) -> None:
    first = kept_bundle(bench, "one", "two")
    assert set_aside(bench) == set_aside(bench) == first
    second = kept_bundle(bench, "three")
    assert set_aside(bench) == [*first, *second] == set_aside(bench)
    assert git(bench.repository.path, "show", f"{second[0]}:three") == "three\n"


def test_a_bundle_of_kept_commits_may_name_no_other_ref(bench: Bench) -> None:
    kept_bundle(bench, "one", ref="refs/heads/main")
    before = state(bench.repository)
    with pytest.raises(Permanent, match="it must contain only refs below refs/heads/swarm-kept/"):
        set_aside(bench)
    assert state(bench.repository) == before


def test_a_bundle_that_is_refused_is_the_runs_fault_and_a_damaged_repository_is_not(bench: Bench) -> None:
    with pytest.raises(Unusable):
        bench.take_in(run="r2", base=bench.repository.commit(f"{bench.base}^{{tree}}", (), "Unrelated", 1))
    tree = bench.repository.git("rev-parse", f"{bench.base}^{{tree}}").decode().strip()
    (bench.repository.path / "objects" / tree[:2] / tree[2:]).unlink()
    with pytest.raises(Permanent, match=r"The repository .* is damaged: .* Restore it from a backup\.") as raised:
        bench.take_in()
    assert not isinstance(raised.value, Unusable)
