"""`make drain`: starts nothing new and returns when all live runs have ended. Then you can stop the server without interrupting a run."""
import sys
import time

from engine.config import Config
from engine.errors import Refused
from engine.store.db import Database, open_database
from engine.tickets import claims
from engine.tickets.rows import RunRow

WHY = "Draining: live runs continue, and nothing new starts."


def drain(db: Database, poll: float = 0.5) -> int:
    """Pauses the engine and waits. -> number of runs that it waited for. Resume with POST /api/engine/resume or on the page /engine."""
    claims.set_paused(db, True, WHY)
    waited: set[str] = set()
    while live := [row["id"] for row in db.all("select id from runs where ended_at is null and state not in ('queued', 'wanted')", (), RunRow)]:
        if set(live) - waited:
            print(f"Waiting for {', '.join(live)}", flush=True)
        waited |= set(live)
        time.sleep(poll)
    return len(waited)


def main() -> int:
    try:
        config = Config.from_env()
        if not config.database.exists():
            raise Refused(f"There is no database at {config.database}. Set SWARM_DATA to the data folder of the server.")
        count = drain(open_database(config.database, config.synchronous))
        print(f"No run is live now (waited for {count}). The engine stays paused. Resume it on the page /engine.")
        return 0
    except Refused as refused:
        print(refused.sentence, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
