"""What a sandbox leaves in the outputs is plain: no special bits, no other owners; and nothing stays after the end."""
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from runner_bench import Bench, bench_of

from engine.config import Config
from engine.host.folders import tame
from engine.jobs import Result
from engine.loop.launch import ProcessLauncher

LEAVES = """cd "$SWARM_OUT"
cp /bin/true setuid; chmod 6755 setuid; ln setuid again
mkdir -m 7777 deep; cp /bin/true deep/s; chmod 4755 deep/s; mkdir -m 0 closed; mkfifo pipe; ln -s /etc/passwd link; : > unreadable; chmod 0 unreadable
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("door")'
chown 12:34 deep/s unreadable deep 2> /dev/null || true; chmod 4755 deep/s; chmod 1777 .
cd "$SWARM_WORK"; echo hi > repo/hi.txt
"""
IN_THE_WAY = """cd "$SWARM_OUT"
mkfifo out.part kept.part report; mkdir -p out.bundle/out.part; ln -s /dev/null kept.bundle
cd "$SWARM_WORK/repo"; echo lost > lost.txt; git add .; git commit -qm lost; git checkout -q -b other; echo more > more.txt; git add .; git commit -qm more
git checkout -q -
"""


@pytest.fixture(params=("bubblewrap", "process"))
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    yield from bench_of(request.param, tmp_path)


def strange(folder: Path) -> list[str]:
    """What others could use below a folder, or what has another owner."""
    own, found = os.lstat(folder), []
    for parent, folders, files in os.walk(folder):
        for name in ("", *folders, *files):
            status = os.lstat(os.path.join(parent, name))
            open_to_others = status.st_mode & 0o7022 and not stat.S_ISLNK(status.st_mode)
            if open_to_others or (status.st_uid, status.st_gid) != (own.st_uid, own.st_gid):
                found.append(os.path.join(parent, name))
    return found


@pytest.mark.parametrize("end", ["", "exit 3", "kill -9 $$", "sleep 600"])
def test_an_ended_run_has_plain_outputs_however_it_ended(bench: Bench, end: str) -> None:
    result, folder = bench.run(LEAVES + end, checks=(LEAVES.replace("repo/hi.txt", "hi") + "true",), **({"stall_seconds": 1} if "sleep" in end else {}))
    assert strange(folder / "out") == []
    assert not (folder / "work").exists() and not list((folder / "checks").glob("out-*"))
    assert result.outcome == "failed" if end else (result.outcome, (folder / "out" / "out.bundle").is_file()) == ("ok", True)


def test_what_an_agent_put_in_the_place_of_its_bundles_is_replaced(bench: Bench) -> None:
    result, folder = bench.run(IN_THE_WAY)
    assert result.failure == "agent" and "left commits that its branch does not have: refs/heads/other" in str(result.reason), result.reason
    assert result.tip and (folder / "out" / "kept.bundle").stat().st_size > 100 and not list((folder / "out").glob("*.part"))


@pytest.mark.parametrize("bench", ["process"], indirect=True)  # elsewhere the folder is a mount, which cannot be removed
@pytest.mark.parametrize("instead", ["", 'ln -s "$SWARM_WORK/../../mine" "$SWARM_OUT"', ': > "$SWARM_OUT"'])
def test_outputs_that_are_gone_are_made_again_and_what_they_point_to_stays(bench: Bench, instead: str) -> None:
    mine = bench.folder / "runs" / "mine"
    mine.mkdir(parents=True)
    (mine / "file").touch(0o755)
    result, folder = bench.run(f'rm -rf "$SWARM_OUT"\n{instead}')
    assert result.outcome in ("failed", "no_change") and (folder / "out").is_dir() and not (folder / "out").is_symlink()
    assert stat.S_IMODE((mine / "file").stat().st_mode) == 0o755


def test_a_further_name_of_a_file_of_the_host_is_emptied_and_the_file_stays_as_it_is(tmp_path: Path) -> None:
    outputs, mine = tmp_path / "out", tmp_path / "mine"
    outputs.mkdir()
    mine.write_text("mine")
    mine.chmod(0o4755)
    os.link(mine, outputs / "link")
    (outputs / "sym").symlink_to(mine)
    tame(outputs)
    assert stat.S_IMODE(mine.stat().st_mode) == 0o4755 and mine.read_text() == "mine"
    assert (outputs / "link").read_bytes() == b"" and (outputs / "link").stat().st_ino != mine.stat().st_ino and (outputs / "sym").is_symlink()


def test_what_is_too_deep_is_removed(tmp_path: Path) -> None:
    outputs = tmp_path / "out"
    outputs.mkdir()
    here = os.open(outputs, os.O_RDONLY)  # a path of 8,000 characters
    for _ in range(40):
        os.mkdir("d" * 200, dir_fd=here)
        inner = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    descriptor = os.open("s", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=here)
    os.fchmod(descriptor, 0o4755)
    os.close(descriptor)
    os.close(here)
    tame(outputs)
    assert strange(outputs) == [] and sum(1 for _ in outputs.rglob("s")) == 0


def test_nothing_stays_of_an_ended_run_for_a_user_without_privileges(tmp_path: Path) -> None:
    """Folders without permissions, as a sandbox can leave them, are opened for their removal."""
    folder = tmp_path / "runs" / "R"
    if os.geteuid() == 0:
        os.chown(tmp_path, 65534, 65534)
        for parent in list(tmp_path.parents)[:-1]:
            parent.chmod(parent.stat().st_mode | 0o055)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            for name in ("in", "out", "work", "checks"):
                (folder / name / "closed" / "inner").mkdir(parents=True)
                (folder / name / "closed").chmod(0)
                (folder / name).chmod(0o500)
            tame(folder / "out")
            assert (folder / "out" / "closed" / "inner").is_dir()
            (folder / "out" / "closed").chmod(0)
            ProcessLauncher(Config(data=tmp_path)).discard("R")
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0 and os.listdir(folder) == []


def test_the_folder_of_a_run_is_closed_for_others(config: Config) -> None:
    before = os.umask(0)
    try:
        launcher = ProcessLauncher(config)
        launcher.prepare_result(Bench("fake", config.data).job("true"), Result("R", "ok", 0))
    finally:
        os.umask(before)
    (folder,) = (config.data / "runs").iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
