"""The command `run-ticket`: runs one ticket in the foreground, with its log on the terminal, with the same claims and rules as the engine."""
import argparse
import os
import sys
import time
import uuid
from pathlib import Path

from engine.config import Config
from engine.errors import NotFound, Refused, SwarmError
from engine.git.branches import GitBranches
from engine.loop import start_rechecks
from engine.loop.dispatch import dispatch
from engine.loop.launch import ProcessLauncher
from engine.loop.owner_lock import OwnerLock
from engine.loop.reap import LIVE, LiveRun, Reaper
from engine.runtimes import Choice, choose
from engine.store.db import Database, open_database
from engine.tickets import claims
from engine.tickets.approved_card import has_room, most_parallel
from engine.tickets.rows import DependencyRow, RunRow, TicketRow
from engine.tickets.session_rows import SessionRow
from engine.tickets.states import get
from engine.times import utc

COMPLETED, FAILED, REFUSED = 0, 1, 2


def run_ticket(db: Database, config: Config, ticket_id: str) -> int:
    """Claims and runs the ticket once. -> exit code. Raises NotFound; Refused with the reason if it may not run now."""
    choice = choose(config.runtime, config.vm)
    owner = f"cli-{uuid.uuid4().hex[:12]}"
    lock = OwnerLock(config, owner)
    try:
        run = _claim(db, config, owner, ticket_id, choice.most)
        print(f"{ticket_id}: run {run['run_no']} of kind {run['kind']}, {choice.runtime.name} ({choice.runtime.isolation})", flush=True)
        _follow(db, config, choice, run["id"])
        ended = db.one("select outcome, reason from runs where id = ?", (run["id"],), RunRow)
        ticket = get(db, "default", ticket_id)
        if ended is not None:
            print(f"{ticket_id}: {ended['outcome']}; the ticket is {ticket['status']}." + (f" {ended['reason']}" if ended["reason"] else ""))
        return COMPLETED if ended is not None and ended["outcome"] in ("prepared", "merged", "no_change", "integrated", "in_review") else FAILED
    finally:
        lock.release()


def _claim(db: Database, config: Config, owner: str, ticket_id: str, most: int | None = None) -> RunRow:
    with db.transaction():
        ticket = get(db, "default", ticket_id)
        busy = claims.busy_slots(db)
        if most is not None and busy >= most:
            raise Refused(f"This host's memory holds {most} virtual machines, and {busy} are running. Wait for one to end, or lower SWARM_VM_MEMORY_MB.")
        if busy >= config.slots:
            raise Refused(f"All {config.slots} slots are busy. Wait for a run to end, or raise SWARM_SLOTS.")
        run = claims.claim_one(db, owner, ticket_id, utc())
        if run is None:
            raise Refused(_why_not(db, ticket))
        return run


def _why_not(db: Database, ticket: TicketRow) -> str:
    session = db.one("select state, paused from hitl_sessions where id = ?", (ticket["session_id"],), SessionRow)
    live = db.one("select id, claimed_by from runs where ticket_id = ? and ended_at is null", (ticket["id"],), RunRow)
    if live:
        return f"{ticket['id']} is already running, as {live['id']}."
    if session and (session["state"] != "building" or session["paused"]):
        return f"{ticket['id']} cannot run now: its session is {'paused' if session['paused'] else session['state']}."
    if ticket["status"] == "blocked":
        waits = [row["depends_on"] for row in db.all("select d.depends_on from ticket_dependencies d join tickets t on t.id = d.depends_on"
                                          " where d.ticket_id = ? and t.status <> 'completed'", (ticket["id"],), DependencyRow)]
        return f"{ticket['id']} waits for " + (f"{', '.join(waits)} to be merged." if waits else f"its epic {ticket['parent_id']}.")
    if ticket["status"] == "ready" and not has_room(db, ticket["id"]):
        return (f"{ticket['id']} waits: its card or its repository allows {most_parallel(db, ticket['session_id'])} of its runs at the same time"
                " (max_parallel). Wait for one to end.")
    if ticket["status"] == "ready":
        return f"{ticket['id']} may not start before {ticket['not_before']}."
    return f"{ticket['id']} is {ticket['status']}, and only a ready ticket can run. Retry it on its page first."


def _follow(db: Database, config: Config, choice: Choice, run_id: str) -> None:
    """Launches the run and follows it until it is recorded, with its log on stdout. After SIGINT the engine can adopt it."""
    launcher = ProcessLauncher(config)
    reaper = Reaper(db, config, launcher, GitBranches(config))
    own = db.the("select * from runs where id = ?", (run_id,), RunRow)
    dispatch(db, config, launcher, choice, own)
    log, shown, began = launcher.folder(run_id) / "log", 0, time.monotonic()
    while runs := db.all(LIVE + " and (r.id = ? or r.claimed_by = ?)", (run_id, own["claimed_by"]), LiveRun):
        shown, steps = _show(log, shown), 0
        for run in runs:
            if run["state"] == "queued":  # an engine would start its recheck run, but maybe no engine runs
                start_rechecks.start(db, config, launcher, choice, own["claimed_by"], config.slots - claims.busy_slots(db), utc(), run["session_id"])
            step = reaper.step(run, launcher.look(run["id"]), time.monotonic() - began)
            if step is not None:
                step(run)
                steps += 1
        if not steps:
            time.sleep(0.05)
    _show(log, shown)


def _show(log: Path, shown: int) -> int:
    """Prints new lines, with escaped terminal control sequences. -> the new position."""
    try:
        with open(log, "rb") as file:
            file.seek(shown)
            data = file.read()
    except FileNotFoundError:
        return shown
    text = data.decode(errors="replace")
    sys.stdout.write("".join(c if c.isprintable() or c in "\n\t" else "?" for c in text))
    sys.stdout.flush()
    return shown + len(data)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="run-ticket", description="Runs one ticket in the foreground, without the server.",
                                     epilog="Exit code: 0 done, 1 failed or waits for you, 2 refused (with the reason). Settings come from the environment.")
    parser.add_argument("ticket", help="id of the ticket, for example TKT-002")
    parser.add_argument("--runtime", help="runtime to use instead of SWARM_RUNTIME")
    arguments = parser.parse_args(argv)
    try:
        config = Config.from_env({**os.environ, **({"SWARM_RUNTIME": arguments.runtime} if arguments.runtime else {})})
        if not config.database.exists():
            raise Refused(f"There is no database at {config.database}. Set SWARM_DATA to the data folder of the server.")
        return run_ticket(open_database(config.database, config.synchronous), config, arguments.ticket)
    except (Refused, NotFound) as refused:
        print(f"run-ticket: {refused.sentence}", file=sys.stderr)
        return REFUSED
    except SwarmError as error:
        print(f"run-ticket: {error.sentence}", file=sys.stderr)
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
