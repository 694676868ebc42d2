"""The ways to hurt it. A round takes the world, does one thing to it, and says whether it hit what it aimed at.

Whatever a round leaves alive, the next one may go on with; whatever it leaves dead, the next one starts again."""
import functools
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from engine.crash import ENGINE_POINTS, RUNNER_POINTS, SETUP_POINTS
from tests.whole.chaos import environments
from tests.whole.chaos.server import Server, kill_process, read
from tests.whole.chaos.world import World, until

Round = Callable[[World], bool]
AIM_SECONDS = 10.0
FIU = Path("/usr/lib/fiu")
FAILING = ("posix/io/sync/fsync", "posix/io/sync/fdatasync")


def engine_point(name: str) -> Round:
    """The server dies at its n-th passage of the point."""
    def play(world: World) -> bool:
        server = world.start(crash=f"{name}:{world.rng.randint(1, 3)}")
        hit = server.wait(AIM_SECONDS)
        if hit:
            world.died()
        return hit
    return play


def runner_point(name: str) -> Round:
    """Every runner that this server starts dies at the point; the server is killed when a few have."""
    def play(world: World) -> bool:
        before = len(world.engine_ids())
        world.start(crash=name)
        wanted = world.rng.randint(1, 3)

        def ended() -> bool:
            return bool(world.value("select count(*) >= ? from runs where ended_at is not null and id in (select value from json_each(?))",
                                    wanted, json.dumps(sorted(world.runs_since(before)))))
        hit = until(ended, AIM_SECONDS, 0.05)
        world.kill()
        world.killable |= world.runs_since(before)
        return bool(hit)
    return play


def at_random(world: World) -> bool:
    """The server, alone or with its git children, at any moment; every other time in the first second or two of its life."""
    if world.rng.random() < 0.5:
        world.start(killed_after=world.rng.uniform(0.05, 2.0)).process.wait()
        world.died()
        return True
    world.plain()
    time.sleep(world.rng.uniform(0.0, 1.2))
    world.kill(with_git=world.rng.random() < 0.5)
    return True


def runner_early(world: World) -> bool:
    """Up to three runners within 6 ms of the start of one of their sandboxes; then, every other time, the server."""
    world.plain()
    seen = {path: mtime for path in (world.data / "runs").glob("*/sandbox.lock") if (mtime := modified(path))}
    hits, wanted, end = 0, world.rng.randint(1, 3), time.monotonic() + AIM_SECONDS
    while hits < wanted and time.monotonic() < end:
        for row in world.rows("select id from runs where ended_at is null"):
            folder = world.data / "runs" / row["id"]
            changed = modified(folder / "sandbox.lock")
            if changed and seen.get(folder / "sandbox.lock") != changed:
                seen[folder / "sandbox.lock"] = changed
                time.sleep(world.rng.uniform(0, 0.006))
                hits += kill_runner(world, folder)
    if world.rng.random() < 0.5:
        world.kill()
    return hits > 0


def modified(path: Path) -> int:
    return int(read(lambda: os.stat(path).st_mtime_ns, 0))


def kill_runner(world: World, folder: Path) -> bool:
    started = read(lambda: (folder / "started.json").read_text(), "")
    if not started or not kill_process(int(json.loads(started)["pid"]), str(folder)):
        return False
    world.killable.add(folder.name)
    return True


def update_ref(together: bool) -> Round:
    """git in the middle of moving a ref: it alone, or with the server."""
    def play(world: World) -> bool:
        server, end = world.plain(), time.monotonic() + AIM_SECONDS
        while time.monotonic() < end:
            for pid, line in server.git_children():
                if " update-ref " in line:
                    time.sleep(world.rng.choice((0.0, world.rng.uniform(0, 0.004))))
                    hit = kill_process(pid, str(world.data))
                    world.git_kills += hit
                    if together:
                        world.kill()
                    if hit or together:
                        return hit
        return False
    return play


def cancelled_late(world: World) -> bool:
    """A ticket is cancelled while its change is about to be merged: granted and never merged, or refused and merged."""
    server, seen = world.plain(), {path.parent.name for path in (world.data / "runs").glob("*/result.json")}

    def ended() -> list[str]:
        rows = world.rows("select id from runs r where kind = 'feature' and ended_at is null and exists (select 1 from tickets t where"
                          " t.session_id = r.session_id and t.type = 'feature' and t.status = 'completed')")  # or nothing may be left to complete
        return [row["id"] for row in rows
                if row["id"] not in seen and (world.data / "runs" / row["id"] / "result.json").exists()]
    found = until(ended, AIM_SECONDS, 0.001)
    if not found:
        return False
    time.sleep(world.rng.uniform(0, 0.12))
    ticket = found[0].rsplit("-", 2)[0]
    answer = server.call(f"/api/tickets/{ticket}/cancel", {})
    if answer is None or answer[0] not in (200, 409):
        world.problems.append(f"to cancel {ticket} was answered with {answer}")
    elif answer[0] == 200:
        world.cancelled.add(ticket)
    else:
        world.counts["too late"] += 1
    return answer is not None


def two_servers(world: World) -> bool:
    """A server is stopped for a moment while a second one starts: that one must keep its hands off, and take over when the first is killed."""
    first = world.plain()
    if not first.engine("here"):
        world.problems.append("a server that is alone does not say that the engine is here")
    first.process.send_signal(signal.SIGSTOP)
    threading.Timer(world.rng.uniform(0.1, 0.6), first.process.send_signal, (signal.SIGCONT,)).start()
    world.counts["starts"] += 1
    second = Server(world.data, world.environment)
    try:
        if not second.engine("elsewhere") or not first.engine("here"):
            world.problems.append("with two servers on one data folder, the first did not say 'here' or the second not 'elsewhere'")
        time.sleep(world.rng.uniform(0, 0.5))
    finally:
        world.kill(with_git=world.rng.random() < 0.5)
        world.server, world.crash = second, ""
    if not second.engine("here"):
        world.problems.append("the second server did not take over")
    return True


def failing_disk(world: World) -> bool:
    """For two seconds, every third fsync of the server fails; it is not restarted, and must come back by itself."""
    fifo, before = world.data.with_name(world.data.name + ".fiu"), len(world.engine_ids())
    world.disk_failed |= {row["id"] for row in world.rows("select id from runs where ended_at is null")}
    server = world.start(LD_PRELOAD=f"{FIU}/fiu_run_preload.so {FIU}/fiu_posix_preload.so", FIU_CTRL_FIFO=str(fifo))
    control = ["fiu-ctrl", "-f", str(fifo)]
    pid = str(server.process.pid)
    for name in FAILING:
        subprocess.run([*control, "-c", f"enable_random name={name},probability=0.33", pid], check=True, timeout=20)
    time.sleep(2.0)
    for name in FAILING:
        subprocess.run([*control, "-c", f"disable name={name}", pid], check=True, timeout=20)
    world.disk_failed |= world.runs_since(before)
    failed = until(lambda: (server.call("/api/engine") or (0, {}))[1], 5)
    moved = world.value("select max(seq) from events")
    if not until(lambda: world.value("select max(seq) from events") > moved, 20):
        world.problems.append("nothing moved within 20 seconds of the end of a disk failure")
    return bool(failed and failed.get("errors"))


def disk_can_fail() -> str | None:
    """None, or why the rounds with a failing disk are left out."""
    if not (FIU / "fiu_posix_preload.so").exists():
        return "libfiu is not installed (Debian: fiu-utils, libfiu0)"
    return None


def kinds() -> dict[str, Round]:
    """Every kind of round, by its name in the table, in the order of the docs."""
    found: dict[str, Round] = {f"engine: {name}": engine_point(name) for name in ENGINE_POINTS}
    found |= {f"runner: {name}": runner_point(name) for name in RUNNER_POINTS}
    found |= {f"setup: {name}": functools.partial(environments.setup_point, name=name) for name in SETUP_POINTS}
    found |= {"server at random": at_random, "runner as a sandbox starts": runner_early, "git update-ref": update_ref(False),
              "git update-ref and server": update_ref(True), "cancelled while it merges": cancelled_late,
              "two servers, one stopped": two_servers}
    if disk_can_fail() is None:
        found["failing disk"] = failing_disk
    return found
