"""The header of a bundle: one reader, so the runner, which fails the attempt, and the harvest, which refuses for good, judge alike."""
import os
from pathlib import Path

import pytest
from conftest import git

from engine.errors import AgentFailed, Permanent
from engine.git.bundle import LONGEST_HEADER, MOST_LINES, MOST_OBJECTS, REF, Header, count_objects, read_header
from engine.git.repository import Repository
from engine.run.outputs import take_bundle

SHA, SHA256 = "1" * 40, "1" * 64
HEAD = f"{SHA} {REF}\n"
HOSTILE = {
    "empty": "", "junk": "junk\n\n", "no end": f"# v2 git bundle\n{HEAD}", "too long": f"# v2 git bundle\n{HEAD}{'x' * LONGEST_HEADER}\n\n",
    "version 4": f"# v4 git bundle\n{HEAD}\n", "64 digits": f"# v2 git bundle\n{SHA256} {REF}\n\n", "no name": f"# v2 git bundle\n{SHA}\n\n",
    "another format": f"# v3 git bundle\n@object-format=sha256\n{HEAD}\n", "a filter": f"# v3 git bundle\n@filter=blob:none\n{HEAD}\n",
    "NUL in a name": f"# v2 git bundle\n{SHA} {REF}\0x\n\n", "capital digits": f"# v2 git bundle\n{'A' * 40} {REF}\n\n",
    "many refs": "# v2 git bundle\n" + "".join(f"{SHA} refs/heads/{n}\n" for n in range(MOST_LINES + 1)) + "\n",
}


def _opened(path: Path, content: str) -> int:
    path.write_text(content)
    return os.open(path, os.O_RDONLY)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_header_fails_the_attempt_in_the_runner_and_is_refused_by_the_harvest(tmp_path: Path, name: str) -> None:
    descriptor = _opened(tmp_path / "out.bundle", HOSTILE[name])
    with pytest.raises(Permanent, match="The run's bundle cannot be used"):
        read_header(descriptor)
    os.close(descriptor)
    with pytest.raises(AgentFailed, match="The run left a bundle that cannot be read"):
        take_bundle(tmp_path, tmp_path / "copy" / "out.bundle")
    assert not (tmp_path / "copy").exists()


def test_a_bundle_without_the_branch_of_a_run_fails_the_attempt(tmp_path: Path) -> None:
    (tmp_path / "out.bundle").write_text(f"# v2 git bundle\n{SHA} refs/heads/other\n\n")
    with pytest.raises(AgentFailed, match="without the branch swarm-out"):
        take_bundle(tmp_path, tmp_path / "copy")


def test_what_git_writes_is_read_and_copied_whole(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "r.git")
    repository.create()
    first = repository.start_fresh("Name", 1_700_000_000)
    git(repository.path, "update-ref", REF, first)
    assert repository.bundle(tmp_path / "out.bundle", [REF, "refs/heads/main"]) == {REF: first, "refs/heads/main": first}
    with open(tmp_path / "out.bundle", "rb") as file:
        header = read_header(file.fileno())
        assert (header.needed, count_objects(file.fileno(), header)) == ((), 4)
    assert take_bundle(tmp_path, tmp_path / "copy") == first
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "out.bundle").read_bytes()


@pytest.mark.parametrize("pack", [b"", b"PACK\0\0\0\2", b"JUNK\0\0\0\2\0\0\0\1", b"PACK\0\0\0\2" + (MOST_OBJECTS + 1).to_bytes(4, "big")])
def test_a_pack_that_is_none_or_announces_too_much_is_refused_unread(tmp_path: Path, pack: bytes) -> None:
    (tmp_path / "pack").write_bytes(pack)
    with open(tmp_path / "pack", "rb") as file, pytest.raises(Permanent):
        count_objects(file.fileno(), Header({}, (), 0))
