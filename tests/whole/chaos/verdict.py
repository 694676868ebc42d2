"""Looks at a quiet world and lists everything in it that should not be so. An empty list is the proof."""
import collections
import json
import os
import re
import subprocess
from pathlib import Path

from tests.whole.chaos import environments, forge, odd_verdict, provider
from tests.whole.chaos.card import GROUP, START, shared_file
from tests.whole.chaos.server import read
from tests.whole.chaos.world import World, until

QUIET_SECONDS = 240.0
EXPECTED = {"prepared", "merged", "integrated", "conflict", "transient", "void"}
EXPECTED_WITHOUT_TICKET = {"done", "transient", "void", "lost"}  # a baseline of a session, a setup of a repository
TEMPORARY = ("in", "out", "work", "checks")  # folders of a run that are to be gone when it has ended
GONE = re.compile("process of the run is gone|could not (be started|start)")
STOPPED = re.compile("stopped by signal|moved by others|moved by somebody else")


def judge(world: World) -> list[str]:
    """Every fault that is found, one sentence each. Starts a server if none lives, lets it finish, and stops it at the end."""
    server = world.plain()
    until(lambda: _is_quiet(world), QUIET_SECONDS, 0.2)
    found = [*world.problems, *_tickets(world), *_runs(world), *_executions(world), *_database(world), *odd_verdict.tickets(world), *provider.faults(world),
             *forge.faults(world, world.forge), *environments.faults(world)]
    for row in world.rows("select id, project_name from hitl_sessions"):
        found += _repository(world, row["id"], row["project_name"])
    until(lambda: not _folders(world), 10, 0.2)
    found += [*_folders(world), *_processes(world), *_owners(world)]
    if not server.engine("here"):
        found.append("the last server does not say that the engine is here")
    if server.stop() != 0:
        found.append("the last server did not end with exit code 0")
    world.server = None
    return found


def _is_quiet(world: World) -> bool:
    provider.help_out(world)
    environments.help_out(world)
    world.forge.play(world)
    return world.forge.is_done(world) and not world.value(
        "select (select count(*) from hitl_sessions where state = 'building') + (select count(*) from runs where ended_at is null)")


def _tickets(world: World) -> list[str]:
    found = [f"the session {row['project_name']} is {row['state']}: {row['reason']}"
             for row in world.rows("select * from hitl_sessions where state <> 'completed'")]
    found += [f"{row['id']} is {row['status']}: {row['reason']}" for row in world.rows("select * from tickets where status <> 'completed' order by seq")
              if row["status"] != "cancelled" or (row["id"] not in world.cancelled and not str(row["reason"]).startswith("It depends on"))]
    found += [f"{row['id']} is {row['status']}, though its cancellation was granted" for row in world.rows(
        "select * from tickets where status <> 'cancelled' and id in (select value from json_each(?))", json.dumps(sorted(world.cancelled)))]
    more = forge.tickets(world)
    found += [f"{row[0]} was completed {row[1]} times" for row in world.rows(
        "select ticket_id, count(*) from events where kind = 'ticket' and to_state = 'completed' group by 1 having count(*) <> 1") if row[0] not in more]
    found += [f"{row['ticket_id']} has an open request: {row['body']}" for row in world.rows("select * from requests where state = 'open'")]
    return found


def _runs(world: World) -> list[str]:
    found, stopped, more = [], 0, forge.tickets(world)
    for row in world.rows("select * from runs order by seq"):
        if row["kind"] == "recheck" and row["outcome"] == "stale":
            continue  # what it checked was cancelled meanwhile
        if (row["outcome"] == "failed" and odd_verdict.is_expected(world, row)) or (row["outcome"] == "transient" and provider.is_wait(world, row)):
            continue
        expected = EXPECTED if row["ticket_id"] else EXPECTED_WITHOUT_TICKET
        if row["outcome"] not in (expected if row["ticket_id"] not in world.cancelled else expected | {"cancelled", "stale"}):
            found.append(f"{row['id']} ended as {row['outcome']}: {row['reason']}")
        elif row["outcome"] == "transient" and STOPPED.search(row["reason"]):
            stopped += 1
        elif row["outcome"] == "transient" and row["id"] in world.disk_failed:
            continue
        elif row["outcome"] == "transient" and row["id"] not in world.killable:
            found.append(f"{row['id']} was lost, and nobody had killed its runner: {row['reason']}")
        elif row["outcome"] == "transient" and not GONE.search(row["reason"]):
            found.append(f"{row['id']} failed for no reason of ours: {row['reason']}")
    if stopped > world.git_kills:
        found.append(f"{stopped} runs ended because git was killed, which was done {world.git_kills} times")
    for name, kind in (("prepared", "epic"), ("integrated", "epic"), ("merged", "feature")):
        found += [f"{row['id']} was {name} by {row['n']} runs" for row in world.rows(
            "select t.id, (select count(*) from runs r where r.ticket_id = t.id and r.outcome = ?) as n from tickets t where t.type = ?"
            " and n <> (t.status <> 'cancelled')",
            name, kind) if row["id"] not in more]
    return found


def _executions(world: World) -> list[str]:
    """A run's work begins at most once; that of a merged run once, that of one that never began never."""
    found = []
    for row in world.rows("select id, kind, outcome from runs where kind = 'feature' order by seq"):
        times = len(re.findall(f"^{START} ", read((world.data / "runs" / row["id"] / "log").read_text, ""), re.M))
        world.counts["executions"] += times
        allowed = {"merged": {1}, "conflict": {1}, "failed": {1}, "void": {0}}.get(row["outcome"], {0, 1})
        if times not in allowed:
            found.append(f"the work of {row['id']} ({row['outcome']}) began {times} times")
    return found


def _database(world: World) -> list[str]:
    found = [f"integrity_check: {row[0]}" for row in world.rows("pragma integrity_check") if row[0] != "ok"]
    return found + [f"foreign_key_check: {tuple(row)}" for row in world.rows("pragma foreign_key_check")]


def _repository(world: World, session: str, name: str) -> list[str]:
    epic = world.rows("select id, branch_name from tickets where session_id = ? and type = 'epic'", session)
    if not epic or not epic[0]["branch_name"]:
        return [f"{name} has no integration branch"]
    branch, found = epic[0]["branch_name"], []
    trailers = "%(trailers:key=Ticket,valueonly,separator=) %(trailers:key=Run,valueonly,separator=)"
    out = world.git(session, "log", "--merges", "--first-parent", f"--format={trailers}", branch).stdout
    merges = [tuple(line.split()) for line in out.splitlines()]
    world.counts["merges"] += len(merges)
    expected = {(row["ticket_id"], row["id"]) for row in world.rows(
        "select ticket_id, id from runs where session_id = ? and outcome = 'merged' and kind = 'feature'", session)}
    found += [f"{merge} is in the branch of {name} {n} times" for merge, n in collections.Counter(merges).items() if n != 1]
    found += [f"{merge} is in only one of branch and database of {name}" for merge in set(merges) ^ expected]
    ours = ("--merges", "--grep=^Run: ")  # a clone that goes on from stopped work merges the integration branch, too
    every = world.git(session, "rev-list", "--count", *ours, branch).stdout.strip()
    if every != str(len(expected)):
        found.append(f"{every} merge commits of {len(expected)} are in the branch of {name}")
    return found + ([] if name == forge.NAME else _contents(world, session, name, branch)) + _health(world, session, name)


def _contents(world: World, session: str, name: str, branch: str) -> list[str]:
    """One file for each feature, with the run in it that was merged; each shared file with one line for each of its features."""
    found = []
    for row in world.rows("select t.title, r.id from tickets t join runs r on r.ticket_id = t.id and r.outcome = 'merged' and r.kind = 'feature'"
                          " where t.session_id = ?", session):
        if world.git(session, "show", f"{branch}:done/{row['title']}").stdout != f"{row['id']}\n":
            found.append(f"done/{row['title']} of {name} does not hold the run that was merged")
    done = {row["title"] for row in world.rows("select title from tickets where session_id = ? and type = 'feature' and status = 'completed'", session)}
    for first in range(1, world.features + 1, GROUP):
        path = shared_file(first)
        if path is not None:
            lines = world.git(session, "show", f"{branch}:{path}").stdout.splitlines()
            if sorted(lines) != sorted(done & {f"F{number}" for number in range(first, first + GROUP)}):
                found.append(f"{path} of {name} holds {lines}")
    return found


def _health(world: World, session: str, name: str) -> list[str]:
    fsck = world.git(session, "fsck", "--full", "--no-dangling", "--no-progress")
    found = [f"git fsck of {name}: {(fsck.stdout + fsck.stderr).strip()}"] if fsck.returncode or fsck.stdout.strip() else []
    folder = world.data / "repos" / f"{session}.git"
    if read(folder.with_name(f"{session}.git.lock").read_bytes, b""):
        return found  # the last to write there was killed (a cancelled run, say), and whoever is next sweeps first: nobody was, so it may stay
    stale = [path for pattern in ("**/*.lock", "objects/**/tmp_*", "objects/incoming-*") for path in folder.glob(pattern)]
    refs = world.git(session, "for-each-ref", "--format=%(refname)", "refs/swarm").stdout.split()
    refs = [ref for ref in refs if not odd_verdict.is_kept(world, ref)]
    return found + [f"left in the repository of {name}: {path}" for path in [*(path.relative_to(folder) for path in stale), *refs]]


def _folders(world: World) -> list[str]:
    return [f"left over: {folder.name}/{name}" for folder in sorted((world.data / "runs").iterdir()) for name in os.listdir(folder)
            if name in TEMPORARY or name.endswith(".tmp")]


def _processes(world: World) -> list[str]:
    """By environment or command line, over all runs at once."""
    ids = {row["id"] for row in world.rows("select id from runs")}
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        environment = read(Path("/proc", pid, "environ").read_bytes, b"").split(b"\0")
        line = read(Path("/proc", pid, "cmdline").read_bytes, b"")
        run = next((word[len(b"SWARM_RUN="):].decode() for word in environment if word.startswith(b"SWARM_RUN=")), "")
        if run in ids or os.fsencode(world.data / "runs") + b"/" in line:
            found.append(f"process {pid} of {run or 'a run'} is left: {line.decode(errors='replace')[:200]}")
    return found


def _owners(world: World) -> list[str]:
    """The engine that lives, and nobody else, is named in owners/."""
    names = sorted(os.listdir(world.data / "owners"))
    return [] if names == world.engine_ids()[-1:] else [f"owners/ holds {names}, the engine is {world.engine_ids()[-1:]}"]


def machine() -> str:
    git = subprocess.run(["git", "version"], capture_output=True, text=True).stdout.split()[-1]
    system = re.search(r'PRETTY_NAME="(.*)"', read(Path("/etc/os-release").read_text, 'PRETTY_NAME="Linux"'))
    return f"{system[1] if system else 'Linux'}, kernel {os.uname().release}, {os.cpu_count()} cores, git {git}"
