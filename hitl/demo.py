"""`make demo`: builds the sample card in the terminal, in a new data folder: create, approve, build, and try the result."""
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from engine.config import Config
from engine.errors import Refused
from engine.git.branch_names import own_branch
from engine.git.branches import repository_path
from engine.git.call import check_git
from engine.git.repository import Repository
from engine.loop.loop import SwarmEngine
from engine.loop.slot import EngineSlot
from engine.store.db import Database, open_database
from engine.store.journal import Changes, since
from engine.tickets.rows import RunRow, TicketRow
from hitl.card import sample
from hitl.session import sessions
from hitl.ticket_generator import start_build

PATIENCE = 600.0  # seconds
TENANT = "default"
MARKS = {"completed": "✓", "failed": "✗", "running": "→", "needs_input": "?"}


def demo(data: Path) -> int:
    """-> 0 when the session completed, else 1. `data`: an empty folder."""
    config = Config.from_env({**os.environ, "SWARM_DATA": str(data)})
    db, changes = open_database(config.database), Changes()
    db.subscribe(changes.ring)
    slot = EngineSlot(config, lambda: SwarmEngine(db, config))
    slot.start("make demo")
    if slot.engine is None:
        raise Refused("The engine could not be started.")
    choice = slot.engine.choice
    print(f"Data folder {data}; runs in {choice.runtime.name}: {choice.runtime.isolation}")
    for name, reason in choice.passed_over:
        print(f"  not {name}: {reason}")
    try:
        session = _approve_and_start(db, config)
        state = _watch(db, changes, session)
        if state == "completed":
            _show(config, db, session)
            return 0
        print(f"\nThe session is {state}: {db.value('select reason from hitl_sessions where id = ?', (session,))}")
        for run in db.all("select ticket_id, outcome, reason from runs where session_id = ? and outcome not in ('merged', 'prepared')"
                          " order by seq", (session,), RunRow):
            print(f"  {run['ticket_id']}: {run['outcome']}: {run['reason']}")
        return 1
    finally:
        slot.stop()
        db.close()


def _approve_and_start(db: Database, config: Config) -> str:
    card = sample.card()
    print(f"\n1. Create a session with the card “{card['name']}”: {len(card['features'])} features")
    session = sessions.create(db, config, TENANT, project_name=card["name"], description=card.get("description", ""), spec_card=card)
    sha256 = db.value("select spec_sha256 from hitl_sessions where id = ?", (session,))
    print(f"2. Approve exactly this version: sha256 {sha256[:12]}…")
    sessions.approve(db, TENANT, session, sha256)
    answer = start_build(db, config, TENANT, session, {"confirmed": True, "spec_sha256": sha256})
    print(f"3. {answer['message']}\n")
    return session


def _watch(db: Database, changes: Changes, session: str) -> str:
    """Prints what changes until the session has ended. -> its state."""
    titles = db.pairs("select id, title from tickets where session_id = ?", (session,))
    cursor, began = 0, time.monotonic()
    while time.monotonic() - began < PATIENCE:
        seen = changes.count
        for event in since(db, cursor, session=session):
            cursor = event["seq"]
            if event["kind"] == "ticket" and event["to"] in MARKS:
                print(f"  {time.monotonic() - began:5.1f} s  {MARKS[event['to']]} {event['ticket']} {event['to']:10} {titles[event['ticket']]}", flush=True)
        state = str(db.value("select state from hitl_sessions where id = ?", (session,)))
        if state != "building" and not since(db, cursor, session=session):
            return state
        changes.wait(0.5, seen)
    return f"still building after {PATIENCE:g} s"


def _show(config: Config, db: Database, session: str) -> None:
    """Shows the merge graph and runs the built tool from a clone of the integration branch."""
    epic = db.one("select * from tickets where session_id = ? and type = 'epic'", (session,), TicketRow)
    if epic is None:
        return
    path = repository_path(config, session)
    branch, base = own_branch(epic), str(epic["base_sha"])
    print(f"\n4. Merged into {branch}:\n")
    print(Repository(path).log_graph(branch, base, 50))
    with tempfile.TemporaryDirectory(prefix="hitl-swarm-demo-") as folder:
        clone = ["git", "clone", "-q", "-b", branch, str(path), folder + "/tally"]
        subprocess.run(clone, check=True, stdin=subprocess.DEVNULL)
        print(f"5. Try the result:\n\n$ git clone -b {branch} {path} tally && cd tally")
        for command in sample.card()["checks"]:
            print(f"$ {command}", flush=True)
            subprocess.run(["sh", "-c", command], check=True, cwd=folder + "/tally", stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT)


def main() -> int:
    try:
        why_not = check_git()
        if why_not:
            raise Refused(why_not)
        return demo(Path(tempfile.mkdtemp(prefix="hitl-swarm-demo-data-")))
    except Refused as refused:
        print(f"make demo: {refused.sentence}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
