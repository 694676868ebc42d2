"""Four processes claim from one database. Run as a module with a path and a name, this is one of them."""
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from bench.children import child, hurry, tell
from bench.claims import ours
from bench.rows import Row
from bench.sizes import Size
from bench.store import filled
from engine.store.db import Database

PROCESSES = 4


def measure(size: Size, folder: Path) -> Iterator[Row]:
    path = folder / "contended.db"
    filled(path, size.contended).close()
    workers = [child("bench.contention", str(path), f"engine-{n}") for n in range(PROCESSES)]
    try:
        for worker in workers:
            hurry(worker)
        since = time.perf_counter()
        for worker in workers:
            tell(worker, "go")
        found = Counter(ticket for worker in workers for ticket in json.loads(hurry(worker)))
        seconds = time.perf_counter() - since
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    twice = sum(count - 1 for count in found.values())
    yield Row(f"{PROCESSES} processes claim {size.contended:,} tickets: taken twice", "", twice, target=("≤", 0), note=f"{len(found):,} finished")
    yield Row(f"{PROCESSES} processes claim {size.contended:,} tickets: left over", "", size.contended - len(found), target=("≤", 0))
    yield Row(f"{PROCESSES} processes claim, NORMAL: cycles in all", "/s", len(found) / seconds)


def main(path: str, owner: str) -> None:
    db = Database(Path(path), "NORMAL")
    db.value("select 1 from counters")
    print("ready", flush=True)
    sys.stdin.readline()
    done: list[str] = []
    while tickets := ours(db, owner=owner):
        done += tickets
    print(json.dumps(done), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
