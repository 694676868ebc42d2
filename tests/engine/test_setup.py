"""A snapshot is made once, in a sandbox, and sandboxes stand on it without changing it."""
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import git, require
from runner_bench import INTEGRATION, Bench, bench_of

from engine.environments import layers
from engine.ground import Ground, Setup
from engine.jobs import Result

MAKE = "mkdir -p .venv/bin && printf '#!/bin/sh\\necho tool\\n' > .venv/bin/tool && chmod +x .venv/bin/tool && echo kept > \"$HOME/cache\""


@pytest.fixture()
def bench(tmp_path: Path) -> Iterator[Bench]:
    yield from bench_of("bubblewrap", tmp_path)


def committed(bench: Bench, folder: Path) -> set[str]:
    """Files of the commit that a run handed over."""
    return set(git(bench.take(folder), "ls-tree", "-r", "--name-only", "refs/heads/swarm-out").split())


def set_up(bench: Bench, *commands: str, commit: str | None = None, **values: object) -> tuple[Result, Path]:
    steps = {"setup": list(commands), **{name: values.pop(name) for name in ("env", "update", "inputs") if name in values}}
    commit = commit or bench.repository.head(f"refs/heads/{INTEGRATION}")
    limits = {name: values.pop(name) for name in ("log_mb", "run_seconds") if name in values}
    return bench.run(kind="setup", setup=Setup(steps, str(commit), **values), **limits)  # type: ignore[arg-type]


def ground(result: Result) -> Ground:
    return Ground(result.ground["key"], disk_mb=64)


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {str(path.relative_to(folder)): (stat.S_IMODE(path.lstat().st_mode), path.read_bytes() if path.is_file() else b"")
            for path in sorted(folder.rglob("*"))}


def test_a_setup_leaves_what_it_made_and_no_tracked_file(bench: Bench) -> None:
    result, _ = set_up(bench, MAKE, "echo changed > README.md")
    assert result.outcome == "ok", result.reason
    folder = layers.root(bench.folder) / result.ground["key"]
    assert set(files(folder / "repo")) == {".venv", ".venv/bin", ".venv/bin/tool"}
    assert (folder / "home" / "cache").read_text() == "kept\n"
    assert result.ground["reused"] is False and result.ground["bytes"] > 0
    assert not list(layers.root(bench.folder).glob("*.tmp"))


def test_the_same_setup_is_made_once(bench: Bench) -> None:
    first, _ = set_up(bench, MAKE)
    second, _ = set_up(bench, MAKE)
    assert (second.ground["key"], second.ground["reused"]) == (first.ground["key"], True)
    other, _ = set_up(bench, MAKE, "true")
    assert other.ground["key"] != first.ground["key"]
    again, _ = set_up(bench, MAKE, again=True)
    assert (again.ground["key"], again.ground["reused"]) == (first.ground["key"], False)


def test_agent_and_checks_stand_on_it_and_cannot_change_it(bench: Bench) -> None:
    made, _ = set_up(bench, MAKE, env={"PATH": "$SWARM_WORK/repo/.venv/bin:$PATH"})
    folder = layers.root(bench.folder) / made.ground["key"]
    before = files(folder)
    result, at = bench.run("tool > said.txt; cat \"$HOME/cache\" >> said.txt; rm -rf .venv \"$HOME\"/*; echo mine > \"$HOME/cache\"",
                           checks=("tool", "test \"$(cat \"$HOME/cache\")\" = kept", "grep -q tool said.txt"),
                           ground=ground(made))
    assert result.outcome == "ok", (result.reason, (at / "log").read_text())
    assert [check["passed"] for check in result.checks] == [True] * 3
    assert committed(bench, at) == {".gitignore", "README.md", "said.txt"}
    assert files(folder) == before


def test_what_setup_leaves_untracked_is_not_committed(bench: Bench) -> None:
    made, _ = set_up(bench, "echo generated > generated.txt")
    result, at = bench.run("cat generated.txt > copy.txt", ground=ground(made))
    assert result.outcome == "ok", result.reason
    assert committed(bench, at) == {".gitignore", "README.md", "copy.txt"}


def test_variables_that_setup_leaves_reach_every_sandbox(bench: Bench) -> None:
    made, _ = set_up(bench, "echo LEFT=there >> \"$SWARM_ENV\"; echo 'SWARM_X=no' >> \"$SWARM_ENV\"; echo 'not a line' >> \"$SWARM_ENV\"",
                     env={"SET": "it's"})
    result, _ = bench.run("echo \"$LEFT $SET ${SWARM_X:-none}\" > said.txt",
                          checks=("test \"$LEFT $SET $(cat said.txt)\" = 'there it'\\''s there it'\\''s none'",),
                          ground=ground(made))
    assert result.outcome == "ok", result.reason


@pytest.mark.parametrize(("commands", "words"), [
    (("true", "echo first; echo last words; exit 3"), ("Step 2 of the setup (echo first; echo last words; exit 3) failed with exit code 3.", "last words")),
    (("read line",), ("Step 1 of the setup (read line) failed",)),
    (("touch /usr/bin/x",), ("Step 1", "Read-only file system")),
    (("exec sleep 1000",), ("Step 1 of the setup (exec sleep 1000) took too long.",)),
    (("head -c 100000000 /dev/zero > big; sleep 1000",), ("Step 1", "wrote more than 64 MB", "Largest: big")),
    (("fallocate -l 100000000 \"$HOME/big\"; sleep 1000",), ("wrote a file of more than 64 MB",)),
    (("i=0; mkdir many; while [ $i -lt 30000 ]; do echo x > many/$i; i=$((i+1)); done; sleep 1000",), ("wrote more than 64 MB", "Largest: many")),
    (("yes | head -c 100000000",), ("Step 1", "log")),
])
def test_a_setup_that_fails_says_where_and_leaves_nothing(bench: Bench, commands: tuple[str, ...], words: tuple[str, ...]) -> None:
    result, _ = set_up(bench, *commands, seconds=5.0 if "1000" in commands[0] and "exec" in commands[0] else 60.0, disk_mb=64)
    assert (result.outcome, result.failure) == ("failed", "agent")
    for word in words:
        assert word in str(result.reason)
    assert not [path for path in layers.root(bench.folder).iterdir() if path.is_dir()]


def test_a_daemon_that_setup_starts_ends_with_it(bench: Bench) -> None:
    result, _ = set_up(bench, "(sleep 1000 &) ; echo done > made")
    assert result.outcome == "ok" and (layers.root(bench.folder) / result.ground["key"] / "repo" / "made").exists()


def test_a_damaged_snapshot_is_made_again(bench: Bench) -> None:
    made, _ = set_up(bench, MAKE)
    folder = layers.root(bench.folder) / made.ground["key"]
    (folder / "repo" / ".venv" / "bin" / "tool").unlink()
    result, at = set_up(bench, MAKE)
    assert result.ground["reused"] is False and (folder / "repo" / ".venv" / "bin" / "tool").exists()
    assert "made again" in (at / "log").read_text()
    about = json.loads((folder / layers.ABOUT).read_text())
    (folder / layers.ABOUT).write_text(json.dumps({**about, "format": 99}))
    assert layers.read(folder) is None


def test_a_run_whose_snapshot_is_gone_is_not_its_agents_failure(bench: Bench) -> None:
    made, _ = set_up(bench, MAKE)
    assert layers.delete(bench.folder, made.ground["key"])
    result, _ = bench.run("true", ground=ground(made))
    assert (result.outcome, result.failure) == ("failed", "transient") and "gone or damaged" in str(result.reason)


def test_an_update_begins_with_the_older_snapshot(bench: Bench) -> None:
    first, _ = set_up(bench, MAKE, update=["echo new > newer; test -e .venv/bin/tool"])
    second, _ = set_up(bench, MAKE, update=["echo new > newer; test -e .venv/bin/tool"], base=first.ground["key"], ticket="TKT-002")
    assert second.outcome == "ok", second.reason
    assert second.ground["key"] != first.ground["key"]
    assert "newer" in files(layers.root(bench.folder) / second.ground["key"] / "repo")


def test_what_setup_made_belongs_to_the_user_without_special_bits(bench: Bench) -> None:
    made, _ = set_up(bench, "touch set; chmod 6755 set; mkfifo pipe")
    assert made.outcome == "ok"
    folder = layers.root(bench.folder) / made.ground["key"] / "repo"
    assert not os.lstat(folder / "set").st_mode & (stat.S_ISUID | stat.S_ISGID)


def test_java_and_maven_find_their_settings_and_no_passwords(bench: Bench) -> None:
    require("mvn")
    result, at = bench.run("true", checks=("mvn -v", "cat \"$(dirname \"$(dirname \"$(readlink -f \"$(command -v java)\")\")\")/conf/security/java.security\"",
                                           "! cat /etc/maven/settings.xml"))
    assert [check["passed"] for check in result.checks] == [True] * 3, (at / "log").read_text()
