"""One contract for every runtime, and what bubblewrap promises beyond it."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import require, until
from sandbox_bench import LIMITS, PATIENCE, RUN, Bench, sleeping

from engine.config import ROOT, Config
from engine.errors import Permanent, Refused
from engine.host.processes import is_held, members
from engine.run.disk_use import DiskWatch, is_overlaid
from engine.runtimes import RUNTIMES, Fake, FakeOutcome, SandboxJob, choose, overlay

ALLOWED = {"LANG", "TERM", "TZ", "GIT_TERMINAL_PROMPT", "GIT_PAGER", "GIT_CONFIG_NOSYSTEM", "SWARM_RUN", "SWARM_IN", "SWARM_OUT", "SWARM_WORK",
           "HOME", "TMPDIR", "USER", "LOGNAME", "PATH", "PWD", "OLDPWD", "SHLVL", "_", "GIVEN", "SWARM_TOOLS"}


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.vm) if name == "qemu" else name for name in RUNTIMES])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    if request.param == "bubblewrap":
        require("bwrap")
    return Bench(request.param, tmp_path)


@pytest.fixture
def wrapped(tmp_path: Path) -> Bench:
    require("bwrap")
    return Bench("bubblewrap", tmp_path)


def test_it_says_what_it_is_and_can_run(bench: Bench) -> None:
    assert bench.runtime.name == bench.name
    assert bench.runtime.isolation.endswith(".")
    assert bench.runtime.isolates == (not bench.runtime.isolation.startswith("None"))
    assert bench.runtime.probe() is None


def test_a_virtual_machine_and_files_of_its_own_go_together_and_are_bounded(bench: Bench, tmp_path: Path) -> None:
    config = Config(data=tmp_path / "none")
    if bench.name == "qemu":
        assert bench.runtime.vm(config) == config.vm and bench.runtime.own_files(config) == (
            None, f"There is no VM image in {config.image}. Build it with: make vm-image") and (bench.runtime.most() or 0) > 0
    else:
        assert (bench.runtime.vm(config), bench.runtime.own_files(config), bench.runtime.most()) == (None, None, None)


@pytest.mark.parametrize("code", [0, 3, 113])
def test_the_exit_code_is_the_commands(bench: Bench, code: int) -> None:
    assert bench.run(f"exit {code}", FakeOutcome(exit=code))[0] == code


def test_output_and_errors_arrive_in_one_order(bench: Bench) -> None:
    lines = "".join(f"{n}\n" for n in range(200))
    _, said = bench.run("i=0; while [ $i -lt 200 ]; do echo $i; i=$((i+1)); echo $i >&2; i=$((i+1)); done", FakeOutcome(output=lines.encode()))
    assert said == lines


def test_inputs_are_read_and_outputs_arrive_on_the_host(bench: Bench) -> None:
    (bench.inputs / "question").write_text("six by nine")
    code, _ = bench.run('cat "$SWARM_IN/question" > "$SWARM_OUT/answer"',
                        lambda job: FakeOutcome(files={"answer": (job.inputs / "question").read_bytes()}))
    assert (code, (bench.outputs / "answer").read_text()) == (0, "six by nine")


def test_the_work_folder_is_empty_and_writable_and_where_it_starts(bench: Bench) -> None:
    code, said = bench.run('ls -A "$SWARM_WORK"; touch "$SWARM_WORK/x" "$HOME/x" "$TMPDIR/x" && [ "$(pwd)" = "$SWARM_WORK" ] && echo fine',
                           FakeOutcome(output=b"fine\n"))
    assert (code, said) == (0, "fine\n")


def test_nothing_of_the_hosts_environment_is_inside(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "of the host")
    _, said = bench.run("env", lambda job: FakeOutcome(output=f"SWARM_RUN={job.run}\nGIVEN={job.environment['GIVEN']}\n".encode()))
    values = dict(line.split("=", 1) for line in said.splitlines())
    assert set(values) <= ALLOWED
    assert (values["SWARM_RUN"], values["GIVEN"]) == (RUN, "yes")


def test_the_lock_is_held_while_it_lives_and_free_after_the_end(bench: Bench) -> None:
    handle = bench.start("echo up; sleep 600", FakeOutcome(seconds=600, output=b"up\n"))
    bench.hear("up")
    held = is_held(bench.folder / "sandbox.lock1")
    bench.runtime.stop(handle)
    assert (held, is_held(bench.folder / "sandbox.lock1")) == (True, False)


def test_stop_ends_everything_even_what_left_the_session(bench: Bench) -> None:
    command = 'setsid sh -c "sleep 601; :" & (setsid env -i sleep 602 &) ; sleep 0.1; echo up; sleep 603'
    handle = bench.start(command, FakeOutcome(seconds=600, output=b"up\n"), run=RUN + "-stop")
    bench.hear("up")
    bench.runtime.stop(handle)
    assert bench.runtime.poll(handle) is not None
    assert list(members(RUN + "-stop", bench.outputs)) == []
    assert not sleeping("601", "602", "603")


def test_a_process_left_behind_is_gone_after_the_stop(bench: Bench) -> None:
    code, _ = bench.run("setsid sleep 604 & exit 5", FakeOutcome(exit=5))
    assert (code, sleeping("604")) == (5, [])


LONG = [str(10_000_000 + 5 * os.getpid() + number) for number in range(4)]  # other tests on this machine sleep, too
FIRST = f"trap 'asked=yes' TERM; {{agent}} & echo up; sleep {LONG[0]}; echo asked: $asked; exit 9"


def test_who_is_asked_to_end_ends_all_but_the_first_process_which_goes_on_alone(bench: Bench) -> None:
    handle = bench.start(FIRST.format(agent=f"setsid sleep {LONG[1]} & (setsid env -i sleep {LONG[2]} &)"), FakeOutcome(seconds=600, output=b"up\n"))
    bench.hear("up")
    until(lambda: bench.runtime.ask_to_end(handle), PATIENCE, what="the end of the others")
    code = bench.end(handle)
    assert not sleeping(*LONG)
    assert bench.name == "fake" or (code, bench.said().split()[-2:]) == (9, ["asked:", "yes"])
    assert code != 0 and bench.runtime.ask_to_end(handle), "it may be asked again, after its end"


def test_who_does_not_end_when_it_is_asked_is_killed_and_the_first_process_goes_on(bench: Bench) -> None:
    stays = f"(trap '' TERM; echo stays; sleep {LONG[3]})"
    handle = bench.start(FIRST.format(agent=stays), FakeOutcome(seconds=600, output=b"up\nstays\n"))
    bench.hear("up")
    bench.hear("stays")
    if bench.name in ("process", "bubblewrap"):  # the others end it by themselves
        until(lambda: not bench.runtime.ask_to_end(handle) and not sleeping(LONG[0]), what="the end of the one that heeds it")
        until(lambda: sleeping(LONG[3]), what="the one that stays")
        assert not any(bench.runtime.ask_to_end(handle) for _ in range(3))
    until(lambda: bench.runtime.ask_to_end(handle, kill=True), PATIENCE, what="the end of the others")
    code = bench.end(handle)
    assert not sleeping(*LONG)
    assert bench.name == "fake" or (code, bench.said().split()[-2:]) == (9, ["asked:", "yes"])


def test_it_says_whether_files_changed_inside_lately(bench: Bench) -> None:
    handle = bench.start('mkdir -p a/b; echo up; sleep 1; echo x > a/b/c; echo x > "$HOME/x"; echo done; sleep 615',
                         FakeOutcome(seconds=600, output=b"up\ndone\n"))
    bench.hear("done")
    until(lambda: bench.runtime.changed(handle, 60.0) or bench.name == "fake", what="the change")
    until(lambda: not bench.runtime.changed(handle, 0.1), what="some time without one")
    bench.runtime.stop(handle)
    assert not bench.runtime.changed(handle, 0.1), "it may be asked after the end"


def test_stop_may_come_twice_and_after_the_end(bench: Bench) -> None:
    handle = bench.start("exit 7", FakeOutcome(exit=7))
    assert bench.end(handle) == 7
    bench.runtime.stop(handle)
    bench.runtime.stop(handle)
    assert [bench.runtime.poll(handle) for _ in range(3)] == [7, 7, 7]


def test_a_handle_survives_json(bench: Bench) -> None:
    handle = json.loads(json.dumps(bench.start("sleep 600", FakeOutcome(seconds=600))))
    assert isinstance(handle["pid"], int)
    assert bench.runtime.poll(handle) is None
    bench.runtime.stop(handle)
    assert bench.runtime.poll(handle) is not None


def test_another_process_can_stop_it_by_its_handle(bench: Bench) -> None:
    if bench.name == "fake":
        pytest.skip("a fake lives in one process alone")
    handle = bench.start("sleep 605", run=RUN + "-other")
    program = f"import json, sys; from engine.runtimes import RUNTIMES; r = RUNTIMES[{bench.name!r}](); h = json.loads(sys.argv[1]); r.stop(h)"
    subprocess.run([sys.executable, "-c", program, json.dumps(handle)], check=True, cwd=ROOT)
    assert not sleeping("605")
    assert bench.end(handle) != 0


def test_two_sandboxes_do_not_touch_each_other(bench: Bench) -> None:
    first = bench.start("sleep 600", FakeOutcome(seconds=600), run=RUN + "-a")
    (bench.folder / "b").mkdir()
    other = Bench(bench.name, bench.folder / "b")
    other.runtime = bench.runtime if bench.name != "fake" else other.runtime
    assert other.end(other.start("exit 4", FakeOutcome(exit=4), run=RUN + "-b")) == 4
    assert bench.runtime.poll(first) is None
    bench.runtime.stop(first)


def test_it_says_which_place_has_no_room_left(bench: Bench) -> None:
    fill = "for i in 1 2 3; do head -c 10000000 /dev/zero > $i; done"
    handle = bench.start(f"echo up; sleep 1; {fill}; echo done; sleep 600", FakeOutcome(seconds=600, output=b"up\ndone\n"))
    bench.hear("up")
    before = bench.runtime.full(handle)
    bench.hear("done")
    after = until(lambda: bench.runtime.full(handle) or bench.name == "fake")
    bench.runtime.stop(handle)
    assert (before, after) == (None, bench.name == "fake" or "The work tree is full (16 MB).")


def test_limits_for_sizes_and_processes_are_set_inside(bench: Bench) -> None:
    if bench.name == "fake":
        pytest.skip("a fake has no processes")
    _, said = bench.run("ulimit -c; ulimit -f; ulimit -d")
    assert said.split() == ["0", str(LIMITS.work_mb * 1_000_000 // 512), str(2 * LIMITS.memory_mb * 1_000_000 // 1024)]


def layer(bench: Bench, name: str) -> Path:
    """A folder of a snapshot with one file in the work tree and one in the home folder."""
    for part in ("repo", "home"):
        (bench.folder / name / part).mkdir(parents=True)
        (bench.folder / name / part / "old").write_text(part)
    return bench.folder / name


CHANGES = 'cat "$SWARM_WORK/repo/old" "$HOME/old"; rm "$SWARM_WORK/repo/old"; echo mine > "$HOME/old"; mkdir "$SWARM_WORK/repo/new"; echo x > "$TMPDIR/x"'


def test_who_stands_sees_the_environment_and_cannot_change_it_and_the_others_refuse_it(bench: Bench) -> None:
    ground = layer(bench, "ground")
    if not bench.runtime.stands:
        with pytest.raises(Permanent, match="cannot stand on an environment"):
            bench.start(CHANGES, disk=bench.folder / "disk", ground=ground)
        return
    for number in range(2):  # the second one sees nothing of the first one
        assert bench.end(bench.start(CHANGES, disk=bench.folder / f"disk{number}", ground=ground)) == 0
    assert bench.said() == "repohomerepohome"
    assert {str(path.relative_to(ground)): path.read_text() for path in ground.rglob("old")} == {"repo/old": "repo", "home/old": "home"}
    assert not (ground / "repo" / "new").exists()
    assert (bench.folder / "disk0" / "tmp" / "x").exists(), "what it writes is on the host's disk, in a folder of its own"


def test_who_stands_fills_the_folders_of_an_environment_and_the_others_refuse(bench: Bench) -> None:
    filled = layer(bench, "filled")
    if not bench.runtime.stands:
        with pytest.raises(Permanent, match="cannot stand on an environment"):
            bench.start(CHANGES, disk=bench.folder / "disk", filled=filled)
        return
    assert bench.end(bench.start(CHANGES, disk=bench.folder / "disk", filled=filled)) == 0
    assert not (filled / "repo" / "old").exists() and (filled / "repo" / "new").is_dir() and (filled / "home" / "old").read_text() == "mine\n"


def test_work_tree_and_home_may_be_on_the_disk_without_an_environment(bench: Bench) -> None:
    handle = bench.start('echo x > "$SWARM_WORK/x"; echo y > "$HOME/y"; ls -A "$SWARM_WORK"', FakeOutcome(), disk=bench.folder / "disk")
    assert bench.end(handle) == 0
    if bench.runtime.stands:
        assert ((bench.folder / "disk" / "work" / "x").read_text(), (bench.folder / "disk" / "home" / "y").read_text()) == ("x\n", "y\n")


@pytest.mark.parametrize("without", ["a bwrap that knows overlays", "a disk that can have them"])
def test_without_overlays_an_environment_is_copied_for_each_sandbox(wrapped: Bench, without: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if without.startswith("a bwrap"):
        old = wrapped.folder / "bwrap"  # as the distribution has it: it knows no such option
        old.write_bytes(Path(wrapped.runtime.program).read_bytes().replace(b"overlay-src", b"overlay-sxx"))
        old.chmod(0o755)
        monkeypatch.setattr("engine.runtimes.bwrap.candidates", lambda: [str(old)])
    else:
        monkeypatch.setattr("engine.runtimes.overlay._works", lambda program, place: False)
    overlay.overlaying.cache_clear()
    try:
        ground = layer(wrapped, "ground")
        assert wrapped.end(wrapped.start(CHANGES, disk=wrapped.folder / "disk", ground=ground)) == 0
        assert wrapped.said() == "repohome" and (ground / "repo" / "old").exists() and (ground / "home" / "old").read_text() == "home"
        assert (wrapped.folder / "disk" / "repo" / "new").is_dir()
        assert not is_overlaid(wrapped.folder / "disk")
        watch = DiskWatch([wrapped.folder / "disk"], 1, already=100_000)
        assert watch.look(at_once=True) is None
        (wrapped.folder / "disk" / "repo" / "more").write_bytes(b"x" * 2_000_000)
        assert "more than 1 MB" in str(watch.look(at_once=True)), "what was copied is not counted, what comes is"
    finally:
        overlay.overlaying.cache_clear()


def test_the_fake_starts_thousands_a_second_without_descriptors(tmp_path: Path) -> None:
    fake, job = Fake(), SandboxJob("run-1", ("true",), tmp_path, tmp_path, tmp_path, {}, LIMITS, None, None)
    assert [fake.poll(fake.start(job)) for _ in range(3000)] == [0] * 3000


def test_bubblewrap_has_no_network(wrapped: Bench) -> None:
    code, said = wrapped.run("tail -n +3 /proc/net/dev | cut -d: -f1; bash -c 'exec 3<>/dev/tcp/1.1.1.1/53'")
    assert said.split()[0] == "lo"
    assert "\n" not in said.split("bash:")[0].strip()
    assert code != 0 and ("unreachable" in said or "refused" in said)


def test_bubblewrap_does_not_reach_a_server_of_the_host(wrapped: Bench) -> None:
    import socket
    with socket.create_server(("127.0.0.1", 0)) as server:
        code, said = wrapped.run(f"bash -c 'exec 3<>/dev/tcp/127.0.0.1/{server.getsockname()[1]}'")
    assert code != 0 and "refused" in said


@pytest.mark.parametrize("path", [
    "/root", "/home/user", "/run", "/var", "/srv", "/mnt", "/etc/shadow", "/etc/ssl/private", "/etc/ssh", "/sys", "/boot"])
def test_bubblewrap_shows_no_files_of_the_host(wrapped: Bench, path: str) -> None:
    assert wrapped.run(f"[ ! -e {path} ]")[0] == 0


def test_bubblewrap_does_not_show_the_data_folder(wrapped: Bench) -> None:
    (wrapped.folder / "secret").write_text("of the host")
    assert wrapped.run(f"[ ! -e {wrapped.folder} ]; ls -A /home")[:2] == (0, "agent\n")


@pytest.mark.parametrize("path", ["/x", "/usr/x", "/etc/x", "/in/x", "/dev/x", "/home/x", "/etc/passwd", "/proc/sys/kernel/hostname"])
def test_bubblewrap_lets_nothing_else_be_written(wrapped: Bench, path: str) -> None:
    code, said = wrapped.run(f"echo x > {path}")
    assert code != 0 and ("Read-only" in said or "Permission denied" in said)


@pytest.mark.parametrize("folder", ["/work", "/dev/shm"])
def test_bubblewrap_caps_its_memory_file_systems(wrapped: Bench, folder: str) -> None:
    code, said = wrapped.run(f"for i in 1 2 3 4 5 6 7 8 9; do head -c 10000000 /dev/zero > {folder}/$i || exit 9; done")
    assert code == 9 and "No space left" in said


def test_bubblewrap_gives_no_capability_and_no_way_to_new_ones(wrapped: Bench) -> None:
    _, said = wrapped.run("id -u; grep -E 'Cap(Eff|Prm|Bnd|Amb)|NoNewPrivs' /proc/self/status; unshare -U true && echo more namespaces")
    assert said.split()[0] == "1000"
    assert [line.split()[1] for line in said.splitlines() if line.startswith("Cap")] == ["0" * 16] * 4
    assert "NoNewPrivs:\t1" in said and "more namespaces" not in said


def test_bubblewrap_sees_no_process_of_the_host(wrapped: Bench) -> None:
    _, said = wrapped.run("for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline; echo; done")
    assert str(os.getpid()) not in said and "pytest" not in said.replace(str(wrapped.folder), "")


def test_bubblewrap_that_does_not_come_up_is_nobodys_failed_check(wrapped: Bench) -> None:
    from engine.errors import Transient
    wrapped.outputs.rmdir()
    with pytest.raises(Transient):
        wrapped.end(wrapped.start("true"))


def test_auto_takes_the_best_that_works_and_says_what_it_passed_over() -> None:
    require("bwrap")
    choice = choose("auto")
    assert (choice.runtime.name, [name for name, _ in choice.passed_over], choice.fallback) == ("bubblewrap", ["qemu"], False)
    assert "make vm-image" in choice.passed_over[0][1] or "make system-deps" in choice.passed_over[0][1]


def test_auto_falls_back_to_process_and_says_why() -> None:
    program = ("import engine.runtimes.bwrap as b; b.candidates = list\nfrom engine.runtimes import choose\n"
               "c = choose('auto'); print(c.runtime.name, c.fallback, c.passed_over[1][0], ' install ' in c.passed_over[1][1])\n"
               "try: choose('bubblewrap')\nexcept Exception as e: print(type(e).__name__, e)")
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert said.startswith("process True bubblewrap True\nRefused The runtime bubblewrap cannot run here.")


def test_a_runtime_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(Refused, match=f"The runtime 'docker' does not exist. Choose one of: auto, {', '.join(RUNTIMES)}."):
        choose("docker")
