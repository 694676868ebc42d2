"""A card on its way to tickets: its validation, and the one transaction that writes the epic and its features."""
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.peers import peers
from bench.rows import Row, interleaved, pace, rate
from bench.sizes import Size
from bench.store import drop_triggers, raw_connection
from engine.config import Config
from engine.store.db import Database, open_database
from hitl.card.spec_card import normalise, validate
from hitl.session import sessions
from hitl.ticket_generator import _build

TICKET = ("insert into tickets (id, session_id, tenant_id, type, title, description, acceptance_criteria, status, parent_id, position)"
          " values (?, ?, 'default', ?, ?, ?, ?, ?, ?, ?)")


def card(features: int, rich: bool = False) -> dict[str, Any]:
    """Rich: a description, three criteria of both kinds, dependencies, a priority and an agent for each feature."""
    plain: list[dict[str, Any]] = [{"title": f"Feature {n}", "description": f"What feature {n} is to do."} for n in range(1, features + 1)]
    if rich:
        for n, feature in enumerate(plain, 1):
            check = {"text": f"The test of {n} passes", "check": f"pytest -q tests/test_{n}.py"}
            feature |= {"description": f"What feature {n} is to do. " * 20, "priority": n % 10, "agent": "runbook",
                        "acceptance_criteria": [f"It does {n}.", check, "It is documented."],
                        "depends_on": [f"Feature {n - d}" for d in (1, 7) if n > d]}
    return {"name": "Bench", "features": plain, "checks": ["make test"]}


def measure(size: Size, folder: Path) -> Iterator[Row]:
    rich = card(size.rich_features, rich=True)
    found = interleaved({"ours": lambda: 1 / rate(1, lambda: validate(rich))}, size.times)
    yield Row(f"validate a card of {size.rich_features:,} rich features", "s", found["ours"], target=("≤", 1.0))
    for level in ("NORMAL", "FULL"):
        yield _insert(Config(data=folder / "insert"), size.features, level, size.times)


def _insert(config: Config, count: int, level: str, times: int) -> Row:
    db, bare = open_database(config.data / f"{level}.db", level), _bare(config.data / f"raw-{level}.db", level)
    queues = peers(config.data, 0, level) if level == "NORMAL" else {}
    subjects: dict[str, Callable[[], float]] = {"ours": lambda: _ours(db, config, count), "raw": lambda: rate(count, lambda: _raw(bare, count))}
    for name, queue in queues.items():
        subjects[name] = lambda queue=queue: pace(queue.put, count)  # type: ignore[misc]
    found = interleaved(subjects, times)
    closable: list[Any] = [db, bare, *queues.values()]
    for thing in closable:
        thing.close()
    return Row(f"insert an epic and {count:,} features, {level}", "/s", found["ours"], found["raw"], {name: found[name] for name in queues},
               target=("≥", 100_000), note=f"{found['ours'] / found['raw']:.2f}× raw by executemany, without journal; peers commit each")


def _ours(db: Database, config: Config, count: int) -> float:
    """Tickets a second of start-build's transaction, the card being validated."""
    plan = card(count)
    session = sessions.create(db, config, "default", project_name="Bench", spec_card=plan)
    sessions.approve(db, "default", session, db.value("select spec_sha256 from hitl_sessions where id = ?", (session,)))
    row, checked = sessions.get(db, "default", session), validate(plan, config)
    normal = normalise(checked.card, checked.meaning)
    since = time.perf_counter()
    with db.transaction():
        made = _build(db, row, checked, normal)
    return made["count"] / (time.perf_counter() - since)


def _bare(path: Path, level: str) -> Any:
    open_database(path, level).close()
    connection = raw_connection(path, level)
    drop_triggers(connection)
    connection.execute("insert into hitl_sessions (id, project_name) values ('s', 'Bench')")
    return connection


def _raw(connection: Any, count: int) -> None:
    """The same rows by executemany, without the journal."""
    first = connection.execute("select coalesce(max(seq), 0) from tickets").fetchone()[0]
    ids = [f"TKT-{first + n:07d}" for n in range(count + 1)]
    rows: list[tuple[Any, ...]] = [(ids[0], "s", "epic", "Bench", "", "[]", "ready", None, 0)]
    rows += [(ids[n], "s", "feature", f"Feature {n}", f"What feature {n} is to do.", "[]", "blocked", ids[0], n) for n in range(1, count + 1)]
    connection.execute("begin immediate")
    connection.executemany(TICKET, rows)
    connection.execute("commit")
