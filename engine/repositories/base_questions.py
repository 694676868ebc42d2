"""What the features of a build wait for beside its environment: what each check says at the base. A check that cannot run there becomes a question."""
from engine.repositories import baselines
from engine.repositories.rows import BaselineRow
from engine.runs import wanted
from engine.store.db import Database
from engine.tickets import requests
from engine.tickets.rows import TicketRow
from engine.tickets.states import change

MOST_NAMED = 20
WAITS_FOR_ENVIRONMENT = "It waits for its environment."  # detail of a baseline run before a build that must begin again


def step(db: Database, epic: TicketRow) -> bool:
    """Asks for a baseline run, or a person, if something is not known at the base of an epic. True: nothing holds its features up.
    In the caller's transaction."""
    place = baselines.of_ticket(db, epic)
    if place is None:
        return True
    commands, known = baselines.commands(db, epic["session_id"]), baselines.known(db, *place)
    if any(command not in known for command in commands):
        wanted.want(db, "baseline", "session", epic["session_id"], epic["tenant_id"],
                    {"repository": place[0], "commit": place[1], "environment": place[2], "commands": commands}, epic["session_id"])
        return False
    bad = [known[command] for command in commands if known[command]["result"] == "cannot_run"]
    if bad:
        _ask(db, epic, bad)
    return not bad


def _ask(db: Database, epic: TicketRow, bad: list[BaselineRow]) -> None:
    count = len(bad)
    reason = f"{'A check' if count == 1 else f'{count} checks'} cannot run at the base."
    if change(db, "needs_input", "id = :id and status = 'running'", {"id": epic["id"]}, reason=reason):
        named = [f"{' '.join(row['command'].split())[:300]}: {row['output'].partition(chr(10))[0]}" for row in bad[:MOST_NAMED]]
        more = [f"And {count - MOST_NAMED} more."] if count > MOST_NAMED else []
        requests.open_for(db, epic, bad[0]["run_id"], "baseline", "\n\n".join([
            f"{reason} {'It' if count == 1 else 'They'} could never turn green. Add what is missing to the environment of the repository and try again, "
            f"or waive {'it' if count == 1 else 'them'}. No ticket has used up an attempt.", *named, *more]),
            [requests.TRY_AGAIN, requests.waive_checks(count), requests.GO_ON])


def go_on(db: Database, session_id: str) -> None:
    """A baseline run ended without an answer: the features of its build go on without it. In the caller's transaction."""
    db.execute("update tickets set waits_for = null where session_id = ? and waits_for = 'baseline'", (session_id,))
